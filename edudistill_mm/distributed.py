"""What the ranks of a run must have in common, and the model inside of their wrapper."""

from typing import Any

from mmengine.dist import all_gather_object, broadcast_object_list
from mmengine.model import is_model_wrapper
from torch import nn

from .errors import ConfigurationError


def check_same_on_all_ranks(facts: dict[str, Any], advice: str) -> None:
    """Raise the same ConfigurationError on all ranks if one has other facts than rank 0.

    Otherwise the ranks would train different things silently, or wait for each other forever.
    Facts are named as in the error message, which ends with the advice, and compared by ``==``.
    """
    everyone = all_gather_object(facts)
    for name, value in everyone[0].items():
        for rank, other in enumerate(everyone):
            if other[name] != value:
                raise ConfigurationError(
                    f'process {rank} of {len(everyone)} has another {name} than process 0: '
                    f'{other[name]} instead of {value}; {advice}'
                )


def broadcast_from_main(value: bool) -> bool:
    """The main rank's value, on all ranks."""
    said = [value]
    broadcast_object_list(said)
    return said[0]


def unwrap_model(model: nn.Module) -> nn.Module:
    """The model inside of its wrapper for several ranks, or the model itself."""
    return model.module if is_model_wrapper(model) else model
