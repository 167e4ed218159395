"""Where code bases put the plain and the averaged weights of a checkpoint."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ..errors import ConfigurationError

# Keys of plain weights, in the order of precedence.
PLAIN_KEYS = (
    'state_dict',
    'model',
    'model_state_dict',
    'model_state',
    'net',
    'network',
    'params',
    'weights',
    'module',
)

# A key, or a prefix, of weights that are averaged over the training.
AVERAGED = re.compile(r'(^|[._])(ema|swa|averaged?)([._]|$)')


def choose_weights(
    checkpoint: Mapping[str, Any], source: str, averaged: bool | None = None
) -> tuple[Mapping[str, Any], str | None]:
    """Choose the plain or the averaged weights of a checkpoint.

    MMEngine's ``EMAHook`` writes the averages as ``'state_dict'`` and the others as
    ``'ema_state_dict'`` (mmengine/hooks/ema_hook.py); other code bases write the averages under
    ``'state_dict_ema'`` (timm), ``'model_ema'`` (torchvision's references, DeiT), ``'ema'`` and
    the like.

    Args:
        checkpoint (Mapping[str, Any]): What is in a file.
        source (str): What to call the file in a message.
        averaged (bool, optional): Whether to take the averages. None: if there are any, because a
            training with averages validates these.

    Returns:
        tuple[Mapping[str, Any], str | None]: The weights by name, perhaps among other things, and
            a clause that says which weights these are, if there are others.
    """
    keys = [key for key in checkpoint if isinstance(key, str) and AVERAGED.search(key)]
    plain_key, plain = _first_weights(checkpoint, PLAIN_KEYS)
    other_key, others = _first_weights(checkpoint, keys)
    if others is None:
        if averaged:
            raise ConfigurationError(f'{source} holds no averaged weights')
        return checkpoint if plain is None else plain, None
    if plain is None:
        if averaged is False:
            raise ConfigurationError(f'{source} holds averaged weights alone, under "{other_key}"')
        return others, None
    swapped = plain_key == 'state_dict' and other_key == 'ema_state_dict' and 'steps' in others
    if averaged is not False:
        chosen, which = (plain if swapped else others), ('averaged', 'plain')
    else:
        chosen, which = plain, ('plain', 'averaged')
        if swapped:
            chosen = {name: others.get(f'module.{name}', value) for name, value in plain.items()}
    return chosen, f'its {which[0]} weights are taken, not the {which[1]} ones, which it holds too'


def _first_weights(
    checkpoint: Mapping[str, Any], keys: Iterable[str]
) -> tuple[str | None, Mapping[str, Any] | None]:
    """The first key that holds tensors, and the dict of these tensors."""
    for key in keys:
        value = checkpoint.get(key)
        if not isinstance(value, dict):
            continue
        if any(isinstance(item, Tensor) for item in value.values()):
            return key, value
        # An average with its own bookkeeping.
        _, inner = _first_weights(value, PLAIN_KEYS)
        if inner is not None:
            return key, inner
    return None, None
