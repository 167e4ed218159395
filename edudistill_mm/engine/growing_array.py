from collections.abc import Sequence

import numpy as np


class GrowingArray:
    """A one-dimensional array with room at its end, so that appending seldom copies what is there.

    Its type follows what is appended as that of ``numpy.append`` does.

    Args:
        values (np.ndarray): What it begins with, [n].
    """

    def __init__(self, values: np.ndarray) -> None:
        self._room, self._size = values, len(values)

    def extend(self, values: Sequence, most: int) -> None:
        """Append numbers; of what was there before, only the last ``most`` need be kept."""
        added = np.array(values)
        kind = np.result_type(self._room, added)
        end = self._size + len(added)
        if end > len(self._room) or kind != self._room.dtype:
            kept = self.last(most)
            end = len(kept) + len(added)
            self._room = np.empty(2 * end, kind)
            self._room[: len(kept)] = kept
        self._room[end - len(added) : end] = added
        self._size = end

    def last(self, count: int) -> np.ndarray:
        """The last ``count`` numbers, or all if there are fewer; not to be written to."""
        return self._room[max(self._size - count, 0) : self._size]
