"""Checks of the arguments of EducationDistill, each alone and with one another."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from edudistill_mm.errors import ConfigurationError, reason_of
from edudistill_mm.models.run_labels import RunLabels
from edudistill_mm.models.teachers import BaseTeacher
from edudistill_mm.models.teachers.answers import Keeping
from edudistill_mm.models.teachers.weighting import TeacherWeighting
from edudistill_mm.validation import values as validation

DATA_FREE_KEYS = ('generator', 'generator_distiller', 'student_iter', 'student_train_first')


def check_keys(keys: Iterable[str], known: Sequence[str]) -> None:
    """Refuse the first key of a model config that is no argument of ``known``."""
    own = dict.fromkeys(key for key in keys if key not in ('type', '_scope_'))
    for key in own:
        if key in DATA_FREE_KEYS:
            raise ConfigurationError(
                f'model.{key} belongs to data-free distillation (DAFL, DFAD, ZSKT), whose images '
                'come from a generator and have no labels, so that no grade could choose the '
                'classes to be taught; train it by its own algorithm, without a curriculum'
            )
    validation.check_keys(own, known, 'model')


def list_teachers(
    teachers: Sequence[dict] | None, teacher: Any, ckpt: str | None
) -> Sequence[dict] | None:
    """The teachers; MMRazor's configs give one, by ``teacher`` and ``teacher_ckpt``."""
    if teacher is None and ckpt is not None:
        raise ConfigurationError('model.teacher_ckpt is given without model.teacher')
    if teacher is None:
        return teachers
    if teachers is not None:
        raise ConfigurationError('model has both "teacher" and "teachers"; give one of them')
    return [dict(name='teacher', architecture=teacher, ckpt=ckpt)]


def check_frozen(teacher_trainable: bool, teacher_norm_eval: bool) -> None:
    """Refuse teachers that are trained."""
    if teacher_trainable or not teacher_norm_eval:
        raise ConfigurationError(
            'EducationDistill runs frozen teachers in eval mode: teacher_trainable must be False and '
            f'teacher_norm_eval True, but got {teacher_trainable} and {teacher_norm_eval}'
        )


def check_switches(**switches: Any) -> None:
    """Refuse arguments that are neither True nor False."""
    for name, value in switches.items():
        validation.check_bool(value, f'model.{name}')


def check_values(task_loss_weight: Any, distill_loss_weight: Any, data_preprocessor: Any) -> None:
    """Refuse values that are impossible by themselves."""
    validation.check_weight(task_loss_weight, 'model.task_loss_weight')
    validation.check_weight(distill_loss_weight, 'model.distill_loss_weight')
    if not isinstance(data_preprocessor, dict):
        return
    if 'type' not in data_preprocessor:
        raise ConfigurationError(
            f'data_preprocessor lacks the key "type", such as "ClsDataPreprocessor"; it is '
            f'{dict(data_preprocessor)!r}'
        )
    given = [key for key in ('mean', 'std') if data_preprocessor.get(key) is not None]
    if len(given) == 1:
        raise ConfigurationError(
            f'data_preprocessor has "{given[0]}" alone; give both "mean" and "std", or neither'
        )


def check_parts(
    teachers: Sequence[dict] | None,
    distiller: dict | None,
    curriculum: dict | None,
    keep_answers: Any = False,
    teacher_ensemble: bool = False,
) -> None:
    """Refuse a config without a part that its other parts need."""
    Keeping.from_cfg(keep_answers, 'model.keep_answers')
    if keep_answers is not False and not teachers:
        raise ConfigurationError(
            f'model.keep_answers is {keep_answers!r}, but there are no teachers whose answers could be kept'
        )
    if teacher_ensemble and not teachers:
        raise ConfigurationError(
            'model.teacher_ensemble is True, but there are no teachers; leave it out'
        )
    if teachers is not None and not teachers and distiller is not None:
        raise ConfigurationError(
            'model.teachers is an empty list, but there is a model.distiller; leave teachers out '
            'if the student is to be its own teacher'
        )
    if curriculum is None:
        raise ConfigurationError(
            'model.curriculum is missing: EducationDistill needs a dict with "grades"'
        )
    if teachers and distiller is None:
        raise ConfigurationError(
            'model.distiller is missing: it says what the student learns from its teachers'
        )


def check_normalisation(preprocessor: nn.Module, image_shape: Sequence[int]) -> None:
    """Refuse a data preprocessor that cannot normalise images of a shape [C, H, W]."""
    if not getattr(preprocessor, '_enable_normalize', False):
        return
    image = torch.zeros(2, *image_shape)
    try:
        preprocessor(dict(inputs=image), False)
    except Exception as error:  # a preprocessor fails in all ways
        raise ConfigurationError(
            f'data_preprocessor, with mean and std, cannot be run on images of '
            f'{image.shape[1]} channels, which the student reads: {reason_of(error)}'
        ) from error


def check_label_mixing(
    labels: RunLabels, teachers: Sequence[BaseTeacher], weighting: TeacherWeighting
) -> None:
    """Refuse mixed labels where a teacher or the weighting needs classes."""
    if not labels.mixing:
        return
    mixes = f'{labels.mixing} mixes the images of several classes'
    for teacher in teachers:
        if not teacher.is_generalist:
            raise ConfigurationError(
                f'{mixes}, but teacher "{teacher.name}" covers a part of the classes only; remove '
                'the batch augments'
            )
    if weighting.needs_labels:
        raise ConfigurationError(
            f'{mixes}, but {weighting.why_labels}; {weighting.advice}, or remove the batch augments'
        )
