from dataclasses import dataclass

import torch

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
