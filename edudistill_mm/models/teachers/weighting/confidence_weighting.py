import torch
from torch.nn import functional as F

from edudistill_mm.registry import MODELS, register

from .teacher_weighting import TeacherWeighting


@register(MODELS)
class ConfidenceWeighting(TeacherWeighting):
    """The more a teacher is right about a sample, the more it counts.

    This is w_KD of CA-MKD (Zhang et al., arXiv 2201.00007).
    """

    needs_labels = True

    def uncertainty(self, scores: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Cross-entropies with the label, [n]."""
        assert labels is not None, 'needs_labels'
        return F.cross_entropy(scores, labels, reduction='none')

    def shares(self, uncertainty: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
        """Softmax over the teachers, [K, B]."""
        return uncertainty.masked_fill(~covered, float('-inf')).softmax(0)
