from functools import lru_cache

import numpy as np

_FILLED = np.uint32(1 << 31)
# The golden ratio of 64 bits, an odd number.
_STEP = 0x9E3779B97F4A7C15


def check_values(rows: np.ndarray, entries: np.ndarray, salt: int) -> np.ndarray:
    """A check value of each row of a table, from its bits and from where it stands.

    It is the sum of the row's 16-bit words, each times an odd number of its own, modulo 2**31, and
    has the highest bit set. A change within one word always changes it, of any other change one
    in 2**31 does not; no row has 0.

    Args:
        rows (np.ndarray): Contiguous, [n, C], float16 or float32.
        entries (np.ndarray): The number of each row in the table, int64 [n].
        salt (int): A number that another table does not have.

    Returns:
        np.ndarray: uint32 [n].
    """
    words = rows.view(np.uint16)
    # The products and sums overflow as they should.
    sums = np.einsum('ij,j->i', words, _factors(words.shape[1]), dtype=np.uint32, casting='unsafe')
    sums += entries.astype(np.uint32) * np.uint32(_STEP & 0xFFFFFFFF)
    sums += np.uint32(salt & 0xFFFFFFFF)
    return sums | _FILLED


@lru_cache(maxsize=8)
def _factors(count: int) -> np.ndarray:
    numbers = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_STEP)
    return (numbers >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
