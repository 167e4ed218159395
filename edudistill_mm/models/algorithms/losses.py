from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from edudistill_mm.models.distillers import mean_of


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


def fill_up(
    losses: dict[str, torch.Tensor],
    names: Sequence[str],
    inputs: torch.Tensor,
    parameters: Iterable[nn.Parameter],
) -> dict[str, torch.Tensor]:
    """Give losses of zero to those of ``names`` that no teacher has a sample for.

    So the log keeps its columns, and a run without the student's own loss still has a backward
    pass, which other ranks wait for.
    """
    missing = [name for name in names if name not in losses]
    parameter = next((p for p in parameters if p.requires_grad), None) if missing else None
    return losses | {name: ZeroLoss.apply(inputs.new_zeros(()), parameter) for name in missing}


def weigh_losses(losses: dict[str, Any], weight: float) -> dict[str, Any]:
    """Multiply what MMEngine sums up: all entries with "loss" in their names."""
    if weight == 1:
        return losses

    def weigh(value: Any) -> Any:
        several = isinstance(value, (list, tuple))
        return [item * weight for item in value] if several else value * weight

    return {name: weigh(value) if 'loss' in name else value for name, value in losses.items()}


def sum_losses(losses: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The total loss, and what the log gets; as MMEngine's, but scalars have no mean taken."""
    means = {name: mean_of(value) for name, value in losses.items()}
    parts = [value for name, value in means.items() if 'loss' in name]
    total = sum(parts[1:], parts[0]) if parts else 0
    return total, dict(loss=total) | means
