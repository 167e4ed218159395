import torch

from edudistill_mm.registry import MODELS, register

from .teacher_weighting import TeacherWeighting


@register(MODELS)
class AverageWeighting(TeacherWeighting):
    """Teachers count by their ``weight`` alone, whatever the sample."""

    by_sample = False

    def uncertainty(self, scores: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Zeros, [n]: no teacher counts as less sure than another."""
        return scores.new_zeros(len(scores))
