from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from .growing_array import GrowingArray

# A run that writes no log keeps no more than so many numbers that have not been read.
MOST = 1000


class LazyHistoryBuffer(HistoryBuffer):
    """MMEngine's ``HistoryBuffer``, whose updates are cheap, and which takes tensors.

    MMEngine's buffer copies the whole history at each update, and who has a tensor must wait for
    the device to know its number. Here an update costs the same however long the history is, and
    numbers are read together: when statistics or the data are asked for, or when 1000 wait. The
    answers are the same, bit for bit. A copy, or what is read from a pickle, is a
    ``HistoryBuffer``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._waiting: list[tuple[Any, int | float]] = []
        super().__init__(*args, **kwargs)

    def update(self, log_val: Any, count: int | float = 1) -> None:
        """Append a number, or a tensor of one element that nobody changes, and its count."""
        if not isinstance(log_val, (float, int, torch.Tensor)) or not isinstance(
            count, (int, float)
        ):
            # This raises, and says why.
            super().update(log_val, count)
        self._waiting.append((log_val, count))
        if len(self._waiting) >= MOST:
            self._read()

    def current(self) -> np.ndarray:
        """The last number."""
        # Timers ask in each iteration.
        if self._waiting and type(self._waiting[-1][0]) is float:
            return np.float64(self._waiting[-1][0])
        return super().current()

    def _read(self) -> None:
        if self._waiting:
            values, counts = zip(*self._waiting)
            self._waiting = []
            self._logs.extend(_numbers(values), self.max_length)
            self._counts.extend(counts, self.max_length)

    # Statistics, also those that users register, read these two as they are in MMEngine's class.
    @property
    def _log_history(self) -> np.ndarray:
        self._read()
        return self._logs.last(self.max_length)

    @_log_history.setter
    def _log_history(self, values: np.ndarray) -> None:
        self._logs = GrowingArray(values)

    @property
    def _count_history(self) -> np.ndarray:
        self._read()
        return self._counts.last(self.max_length)

    @_count_history.setter
    def _count_history(self, values: np.ndarray) -> None:
        self._counts = GrowingArray(values)

    def __reduce__(self) -> tuple:
        return HistoryBuffer, (*self.data, self.max_length)


def _numbers(values: Sequence) -> Sequence:
    """Numbers, and the elements of tensors, which are read at once where they are of one kind."""
    kinds = {
        (value.dtype, value.device) if isinstance(value, torch.Tensor) else None
        for value in values
    }
    if len(kinds) == 1 and None not in kinds:
        return torch.stack([value.reshape(()) for value in values]).tolist()
    return [value.item() if isinstance(value, torch.Tensor) else value for value in values]
