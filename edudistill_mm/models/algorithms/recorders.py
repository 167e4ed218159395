from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmrazor.models.distillers import OFDDistiller
from mmrazor.models.task_modules.recorder import ModuleOutputsRecorder
from torch import nn

from edudistill_mm.errors import ConfigurationError, did_you_mean, reason_of
from edudistill_mm.models.run_labels import RunLabels
from edudistill_mm.models.teachers import Teacher, TeacherEnsemble

# Scores and labels come after all modules that overwrite their inputs.
AFTER_FEATURES = ('head', 'head.fc', 'head.loss_module')
# Modules whose outputs are class scores.
SCORES = ('', 'head', 'head.fc')


def records_features(distiller: nn.Module) -> bool:
    """Whether a recorder may hold a tensor that a module overwrites in place.

    If none does, modules may go on overwriting, which saves time and memory.
    """
    return not all(
        isinstance(recorder, ModuleOutputsRecorder) and recorder.source in AFTER_FEATURES
        for manager in (distiller.student_recorders, distiller.teacher_recorders)
        for recorder in manager.recorders.values()
    )


def attach_recorders(recorders: dict[str, Any], network: nn.Module, key: str, owner: str) -> None:
    """Attach recorders to a network; errors call them ``key``, and the network ``owner``."""
    modules = dict(network.named_modules())
    for name, recorder in recorders.items():
        if isinstance(recorder, ModuleOutputsRecorder) and recorder.source not in modules:
            raise ConfigurationError(
                f'distiller.{key}.{name} records "{recorder.source}", which is not a module of {owner}'
                f'{did_you_mean(recorder.source, modules)}'
            )
        try:
            recorder.initialize(network)
        except AssertionError as error:
            raise ConfigurationError(f'distiller.{key}.{name}: {reason_of(error)}') from error


def record_teacher(distiller: nn.Module, teacher: Teacher) -> None:
    """Attach a distiller's recorders to its teacher; give overhaul distillation its margins."""
    recorders = distiller.teacher_recorders.recorders
    attach_recorders(recorders, teacher.network, 'teacher_recorders', f'teacher "{teacher.name}"')
    with distiller.teacher_recorders:
        teacher.dry_run(lambda image: teacher.network(image, mode='tensor'))
    for name, recorder in recorders.items():
        if not recorder.data_buffer:
            raise ConfigurationError(
                f'distiller.teacher_recorders.{name} records "{recorder.source}", which never runs when '
                f'teacher "{teacher.name}" classifies an image'
            )
        recorder.reset_data_buffer()
    if isinstance(distiller, OFDDistiller):
        try:
            distiller.init_ofd_connectors(teacher.network)
        except AssertionError as error:
            raise ConfigurationError(f'distiller: {reason_of(error)}') from error


def record_teachers(
    distillers: nn.ModuleDict, teachers: Sequence[Teacher], labels: RunLabels, ensemble: bool
) -> None:
    """Attach distillers to the teachers' networks; refuse those that read what they cannot get."""
    for teacher in teachers:
        distiller = distillers[TeacherEnsemble.NAME if ensemble else teacher.name]
        record_teacher(distiller, teacher)
        if teacher.keeping is not None:
            check_keeping(distiller, teacher, labels)
        if ensemble:
            what = 'model.teacher_ensemble=True averages'
            check_reads_scores(distiller, teacher, what, 'teacher_ensemble=False')


def check_keeping(distiller: nn.Module, teacher: Teacher, labels: RunLabels) -> None:
    """Refuse to keep a teacher's class scores where they do not replace running it."""
    what = f'keep_answers of teacher "{teacher.name}"'
    if labels.mixing:
        raise ConfigurationError(
            f'{what} is impossible: {labels.mixing} changes the images after their views, so that no '
            'image comes twice; remove the batch augments, or keep_answers'
        )
    check_reads_scores(distiller, teacher, f'{what} keeps', 'keep_answers=False')


def check_reads_scores(distiller: nn.Module, teacher: Teacher, what: str, without: str) -> None:
    """Refuse a distiller that reads more of a teacher than class scores.

    Args:
        distiller (nn.Module): The distiller, whose recorders are attached to the teacher.
        teacher (Teacher): The teacher.
        what (str): The setting that needs this with a verb, such as 'keep_answers keeps'.
        without (str): The setting with which the distiller is possible.
    """
    if distiller.deliveries.deliveries:
        raise ConfigurationError(
            f'{what} class scores alone, but distiller.distill_deliveries hand data of each run of the '
            f'teacher to the student; set {without}'
        )
    recorders = distiller.teacher_recorders.recorders
    with distiller.teacher_recorders:
        scores = teacher.dry_run(lambda image: teacher.network(image, mode='tensor'))
    for name, recorder in recorders.items():
        (record, *more), _ = recorder.data_buffer, recorder.reset_data_buffer()
        reads_scores = type(recorder) is ModuleOutputsRecorder and recorder.source in SCORES
        if not reads_scores or more or not torch.equal(record, scores):
            raise ConfigurationError(
                f'{what} class scores alone, but distiller.teacher_recorders.{name} of type '
                f'{type(recorder).__name__} records "{recorder.source}"; possible are the outputs of '
                f'{", ".join(SCORES[1:])} and of the whole network, or {without}'
            )


def restrict_classifiers(
    distiller: nn.Module, num_classes: int, select: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """Restrict classifiers in connectors, as BYOT's, to the score columns that are selected."""
    for path, module in distiller.connectors.named_modules():
        is_classifier = path.endswith('.fc') and isinstance(module, nn.Linear)
        if is_classifier and module.out_features == num_classes:
            module.register_forward_hook(lambda module, inputs, scores: select(scores))
