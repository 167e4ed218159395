"""Checkpoints of tensors and plain Python values, which torch reads without an allow-list."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from ..errors import ConfigurationError


def plain_form(
    values: Mapping, left_out: Callable[[str, TypeError], None], place: str = ''
) -> dict:
    """Copy a dict with its log history as tensors and its numpy numbers as Python's.

    ``left_out`` gets the dotted key of each value without a plain form, which the copy lacks, and
    the reason; ``place`` is the key of the dict itself.
    """
    plain = {}
    for key, value in values.items():
        where = f'{place}.{key}' if place else str(key)
        try:
            plain[_plain(key, left_out, where)] = _plain(value, left_out, where)
        except TypeError as error:
            left_out(where, error)
    return plain


def _plain(value: Any, left_out: Callable[[str, TypeError], None], place: str) -> Any:
    """The plain form of ``value``; ``TypeError`` if it has none."""
    if isinstance(value, HistoryBuffer):
        log_history, count_history = (
            torch.from_numpy(np.array(numbers)) for numbers in value.data
        )
        return dict(
            log_history=log_history, count_history=count_history, max_length=value.max_length
        )
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(value.tolist(), left_out, place)
    if isinstance(value, Mapping):
        return plain_form(value, left_out, place)
    if isinstance(value, (list, tuple)):
        items = [_plain(item, left_out, place) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if value is None or isinstance(value, (torch.Tensor, torch.dtype, torch.device)):
        return value
    if type(value) in (bool, int, float, str, bytes):
        return value
    raise TypeError(f'a {type(value).__name__} is neither a tensor nor a plain Python value')


def history_of(name: str, plain: dict) -> HistoryBuffer:
    """Turn the plain form of the log history ``name`` back."""
    try:
        return HistoryBuffer(
            plain['log_history'].cpu().numpy(),
            plain['count_history'].cpu().numpy(),
            plain['max_length'],
        )
    except (KeyError, AttributeError, AssertionError, TypeError) as error:
        raise ConfigurationError(
            f'the checkpoint to load holds a log history "{name}" that this package did not write: {error}'
        ) from error
