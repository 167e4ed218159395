import torch

from edudistill_mm.registry import MODELS, register

from .teacher_weighting import TeacherWeighting


@register(MODELS)
class EntropyWeighting(TeacherWeighting):
    """The surer a teacher is of a sample, the more it counts.

    This is EBKD (Kwon et al., ICASSP 2020), in the form that the authors of CA-MKD compare with.
    """

    def uncertainty(self, scores: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """Entropies, [n], over the largest possible one, so that experts compare."""
        log_probabilities = scores.float().log_softmax(1)
        total = -(log_probabilities.exp() * log_probabilities).sum(1)
        return total / torch.log(torch.tensor(float(scores.shape[1])))
