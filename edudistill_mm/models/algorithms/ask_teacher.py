from collections.abc import Mapping

import torch
from mmpretrain.structures import DataSample
from torch import nn

from edudistill_mm.models.teachers import Lesson, TeacherEnsemble


def ask_teacher(
    distiller: nn.Module,
    lesson: Lesson,
    inputs: torch.Tensor,
    data_samples: list[DataSample],
    answers: Mapping[str, torch.Tensor],
    labels: torch.Tensor | None,
) -> torch.Tensor | None:
    """Ask a lesson's teacher of its rows, and fill the recorders of its distiller.

    Args:
        distiller (nn.Module): The teacher's distiller.
        lesson (Lesson): The lesson.
        inputs (torch.Tensor): Preprocessed images of the batch, [B, C, H, W].
        data_samples (list[DataSample]): Their labels.
        answers (Mapping[str, torch.Tensor]): Kept answers that have been looked up, by teacher.
        labels (torch.Tensor, optional): Classes of the batch, [B], if the weighting needs them.

    Returns:
        torch.Tensor: Scores of the teacher's outputs, [n, C]; None if the student gives them.
    """
    teacher = lesson.teacher
    # The recorders of an ensemble, and of a teacher whose answers are kept, record class scores alone.
    if isinstance(teacher, TeacherEnsemble):
        members = (Lesson(member, None, None) for member in teacher.members)
        said = [
            member.teacher.teach(inputs)
            if member.teacher.answers is None
            else member.teacher.columns.select(_look_up(member, inputs, data_samples, answers))
            for member in members
        ]
        record = scores = teacher.join(said, labels)
    elif teacher.answers is not None:
        record = _look_up(lesson, inputs, data_samples, answers)
        scores = teacher.columns.select(record)
    else:
        return _run(distiller, lesson, inputs)
    for recorder in distiller.teacher_recorders.recorders.values():
        recorder._data_buffer = [record]
    return scores


def _look_up(
    lesson: Lesson,
    inputs: torch.Tensor,
    data_samples: list[DataSample],
    answers: Mapping[str, torch.Tensor],
) -> torch.Tensor:
    record = answers.get(lesson.teacher.name)
    return lesson.look_up(inputs, data_samples) if record is None else record


def _run(distiller: nn.Module, lesson: Lesson, inputs: torch.Tensor) -> torch.Tensor | None:
    """Run a teacher's network in the view of the recorders and deliveries."""
    distiller.set_deliveries_override(False)
    for delivery in distiller.deliveries.deliveries.values():
        # At a lower grade the student may leave a delivery unread.
        delivery.data_queue.clear()
    with distiller.teacher_recorders, distiller.deliveries:
        scores = lesson.teacher.teach(lesson.select(inputs))
    distiller.set_deliveries_override(True)
    return scores
