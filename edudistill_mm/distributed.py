"""The ranks of a run: what they must have in common, and the model inside of their wrapper."""

from typing import Any

from mmengine.dist import all_gather_object, broadcast_object_list
from mmengine.model import is_model_wrapper
from torch import nn

from .errors import ConfigurationError


def check_same_on_all_ranks(facts: dict[str, Any], advice: str) -> None:
    """Refuse a run in which a process has been given something else than the first one.

    Otherwise the processes would train different things without a word, or wait for each other
    for ever. All processes must call it; all raise the same error.

    Args:
        facts (dict[str, Any]): What this process has been given, by what it is called in the
            error message. Values are compared by ``==``.
        advice (str): What the user can do, the end of the sentence.

    Raises:
        ConfigurationError: For the first fact and the first process that differ.
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
    """What the main process says, so that all processes do the same."""
    said = [value]
    broadcast_object_list(said)
    return said[0]


def unwrap_model(model: nn.Module) -> nn.Module:
    """The model inside of its wrapper for several ranks, or the model itself."""
    return model.module if is_model_wrapper(model) else model
