from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigurationError
from .state_dict_checks import check_finite, state_dict_mismatch
from .state_dict_names import prefixes_of, strip_prefix
from .weights import extract_state_dict


def check_weights(checkpoint: dict, path: str, network: nn.Module, prefix: str | None) -> None:
    """Refuse a checkpoint whose weights do not fit the network or are not finite.

    The file must have all tensors of the network whose names begin with ``prefix``, and no others
    there. With ``prefix=None`` only the values are checked.
    """
    # A runner loads "state_dict" where a checkpoint has several sets of weights.
    only = {'state_dict': checkpoint['state_dict']} if 'state_dict' in checkpoint else checkpoint
    state = extract_state_dict(only, f'"{path}"')
    if prefix is not None:
        own = network.state_dict()
        expected = {name: own[name] for name in own if name.startswith(prefix)}
        difference = state_dict_mismatch(expected, state)
        more = [name for name in state if name.startswith(prefix) and name not in own]
        if difference is None and more:
            difference = f'it has {len(more)} tensors more, the first is "{more[0]}"'
        if difference is not None:
            raise ConfigurationError(f'"{path}" does not fit the model: {difference}')
    states = [('"{}"', state)]
    if isinstance(checkpoint.get('ema_state_dict'), dict):
        averaged = {
            name.removeprefix('module.'): value
            for name, value in checkpoint['ema_state_dict'].items()
            if isinstance(name, str) and isinstance(value, Tensor)
        }
        states.append(('ema_state_dict: "{}"', averaged))
    for naming, tensors in states:
        check_finite(tensors, network, f'"{path}"', naming)


def check_part(module: nn.Module, state: dict, prefix: str | None, source: str) -> None:
    """Refuse weights of which MMEngine would silently load nothing into a part of a model.

    ``prefix`` is that of the part's ``init_cfg`` of type ``Pretrained``; ``source`` names the
    file.
    """
    part = strip_prefix(prefix, state, source)
    own = {
        name: tensor
        for name, tensor in module.state_dict().items()
        if not name.endswith('num_batches_tracked')
    }
    if not own or any(name in part and part[name].shape == own[name].shape for name in own):
        return
    wanted, found = next(iter(own)), next(iter(part))
    others = prefixes_of(own, state)
    hint = f'; set prefix="{others[0]}"' if others and others[0] else ''
    raise ConfigurationError(
        f'{source} holds nothing for it{f" behind {prefix!r}" if prefix else ""}: it has for instance '
        f'"{wanted}" of shape {tuple(own[wanted].shape)}, the file "{found}" of shape '
        f'{tuple(part[found].shape)}{hint}'
    )


def check_optimizer(checkpoint: dict, path: str) -> None:
    """Refuse an optimizer's state that has NaN or infinite values."""
    place = _not_finite_in(checkpoint.get('optimizer'), 'optimizer')
    if place is not None:
        raise ConfigurationError(
            f'cannot resume from "{path}": {place} holds values that are no numbers (NaN or infinite)'
        )


def _not_finite_in(value: Any, place: str) -> str | None:
    if isinstance(value, Tensor):
        finite = not value.is_floating_point() or bool(torch.isfinite(value).all())
        return None if finite else place
    if isinstance(value, Mapping):
        items: Iterable = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return None
    places = (_not_finite_in(item, f'{place}.{key}') for key, item in items)
    return next((found for found in places if found is not None), None)
