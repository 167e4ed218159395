from collections.abc import Sequence

import numpy as np
from mmengine.dataset import BaseDataset

from ..errors import ConfigurationError
from ..registry import DATASETS, register
from .subset import Subset


@register(DATASETS)
class ClassSubset(Subset):
    """A data set's samples of some classes, renumbered in the order of these classes.

    It is what an expert is trained on: with ``classes=[7, 3]`` the samples of class 7 get the
    label 0, those of class 3 the label 1, and all others are left out. The wrapped data set is not
    changed.

    Args:
        dataset (BaseDataset | Subset | dict): The data set, or its config.
        classes (Sequence[int]): Class indices of ``dataset``, each once.
        samples_per_class (int, optional): Number of samples to keep of each class, the first ones,
            if there are as many. Defaults to None: all.
        lazy_init (bool): Read the samples, those of a ``dataset`` given as config as well, only at
            the first access. Defaults to False.

    Raises:
        ConfigurationError: ``classes`` is empty, names a class twice or one that the data set does
            not have, ``samples_per_class`` is no positive integer, or no sample is left.
    """

    def __init__(
        self,
        dataset: BaseDataset | Subset | dict,
        classes: Sequence[int],
        samples_per_class: int | None = None,
        lazy_init: bool = False,
    ) -> None:
        if samples_per_class is not None and (
            type(samples_per_class) is not int or samples_per_class < 1
        ):
            raise ConfigurationError(
                'samples_per_class of ClassSubset must be a positive integer or None, but got '
                f'{samples_per_class!r}'
            )
        self.samples_per_class = samples_per_class
        self.classes = tuple(classes)
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ConfigurationError(
                f'classes of ClassSubset must be different class indices, but got {list(self.classes)}'
            )
        super().__init__(dataset, lazy_init)

    def choose(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The samples of the classes, numbered in their order."""
        names = self.dataset.metainfo.get('classes')
        known = range(len(names)) if names is not None else set(labels.tolist())
        unknown = [label for label in self.classes if label not in known]
        if unknown:
            raise ConfigurationError(
                f'classes of ClassSubset must be class indices of {type(self.dataset).__name__}, which has '
                f'{len(known)} classes, but got {unknown}'
            )
        chosen = [
            np.flatnonzero(labels == label)[: self.samples_per_class] for label in self.classes
        ]
        indices = np.sort(np.concatenate(chosen))
        if not len(indices):
            raise ConfigurationError(
                f'classes of ClassSubset leave no sample of {type(self.dataset).__name__}, '
                f'but got {list(self.classes)}'
            )
        return indices, np.array([self.classes.index(label) for label in labels[indices].tolist()])

    @property
    def metainfo(self) -> dict:
        """dict: The wrapped data set's, with the names of the chosen classes under ``classes``."""
        metainfo = self.dataset.metainfo
        if metainfo.get('classes') is not None:
            metainfo['classes'] = tuple(metainfo['classes'][label] for label in self.classes)
        return metainfo
