"""Augmentation that depends on seed and progress only."""

import hashlib
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ..random_state import random_state_preserved
from .seeded_index import SeededIndex


class SeededFetch:
    """Loads the samples of a batch, each with random numbers of its own.

    What the transforms of a sample draw from ``random``, ``numpy.random`` and ``torch`` is then
    the same in whichever process, at whichever place of a batch and after whatever else it is
    loaded: a resumed run augments as the uninterrupted one, whether workers were persistent or
    not, and several processes augment as one does. The generators of the process that loads are
    left as they were.

    It becomes the data set's ``__getitems__``, which PyTorch's data loaders call for a batch.

    Args:
        dataset (Dataset): Where the samples come from.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __call__(self, indices: Sequence[Any]) -> list[Any]:
        """Load samples.

        Args:
            indices (Sequence[int]): Plain indices, which are loaded as usual, or
                :class:`SeededIndex`.

        Returns:
            list: The samples.
        """
        if not any(isinstance(index, SeededIndex) for index in indices):
            return [self.dataset[index] for index in indices]
        with random_state_preserved():
            return [self._load(index) for index in indices]

    def _load(self, index: SeededIndex) -> Any:
        _seed(f'{index.stream}/{int(index)}')
        return self.dataset[int(index)]


def _seed(name: str) -> None:
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), 'little')
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # torch.manual_seed would seed the GPUs as well.
    torch.default_generator.manual_seed(seed)
