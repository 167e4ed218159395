from typing import Any

import torch
from torch import nn


class ZeroLoss(torch.autograd.Function):
    """A loss of zero that leads to a parameter, but gives it no gradient.

    Momentum and weight decay would act on a gradient of zeros.
    """

    @staticmethod
    def forward(ctx: Any, zero: torch.Tensor, parameter: nn.Parameter | None) -> torch.Tensor:
        """A copy of the zero."""
        return zero.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, None]:
        """No gradients."""
        return None, None


def weigh_losses(losses: dict[str, Any], weight: float) -> dict[str, Any]:
    """Multiply what MMEngine sums up: all entries with "loss" in their names."""
    if weight == 1:
        return losses

    def weigh(value: Any) -> Any:
        several = isinstance(value, (list, tuple))
        return [item * weight for item in value] if several else value * weight

    return {name: weigh(value) if 'loss' in name else value for name, value in losses.items()}
