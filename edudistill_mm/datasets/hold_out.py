from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from ..errors import ConfigurationError
from ..registry import DATASETS, register
from ..validation.values import check_choice
from .subset import Subset

PARTS = ('train', 'held_out')


@register(DATASETS)
class HoldOut(Subset):
    """One of the two parts of a data set of which a share of each class is held out.

    Choices among trainings, such as that of a curriculum, are made on the part that is held out,
    so that the test images are fresh for the chosen one. Of the same samples, and with the same
    share and seed, the two parts have no sample in common and all together, whatever their
    pipelines. MMPretrain's ``KFoldDataset`` splits without regard to the classes, and reorders the
    samples.

    Args:
        dataset (BaseDataset | Subset | dict): The data set, or its config.
        part (str): 'train' for what is left, 'held_out' for what is held out.
        share (float): The share of each class that is held out, rounded to whole samples.
            Defaults to 0.1.
        seed (int): Decides which samples of a class these are. Defaults to 0.
        lazy_init (bool): See :class:`Subset`. Defaults to False.

    Raises:
        ConfigurationError: For a value that is none of these, and if a class has too few samples
            for both parts.
    """

    def __init__(
        self,
        dataset: BaseDataset | Subset | dict,
        part: str,
        share: float = 0.1,
        seed: int = 0,
        lazy_init: bool = False,
    ) -> None:
        check_choice(part, PARTS, 'part of HoldOut')
        check_share(share, seed, 'of HoldOut')
        self.part, self.share, self.seed = part, share, seed
        super().__init__(dataset, lazy_init)

    def choose(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The samples of the part, with the labels that they have."""
        held_out = np.zeros(len(labels), bool)
        for label in np.unique(labels).tolist():
            samples = np.flatnonzero(labels == label)
            count = int(self.share * len(samples) + 0.5)
            if not 0 < count < len(samples):
                raise ConfigurationError(
                    f'share of HoldOut is {self.share}, which of the {len(samples)} samples of class {label} '
                    f'holds out {count}; each part needs at least one of each class'
                )
            # Of each class by itself, so that a data set of other classes holds out the same.
            order = np.random.default_rng([self.seed, label]).permutation(samples)
            held_out[order[:count]] = True
        indices = np.flatnonzero(held_out if self.part == 'held_out' else ~held_out)
        return indices, labels[indices]


def check_share(share: Any, seed: Any, where: str) -> None:
    """Refuse a share that is not between 0 and 1, or a seed that is no number from 0."""
    if type(share) is not float or not 0 < share < 1:
        raise ConfigurationError(
            f'share {where} must be a number above 0 and below 1, such as 0.1, but got {share!r}'
        )
    if type(seed) is not int or seed < 0:
        raise ConfigurationError(f'seed {where} must be an integer from 0, but got {seed!r}')
