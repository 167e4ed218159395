from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init

from ..errors import ConfigurationError
from ..registry import DATASETS, register


@register(DATASETS)
class ClassSubset:
    """A data set's samples of some classes, renumbered in the order of these classes.

    It is what an expert is trained on: with ``classes=[7, 3]`` the samples of class 7 get the
    label 0, those of class 3 the label 1, and all others are left out. The wrapped data set is not
    changed.

    Args:
        dataset (BaseDataset | ClassSubset | dict): The data set, or its config.
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
        dataset: 'BaseDataset | ClassSubset | dict',
        classes: Sequence[int],
        samples_per_class: int | None = None,
        lazy_init: bool = False,
    ) -> None:
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dict(dataset, lazy_init=True) if lazy_init else dataset)
        self.dataset = dataset
        if not isinstance(self.dataset, (BaseDataset, ClassSubset)):
            raise ConfigurationError(
                'dataset of ClassSubset must be a BaseDataset, a ClassSubset or the config of one, '
                f'but got "{type(self.dataset).__name__}"'
            )
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
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Read the wrapped data set and choose the samples, once."""
        if self._fully_initialized:
            return
        self.dataset.full_init()
        labels = np.array(
            [self.dataset.get_data_info(index)['gt_label'] for index in range(len(self.dataset))],
            dtype=int,
        )
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
        self._indices = np.sort(np.concatenate(chosen))
        if not len(self._indices):
            raise ConfigurationError(
                f'classes of ClassSubset leave no sample of {type(self.dataset).__name__}, '
                f'but got {list(self.classes)}'
            )
        self._labels = np.array(
            [self.classes.index(label) for label in labels[self._indices].tolist()]
        )
        self._fully_initialized = True

    @property
    def pipeline(self) -> Callable:
        """Callable: The wrapped data set's."""
        return self.dataset.pipeline

    @pipeline.setter
    def pipeline(self, pipeline: Callable) -> None:
        self.dataset.pipeline = pipeline

    @property
    def test_mode(self) -> bool:
        """bool: The wrapped data set's."""
        return self.dataset.test_mode

    @property
    def max_refetch(self) -> int:
        """int: The wrapped data set's."""
        return self.dataset.max_refetch

    @property
    def metainfo(self) -> dict:
        """dict: The wrapped data set's, with the names of the chosen classes under ``classes``."""
        metainfo = self.dataset.metainfo
        if metainfo.get('classes') is not None:
            metainfo['classes'] = tuple(metainfo['classes'][label] for label in self.classes)
        return metainfo

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """The annotation of a sample, with its new label under ``gt_label``."""
        info = self.dataset.get_data_info(int(self._indices[idx]))
        return dict(info, gt_label=int(self._labels[idx]), sample_idx=int(idx))

    @force_full_init
    def get_gt_labels(self) -> np.ndarray:
        """The new labels of all samples, shape (N, )."""
        return self._labels.copy()

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """The new label of a sample, in a list as samplers of MM projects expect it."""
        return [int(self._labels[idx])]

    @force_full_init
    def __len__(self) -> int:
        return len(self._indices)

    @force_full_init
    def __getitem__(self, idx: int) -> Any:
        # As in MMEngine, a training pipeline that gives up a sample gets another one.
        for _ in range(self.max_refetch + 1):
            sample = self.pipeline(self.get_data_info(idx))
            if sample is not None:
                return sample
            if self.test_mode:
                raise RuntimeError(f'the test pipeline returned nothing for sample {idx}')
            idx = np.random.randint(len(self))
        raise RuntimeError(f'the training pipeline returned nothing {self.max_refetch + 1} times')
