from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from mmpretrain.structures import DataSample

from edudistill_mm.models.labels import field_of

from .base_teacher import BaseTeacher


@dataclass(frozen=True)
class Lesson:
    """What one teacher teaches of a batch.

    Args:
        teacher (BaseTeacher): The teacher.
        rows (torch.Tensor, optional): Indices of its samples, [n]; None is the whole batch.
        share (torch.Tensor, optional): Weight of its loss, a scalar: n over the batch size, less
            what other teachers of the same samples take. None is exactly 1.
        weights (torch.Tensor, optional): Weight of its loss on each of its samples, [n]; None is
            the same on all.
    """

    teacher: BaseTeacher
    rows: torch.Tensor | None
    share: torch.Tensor | None
    weights: torch.Tensor | None = None

    def select(self, inputs: torch.Tensor) -> torch.Tensor:
        """The teacher's own rows of a batch-first tensor."""
        return inputs if self.rows is None else inputs[self.rows]

    @torch.compiler.disable
    def look_up(self, inputs: torch.Tensor, data_samples: list[DataSample]) -> torch.Tensor:
        """All scores, float32 [n, C], of a teacher whose answers are kept.

        ``inputs`` [B, C, H, W] are preprocessed images; their samples say ``sample_idx`` and
        ``view``.
        """
        indices, views = (
            self.select(field_of(data_samples, name)) for name in ('sample_idx', 'view')
        )
        answers: Any = self.teacher.answers
        return answers.look_up(partial(self.select, inputs), indices, views)
