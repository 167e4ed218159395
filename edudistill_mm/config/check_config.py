"""Find the mistakes of an education that need neither data nor weights to be found."""

from typing import Any

from mmengine.config import Config

from edudistill_mm.config.networks import untrained_network
from edudistill_mm.config.output_names import note_output_names
from edudistill_mm.config.parts import hooks_of, is_missing, metrics_of, schedulers_of, types_in
from edudistill_mm.config.ranks import check_ranks
from edudistill_mm.config.resident import check_augmentation_of, check_resident
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.algorithms import EducationDistill
from edudistill_mm.models.network import build_module
from edudistill_mm.models.teachers.teacher_keys import SINGLE, part_of
from edudistill_mm.type_name import type_name


def check_config(run: RunConfig) -> EducationDistill | None:
    """Find the mistakes that can be found without data, teachers' weights and training.

    Args:
        run (RunConfig): The config.

    Returns:
        EducationDistill | None: The algorithm, which :func:`build_untrained` has built; None for a
        model of another type, of which only resident data are checked.

    Raises:
        ConfigurationError: For the first mistake.
    """
    check_resident(run)
    if not run.is_education:
        return None
    cfg, curriculum = run.cfg, run.curriculum
    loop = cfg.get('train_cfg') or {}
    by_epoch = 'max_epochs' in loop
    if by_epoch and 'max_iters' in loop:
        raise ConfigurationError(
            f'train_cfg has both max_epochs={loop["max_epochs"]} and max_iters={loop["max_iters"]}; where '
            f'one of them comes from a base, put _delete_=True into train_cfg'
        )
    if by_epoch or 'max_iters' in loop:
        curriculum.check_length(by_epoch, loop['max_epochs' if by_epoch else 'max_iters'])
    for index, scheduler in enumerate(schedulers_of(cfg)):
        if not by_epoch and 'max_iters' in loop and scheduler.get('by_epoch', True):
            raise ConfigurationError(
                f'param_scheduler[{index}] counts epochs (by_epoch=True, its default), but train_cfg '
                f'counts iterations; set by_epoch=False'
            )
    hooks = [type_name(hook) for hook in hooks_of(cfg)]
    if hooks.count('GradeSchedulerHook') > 1:
        raise ConfigurationError(
            'custom_hooks have dict(type="GradeSchedulerHook") more than once'
        )
    if 'GradeSchedulerHook' not in hooks:
        raise ConfigurationError(
            f'custom_hooks lack dict(type="GradeSchedulerHook"), without which no grade is ever entered; '
            f'they are {", ".join(hooks)}'
        )
    sampler = (cfg.get('train_dataloader') or {}).get('sampler') or {}
    if curriculum.needs_sampler and type_name(sampler) != 'GradeSampler':
        raise ConfigurationError(
            f'train_dataloader.sampler must be dict(type="GradeSampler"), because the grades differ '
            f'in classes, order or augmentation of the samples, but is "{type_name(sampler)}"'
        )
    check_augmentation_of(run)

    for key in ('val_evaluator', 'test_evaluator'):
        _check_topk(cfg.get(key), key, curriculum.num_classes)
    if any(kind == 'CRDLoss' for kind in types_in(cfg.model.get('distiller') or {})):
        _check_contrast(cfg)
    algorithm = build_untrained(run)
    check_ranks(cfg, algorithm)
    return algorithm


def build_untrained(run: RunConfig) -> EducationDistill:
    """Build the algorithm of an education with untrained teachers, whose weights are not read."""
    cfg, curriculum = run.cfg, run.curriculum
    model = cfg.model.to_dict() if hasattr(cfg.model, 'to_dict') else dict(cfg.model)
    single = model.pop('teacher', None) is not None
    model.pop('teacher_ckpt', None)
    if single:
        model['teacher'] = _untrained(run.teachers[0], SINGLE, curriculum)['architecture']
    elif run.teachers:
        model['teachers'] = [
            _untrained(teacher, f'teachers[{index}]', curriculum)
            for index, teacher in enumerate(run.teachers)
        ]
    if cfg.get('data_preprocessor') is not None:
        model.setdefault('data_preprocessor', cfg.data_preprocessor.to_dict())
    return build_module(model, 'model', 'mmpretrain')


def _check_topk(evaluator: Any, key: str, num_classes: int) -> None:
    """See that accuracies exist, which metrics would only find out after the first epoch."""
    for index, metric in enumerate(metrics_of(evaluator)):
        topk = metric.get('topk') if type_name(metric) in ('Accuracy', 'GradeAccuracy') else None
        places = topk if isinstance(topk, (list, tuple)) else [topk]
        if any(isinstance(place, int) and place > num_classes for place in places):
            raise ConfigurationError(
                f'{key}[{index}].topk is {topk}, but there are only {num_classes} classes; no k may '
                'exceed that'
            )


def _check_contrast(cfg: Config) -> None:
    """See that the data set numbers its samples, by which CRDLoss remembers them."""
    kinds = list(types_in(cfg.get('train_dataloader') or {}))
    for kind, key in (('CRDDataset', 'dataset'), ('PackCRDClsInputs', 'dataset.dataset.pipeline')):
        if kind not in kinds:
            raise ConfigurationError(
                f'distiller.distill_losses has a CRDLoss, which needs "mmrazor.{kind}" in '
                f'train_dataloader.{key}, but there is none'
            )


def _untrained(teacher: dict, key: str, curriculum: Curriculum) -> dict:
    """A teacher's config with an untrained network and no checkpoint."""
    network = untrained_network(teacher['architecture'], part_of(key, 'architecture'))
    if not is_missing(teacher):
        try:
            count = len(curriculum.classes_of(teacher.get('classes', 'all')))
        except ConfigurationError as error:
            raise ConfigurationError(f'{key}.classes: {error}') from error
        note_output_names(network, teacher, count, key)
    return dict(teacher, architecture=network, ckpt=None)
