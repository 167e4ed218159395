"""The names of tensors in a state dict, and what other code bases put before them or between them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ..errors import ConfigurationError
from .foreign_weights import AVERAGED

# What torch puts into names when it wraps modules; no module of a user is called so.
_WRAPPERS = ('_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module')


def without_wrappers(name: str) -> str:
    """The name of a tensor without what DDP, ``torch.compile`` and the like have put into it."""
    parts = [part for part in name.split('.') if part not in _WRAPPERS]
    return '.'.join(parts).removeprefix('module.')


def behind(prefix: str | None, state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Select the weights whose names begin with a prefix, and take the prefix off their names.

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
    """Take a prefix off the names of weights where the rest is the network's own name of a tensor.

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
        of_averages = [prefix for prefix in fitting if AVERAGED.search(prefix)]
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
