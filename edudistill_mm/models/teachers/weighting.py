"""How much each of the teachers that know a sample's class has to say about the sample."""

import torch

# Names that a config may give as ``teacher_weighting``.
SCHEMES = ('average', 'entropy', 'confidence')


def entropy(scores: torch.Tensor) -> torch.Tensor:
    """Entropy of the predicted distributions, as a share of the largest possible one.

    The share, so that experts of different numbers of classes compare.

    Args:
        scores (torch.Tensor): Class scores, [n, C], C >= 2.

    Returns:
        torch.Tensor: Values from 0 to 1, [n].
    """
    log_probabilities = scores.float().log_softmax(1)
    total = -(log_probabilities.exp() * log_probabilities).sum(1)
    return total / torch.log(torch.tensor(float(scores.shape[1])))


def teacher_weights(
    scheme: str, doubts: torch.Tensor, covered: torch.Tensor, fixed: torch.Tensor
) -> torch.Tensor:
    """Weights of K teachers for each of B samples.

    Of the K' teachers that cover a sample, teacher k gets ``(1 - q_k) / (K' - 1)``, where ``q_k``
    is its share of the doubts about the sample: for 'entropy', its part of the sum of the
    teachers' entropies (EBKD, Kwon et al., ICASSP 2020, in the form that the authors of CA-MKD
    compare with); for 'confidence', the softmax over the teachers of their cross-entropies with
    the label (CA-MKD, Zhang et al., arXiv 2201.00007, its w_KD). The result is multiplied by the
    teachers' fixed weights and normalised to a sum of 1. A sample that one teacher alone covers
    is wholly that teacher's.

    Args:
        scheme (str): 'entropy' | 'confidence'.
        doubts (torch.Tensor): Entropies or cross-entropies, [K, B]; read where ``covered``.
        covered (torch.Tensor): Whether a teacher covers a sample, bool [K, B].
        fixed (torch.Tensor): The ``weight`` of each teacher, [K].

    Returns:
        torch.Tensor: Weights, [K, B], 0 where not ``covered``, which sum to 1 over the teachers of
        each sample that any covers.
    """
    count = covered.sum(0)
    if scheme == 'confidence':
        shares = doubts.masked_fill(~covered, float('-inf')).softmax(0)
    else:
        doubts = doubts * covered
        total = doubts.sum(0)
        # Nobody doubts: nobody is preferred.
        shares = torch.where(total > 0, doubts / total.clamp_min(1e-12), 1 / count.clamp_min(1))
    weights = torch.where(count > 1, 1 - shares, torch.ones_like(doubts))
    # With teachers that are sure to the last digit, all of 1 - q could be 0 but for rounding.
    weights = weights.clamp_min(1e-12) * covered * fixed[:, None]
    return weights / weights.sum(0).clamp_min(torch.finfo(weights.dtype).tiny)
