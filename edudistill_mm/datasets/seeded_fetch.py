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
    """Loads the samples of a batch, each with random numbers by seed and progress only.

    What transforms draw from ``random``, ``numpy.random`` and ``torch`` for a sample is the same
    in any process, at any place of a batch and after any other sample. A resumed run augments as
    the uninterrupted one, whether workers were persistent or not, and several processes augment as
    one does. The generators of the process that loads keep their states.

    It becomes the data set's ``__getitems__``, which PyTorch's data loaders call for a batch.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __call__(self, indices: Sequence[Any]) -> list[Any]:
        """Load the samples of a batch; plain indices, not :class:`SeededIndex`, as usual."""
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
