from types import SimpleNamespace
from typing import Any

from mmengine.runner import Runner
from mmpretrain.engine.hooks import SwitchRecipeHook

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.batch_augments import names_of_augments
from edudistill_mm.models.distillers import reads_labels
from edudistill_mm.validation.values import check_keys

# Besides action_epoch; MMPretrain takes any other key, and does nothing with it.
RECIPE = ('train_pipeline', 'batch_augments', 'loss')


def check_switched_recipes(runner: Runner, model: Any) -> None:
    """Refuse recipes of SwitchRecipeHook that would fail, or leave samples without a teacher.

    A recipe may not change the loss, which heads and recorders share, nor mix labels that are
    needed as classes, nor change the views of images for which answers are kept.
    """
    keeping = [t.name for t in model.faculty.teachers if t.keeping is not None]
    for hook in runner.hooks:
        if not isinstance(hook, SwitchRecipeHook):
            continue
        for epoch, recipe in hook.schedule.items():
            where = f'custom_hooks: the SwitchRecipeHook with action_epoch={epoch}'
            check_keys(recipe, RECIPE, where)
            if 'loss' in recipe:
                raise ConfigurationError(
                    f'{where} has a "loss", but the student keeps one loss, which the heads of all grades '
                    f'share; remove it there and set architecture.student.head.loss'
                )
            changed = [key for key in ('train_pipeline', 'batch_augments') if recipe.get(key)]
            if changed and keeping:
                raise ConfigurationError(
                    f'{where} has "{changed[0]}", but the answers of teacher "{keeping[0]}" are kept for the '
                    f'views of train_dataloader.dataset.pipeline; remove it there, or keep_answers'
                )
            augments = SimpleNamespace(batch_augments=recipe.get('batch_augments'))
            names, wants = names_of_augments(augments), _wants_classes(model)
            if names and wants:
                raise ConfigurationError(
                    f'{where} mixes the labels of several images ({names}), but {wants}; remove its '
                    f'batch_augments'
                )
            if names and not getattr(model.data_preprocessor, 'to_onehot', False):
                raise ConfigurationError(
                    f'{where} mixes the labels of several images ({names}), which MMPretrain does to one-hot '
                    f'labels alone and else leaves out; set data_preprocessor.to_onehot=True'
                )


def _wants_classes(model: Any) -> str:
    """What needs the class of each sample, as a clause; empty if nothing does."""
    for teacher in model.faculty.teachers:
        if not teacher.is_generalist:
            return f'teacher "{teacher.name}" covers a part of the classes only'
    if model.teacher_weighting.needs_labels:
        return model.teacher_weighting.why_labels
    for distiller in model.distillers.values():
        for name, mapping in distiller.loss_forward_mappings.items():
            if reads_labels(distiller, mapping):
                kind = type(distiller.distill_losses[name]).__name__
                return f'distiller.distill_losses.{name} of type {kind} needs class indices'
    return ''
