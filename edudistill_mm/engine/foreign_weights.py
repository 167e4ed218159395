"""Where other code bases put weights: averaged ones beside the plain ones, and names behind
prefixes of whatever was wrapped around a network."""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.logging import print_log
from mmengine.model import PretrainedInit
from torch import Tensor

from ..errors import ConfigurationError

# Where weights are looked for, the first that is there.
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
# A key, or a prefix, that says of weights that they are averaged over the training.
_AVERAGED = re.compile(r'(^|[._])(ema|swa|averaged?)([._]|$)')
# What torch puts into names when it wraps modules; no module of a user is called so.
_WRAPPERS = ('_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module')


def choose_weights(
    checkpoint: Mapping[str, Any], source: str, averaged: bool | None = None
) -> tuple[Mapping[str, Any], str | None]:
    """Find the weights in a checkpoint, and choose where there are averaged ones as well.

    MMEngine's ``EMAHook`` writes the averages as ``'state_dict'`` and the others as
    ``'ema_state_dict'`` (mmengine/hooks/ema_hook.py); other code bases write the averages under
    ``'state_dict_ema'`` (timm), ``'model_ema'`` (torchvision's references, DeiT), ``'ema'`` and
    the like.

    Args:
        checkpoint (Mapping[str, Any]): What is in a file.
        source (str): What to call it in a message.
        averaged (bool, optional): Whether to take the averages. Defaults to None: if there are
            any, as they are what a training with averages validates.

    Returns:
        tuple[Mapping[str, Any], str | None]: The weights by name, perhaps with other things among
            them, and, if there were others, which of them these are, a part of a sentence.

    Raises:
        ConfigurationError: What is asked for is not there.
    """
    keys = [key for key in checkpoint if isinstance(key, str) and _AVERAGED.search(key)]
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
    """The first of the keys under which there are tensors, and the dict that has them."""
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


def without_wrappers(name: str) -> str:
    """The name of a tensor without what DDP, ``torch.compile`` and the like have put into it."""
    parts = [part for part in name.split('.') if part not in _WRAPPERS]
    return '.'.join(parts).removeprefix('module.')


def behind(prefix: str | None, state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The weights whose names begin with a prefix, called what is behind it.

    Args:
        prefix (str, optional): The prefix, with or without its dot, as in MMEngine's
            ``PretrainedInit``. None or '': all of them.
        state (Mapping[str, Tensor]): The weights.
        source (str): What to call them in the message.

    Raises:
        ConfigurationError: There is none.
    """
    start = f'{prefix.rstrip(".")}.' if prefix else ''
    found = {name.removeprefix(start): state[name] for name in state if name.startswith(start)}
    if not found:
        raise ConfigurationError(f'{source} has no tensor that begins with "{start}"')
    return found


def fit_names(
    expected: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    averaged: bool | None = None,
) -> tuple[dict[str, Tensor], str | None]:
    """Take the prefix off weights that are called as a network calls its own, but for a prefix.

    Args:
        expected (Mapping[str, Tensor]): The network's own tensors.
        state (Mapping[str, Tensor]): The weights, perhaps behind a prefix (``'model.'``,
            ``'architecture.'``), with other networks behind other prefixes.
        averaged (bool, optional): Whether to take averages, if several prefixes fit and one of
            them says that it is averaged. Defaults to None: they are taken.

    Returns:
        tuple[dict[str, Tensor], str | None]: The weights, and what has been done to their names, a
            part of a sentence; None if nothing. If no prefix makes all of them fit, it is the one
            behind which most names are, so that what does not fit can be named.

    Raises:
        ConfigurationError: Several prefixes fit.
    """
    wanted = {
        name: tensor.shape
        for name, tensor in expected.items()
        if not name.endswith('num_batches_tracked')
    }
    counts = _prefixes(wanted, state)
    fitting = [prefix for prefix in counts if _fits(wanted, state, prefix)]
    if '' in fitting or not counts:
        return dict(state), None
    if len(fitting) > 1:
        of_averages = [prefix for prefix in fitting if _AVERAGED.search(prefix)]
        others = [prefix for prefix in fitting if prefix not in of_averages]
        fitting = (others if averaged is False else of_averages) or fitting
    if len(fitting) > 1:
        raise ConfigurationError(
            f'it holds several networks that fit, their names begin with '
            f'{" and ".join(f"{prefix!r}" for prefix in fitting)}: choose by '
            f'init_cfg=dict(type="Pretrained", checkpoint=FILE, prefix={fitting[0]!r})'
        )
    prefix = fitting[0] if fitting else max(counts, key=counts.__getitem__)
    if not prefix or counts[prefix] <= len(wanted) // 2:
        return dict(state), None
    return behind(prefix, state, 'it'), f'"{prefix}" is taken off the names of its tensors'


def prefixes_of(expected: Iterable[str], state: Mapping[str, Tensor]) -> list[str]:
    """The prefixes behind which weights have names of a network, the most frequent first.

    Args:
        expected (Iterable[str]): Names of the network's own tensors.
        state (Mapping[str, Tensor]): The weights.
    """
    return [prefix for prefix, _ in _prefixes(dict.fromkeys(expected), state).most_common()]


def _prefixes(names: Mapping[str, Any], state: Mapping[str, Tensor]) -> Counter:
    counts: Counter = Counter()
    for key in state:
        parts = key.split('.')
        for start in range(len(parts)):
            if '.'.join(parts[start:]) in names:
                counts['.'.join([*parts[:start], '']) if start else ''] += 1
    return counts


def _fits(names: Mapping[str, Any], state: Mapping[str, Tensor], prefix: str) -> bool:
    return all(
        prefix + name in state and state[prefix + name].shape == shape
        for name, shape in names.items()
    )


def pretrained_of(init_cfg: Any) -> dict | None:
    """The part of an ``init_cfg`` that names a checkpoint.

    Args:
        init_cfg (Any): A dict, a list of dicts, or anything else.

    Returns:
        dict | None: The first one of type ``Pretrained``.
    """
    for cfg in init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]:
        if isinstance(cfg, dict):
            kind = cfg.get('type')
            if kind is PretrainedInit or kind in ('Pretrained', 'mmengine.Pretrained'):
                return cfg
    return None


@functools.lru_cache(maxsize=None)
def say(message: str) -> None:
    """Log a sentence once: a file may be read several times in a run."""
    print_log(message, logger='current')
