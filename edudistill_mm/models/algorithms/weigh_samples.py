from collections.abc import Mapping, Sequence

import torch

from edudistill_mm.models.distillers import TeacherView
from edudistill_mm.models.teachers import Lesson
from edudistill_mm.models.teachers.weighting import TeacherWeighting


def weigh_samples(
    weighting: TeacherWeighting,
    views: Mapping[str, TeacherView],
    lessons: list[Lesson],
    scores: Sequence[torch.Tensor],
    labels: torch.Tensor | None,
    batch_size: int,
) -> list[Lesson]:
    """Lessons with a weight for each sample, by the teachers' scores.

    Args:
        weighting (TeacherWeighting): The weighting.
        views (Mapping[str, TeacherView]): The views of the teachers, by name.
        lessons (list[Lesson]): The lessons of a batch.
        scores (Sequence[torch.Tensor]): What each lesson's teacher says, [n, C].
        labels (torch.Tensor, optional): Classes of the batch, [B], if the weighting needs them.
        batch_size (int): Size of the batch.
    """
    uncertainties = [
        views[lesson.teacher.name].uncertainty(
            weighting, score, None if labels is None else lesson.select(labels)
        )
        for lesson, score in zip(lessons, scores)
    ]
    return weighting.weigh(lessons, uncertainties, batch_size)
