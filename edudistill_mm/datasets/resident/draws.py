import hashlib
from functools import lru_cache

import numpy as np

# SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def uniform_draws(stream: str, indices: np.ndarray, count: int) -> np.ndarray:
    """Random numbers that depend on a stream and an index only, [len(indices), count].

    They are uniform in [0, 1), float64. An index has the sequence of a SplitMix64 generator, whose
    state is made from the stream's hash and the index.
    """
    state = _mix(_key(stream) + indices.astype(np.uint64) * _STEP)
    steps = np.arange(1, count + 1, dtype=np.uint64) * _STEP
    return (_mix(state[:, None] + steps) >> np.uint64(11)) * 2.0**-53


@lru_cache(maxsize=16)
def _key(stream: str) -> np.ndarray:
    # An array of one: numpy warns of the overflow of scalars, which is wanted here.
    return np.frombuffer(hashlib.blake2b(stream.encode(), digest_size=8).digest(), np.uint64)


def _mix(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))
