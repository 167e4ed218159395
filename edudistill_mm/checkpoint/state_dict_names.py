from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ..errors import ConfigurationError
from .foreign_weights import AVERAGED

# Parts that torch adds to names when it wraps modules.
_WRAPPERS = ('_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module')


def without_wrappers(name: str) -> str:
    """A tensor's name without the parts that DDP, ``torch.compile`` and the like have added."""
    parts = [part for part in name.split('.') if part not in _WRAPPERS]
    return '.'.join(parts).removeprefix('module.')


def strip_prefix(
    prefix: str | None, state: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """Select the weights behind a prefix, given with or without its dot, and cut it off."""
    start = f'{prefix.rstrip(".")}.' if prefix else ''
    found = {name.removeprefix(start): state[name] for name in state if name.startswith(start)}
    if not found:
        raise ConfigurationError(f'{source} has no tensor that begins with "{start}"')
    return found


def match_names(
    expected: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    averaged: bool | None = None,
) -> tuple[dict[str, Tensor], str | None]:
    """Cut a prefix (``'model.'``) off the names of weights where a network's own names follow.

    If several prefixes fit and some say that they are averages, ``averaged`` chooses; None takes
    the averages. If none fits, the most frequent one is cut off, so that the caller can name what
    does not fit.

    Returns:
        tuple[dict[str, Tensor], str | None]: The weights, and a clause that says what was cut off.
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
    return strip_prefix(prefix, state, 'it'), f'"{prefix}" is taken off the names of its tensors'


def prefixes_of(expected: Iterable[str], state: Mapping[str, Tensor]) -> list[str]:
    """The prefixes behind which weights have names of a network, the most frequent first."""
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
