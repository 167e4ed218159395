"""Checks of single values that a config gives, each with the one sentence that refuses it."""

import math
from collections.abc import Collection, Mapping
from numbers import Integral
from typing import Any

from edudistill_mm.errors import ConfigurationError, did_you_mean


def check_keys(given: Any, known: Collection[str], key: str) -> None:
    """Raise ConfigurationError unless a value is a dict that has known keys only."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f'{key} must be a dict with the keys {", ".join(known)}, but got {given!r}'
        )
    for name in given:
        if name not in known:
            raise ConfigurationError(
                f'{key} has the unknown key "{name}"{did_you_mean(name, known)}; possible are '
                f'{", ".join(known)}'
            )


def check_choice(value: Any, possible: Collection[str], key: str) -> None:
    """Raise ConfigurationError unless a value is one of several."""
    if value not in possible:
        raise ConfigurationError(
            f'{key} must be one of {", ".join(possible)}, but got {value!r}'
            f'{did_you_mean(value, possible)}'
        )


def check_bool(value: Any, key: str) -> None:
    """Raise ConfigurationError unless a value is True or False."""
    if not isinstance(value, bool):
        raise ConfigurationError(f'{key} must be True or False, but got {value!r}')


def is_integer(value: Any) -> bool:
    """Whether a value is an integer, numpy's too, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_positive(value: Any, key: str, most: float = math.inf) -> int:
    """Return a value as an int; raise ConfigurationError unless it is an integer from 1 to ``most``."""
    if not is_integer(value) or not 1 <= value <= most:
        limit = '' if most == math.inf else f' of at most {most}'
        raise ConfigurationError(f'{key} must be a positive integer{limit}, but got {value!r}')
    return int(value)


def check_size(size: Any, key: str, otherwise: str = '') -> tuple[int, int] | None:
    """Return the size of images as (height, width), and None as it is.

    ``otherwise`` says what else is possible, for the message.

    Raises:
        ConfigurationError: Unless it is a positive integer, which stands for both, or two.
    """
    if size is None:
        return None
    pair = (size, size) if is_integer(size) else size
    if (
        not isinstance(pair, (list, tuple))
        or len(pair) != 2
        or not all(is_integer(side) and side > 0 for side in pair)
    ):
        raise ConfigurationError(
            f'{key} must be a positive integer or (height, width){otherwise and f" or {otherwise}"}, but '
            f'got {size!r}'
        )
    height, width = map(int, pair)
    return height, width


def check_probability(value: Any, key: str) -> float:
    """Return a value as a float; raise ConfigurationError unless it is a number from 0 to 1."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
        raise ConfigurationError(f'{key} must be a number from 0 to 1, but got {value!r}')
    return float(value)


def check_number(value: Any, key: str, largest: float = float('inf')) -> None:
    """Raise ConfigurationError unless a value is a finite number above 0, up to a largest one."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value <= largest or value == float('inf'):
        limit = '' if largest == float('inf') else f' and up to {largest:.4g}'
        raise ConfigurationError(f'{key} must be a number above 0{limit}, but got {value!r}')


def check_weight(weight: Any, key: str) -> None:
    """Raise ConfigurationError unless the factor of a loss is a finite number from 0 on."""
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not number or not 0 <= weight < float('inf'):
        raise ConfigurationError(f'{key} must be a number >= 0, but got {weight!r}')
