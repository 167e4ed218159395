"""What the parts of a training checkpoint must be, before a runner takes them for it."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigurationError
from .checkpoint import extract_state_dict, misfit, not_finite
from .foreign_weights import behind, prefixes_of

# Type of each key, "?" behind it where it may be missing; a list of one entry stands for any
# number of such.
_EDUCATION = dict(
    grade=str,
    seen=[int],
    curriculum=dict,
    teachers=[{'name': str, 'classes': [int], 'sha256?': str, 'source?': str, 'outputs?': [int]}],
    history={str: {str: Real}},
    validated=int,
    accuracy=list,
)
_TESTED = {'meta?': {'education?': dict(grade=str, seen=[int])}}
_RESUMED = {
    'meta': {'epoch': int, 'iter': int, 'seed?': int, 'education?': _EDUCATION},
    'state_dict': {str: Tensor},
    'message_hub': dict(log_scalars=dict, runtime_info=dict, resumed_keys=dict),
    'optimizer': dict,
}


def check_form(checkpoint: dict, path: str, resume: bool) -> None:
    """Refuse a checkpoint whose parts are of other types than a runner takes them for.

    Args:
        checkpoint (dict): What is in the file.
        path (str): The file.
        resume (bool): Whether training is to go on from it, or only its weights are wanted.

    Raises:
        ConfigurationError: A part is missing or of another type; it is named.
    """
    mistake = _mistake(checkpoint, _RESUMED if resume else _TESTED, '')
    schedulers = checkpoint.get('param_schedulers')
    if (
        mistake is None and resume and isinstance(schedulers, list)
    ):  # a dict with several optimizers
        mistake = _mistake(schedulers, [dict(last_step=int)], 'param_schedulers')
    if mistake is not None:
        hint = ''
        if resume and not any(key in checkpoint for key in ('optimizer', 'message_hub')):
            hint = ': it holds weights alone, and no state of a training'
        elif resume and 'optimizer' not in checkpoint:
            hint = ': it was saved as the best one, or with save_optimizer=False'
        verb = 'resume from' if resume else 'use'
        raise ConfigurationError(f'cannot {verb} "{path}": {mistake}{hint}')


def check_weights(checkpoint: dict, path: str, network: nn.Module, prefix: str | None) -> None:
    """Refuse a checkpoint whose weights are not those of the network, or are no numbers.

    Args:
        checkpoint (dict): What is in the file.
        path (str): The file.
        network (nn.Module): Where its weights shall go.
        prefix (str, optional): The tensors of the network whose names begin so must be there, and
            none beside them. None: only what is there is checked.

    Raises:
        ConfigurationError: The first tensor that is wrong is named.
    """
    # Where there are several, a runner takes this one.
    taken = {key: checkpoint[key] for key in ('state_dict',) if key in checkpoint} or checkpoint
    state = extract_state_dict(taken, f'"{path}"')
    if prefix is not None:
        own = network.state_dict()
        expected = {name: own[name] for name in own if name.startswith(prefix)}
        difference = misfit(expected, state)
        more = [name for name in state if name.startswith(prefix) and name not in own]
        if difference is None and more:
            difference = f'it has {len(more)} tensors more, the first is "{more[0]}"'
        if difference is not None:
            raise ConfigurationError(f'"{path}" does not fit the model: {difference}')
    states = [('', state)]
    if isinstance(checkpoint.get('ema_state_dict'), dict):
        averaged = {
            name.removeprefix('module.'): value
            for name, value in checkpoint['ema_state_dict'].items()
            if isinstance(name, str) and isinstance(value, Tensor)
        }
        states.append(('ema_state_dict: ', averaged))
    for where, tensors in states:
        broken = not_finite(tensors, network)
        if broken is not None:
            raise ConfigurationError(
                f'"{path}" holds weights that are no numbers (NaN or infinite), the first in '
                f'{where}"{broken}"'
            )


def check_part(module: nn.Module, state: dict, prefix: str | None, source: str) -> None:
    """Refuse weights of which MMEngine would load nothing into a part of a model, in silence.

    Args:
        module (nn.Module): The part, with an ``init_cfg`` of type ``Pretrained``.
        state (dict): The weights.
        prefix (str, optional): That of the ``init_cfg``.
        source (str): What to call the file in the message.

    Raises:
        ConfigurationError: No tensor of the part is there, under its name and in its shape.
    """
    part = behind(prefix, state, source)
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
    """Refuse a state of an optimizer that is no numbers.

    Raises:
        ConfigurationError: The place of the first such tensor is named.
    """
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
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return None
    places = (_not_finite_in(item, f'{place}.{key}') for key, item in items)
    return next((found for found in places if found is not None), None)


def _mistake(value: Any, form: Any, place: str) -> str | None:
    """The first thing in a value that is not as its form says, as a part of a sentence."""
    kind = form if isinstance(form, type) else type(form)
    if not isinstance(value, kind) or (kind in (int, Real) and isinstance(value, bool)):
        names = {dict: 'a dict', list: 'a list', str: 'a string', int: 'an integer'}
        wanted = names.get(kind, f'a {kind.__name__.lower()}')
        return f'{place or "it"} must be {wanted}, but is of type {type(value).__name__}'
    if isinstance(form, list):
        entries = [(f'{place}[{index}]', item, form[0]) for index, item in enumerate(value)]
    elif isinstance(form, dict) and form and not isinstance(next(iter(form)), str):
        ((of_key, of_item),) = form.items()
        for key in value:
            if not isinstance(key, of_key):
                return f'{place} has the key {key!r}, but must have names as keys'
        entries = [(f'{place}.{key}', item, of_item) for key, item in value.items()]
    elif isinstance(form, dict):
        entries = []
        for key, part in form.items():
            name, where = key.rstrip('?'), f'{place}.{key}'.strip('.').rstrip('?')
            if value.get(name) is not None:
                entries.append((where, value[name], part))
            elif not key.endswith('?'):
                return f'{where} is missing'
    else:
        return None
    mistakes = (_mistake(item, part, where) for where, item, part in entries)
    return next((found for found in mistakes if found is not None), None)
