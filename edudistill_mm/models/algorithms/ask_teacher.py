from collections.abc import Mapping

import torch
from mmpretrain.structures import DataSample
from torch import nn

from edudistill_mm.models.teachers import Lesson


def ask_teacher(
    distiller: nn.Module,
    lesson: Lesson,
    inputs: torch.Tensor,
    data_samples: list[DataSample],
    answers: Mapping[str, torch.Tensor],
) -> torch.Tensor | None:
    """Ask a lesson's teacher of its rows, and fill the recorders of its distiller.

    Args:
        distiller (nn.Module): The teacher's distiller.
        lesson (Lesson): The lesson.
        inputs (torch.Tensor): Preprocessed images of the batch, [B, C, H, W].
        data_samples (list[DataSample]): Their labels.
        answers (Mapping[str, torch.Tensor]): Kept answers that have been looked up, by teacher.

    Returns:
        torch.Tensor: Scores of the teacher's outputs, [n, C]; None if the student gives them.
    """
    teacher = lesson.teacher
    if teacher.answers is not None:
        record = answers.get(teacher.name)
        if record is None:
            record = lesson.look_up(inputs, data_samples)
        for recorder in distiller.teacher_recorders.recorders.values():
            recorder._data_buffer = [record]
        return teacher.columns.select(record)
    distiller.set_deliveries_override(False)
    for delivery in distiller.deliveries.deliveries.values():
        # At a lower grade the student may leave a delivery unread.
        delivery.data_queue.clear()
    with distiller.teacher_recorders, distiller.deliveries:
        scores = teacher.teach(lesson.select(inputs))
    distiller.set_deliveries_override(True)
    return scores
