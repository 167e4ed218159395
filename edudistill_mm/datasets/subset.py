from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init

from ..errors import ConfigurationError
from ..registry import DATASETS


class Subset(ABC):
    """Some samples of a data set, in its order, with labels of their own.

    Subclasses choose the samples; the wrapped data set is not changed.

    Args:
        dataset (BaseDataset | Subset | dict): The data set, or its config.
        lazy_init (bool): Read the samples, those of a ``dataset`` given as config as well, only at
            the first access. Defaults to False.

    Raises:
        ConfigurationError: ``dataset`` is of another type.
    """

    def __init__(self, dataset: 'BaseDataset | Subset | dict', lazy_init: bool = False) -> None:
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dict(dataset, lazy_init=True) if lazy_init else dataset)
        self.dataset = dataset
        if not isinstance(self.dataset, (BaseDataset, Subset)):
            raise ConfigurationError(
                f'dataset of {type(self).__name__} must be a BaseDataset, a ClassSubset, a HoldOut or '
                f'the config of one, but got "{type(self.dataset).__name__}"'
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
        self._indices, self._labels = self.choose(labels)
        self._fully_initialized = True

    @abstractmethod
    def choose(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which samples are kept, in ascending order, and their new labels.

        Args:
            labels (np.ndarray): The labels in the wrapped data set, [N].
        """

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
        """dict: The wrapped data set's."""
        return self.dataset.metainfo

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

    def prepare_data(self, idx: int) -> Any:
        """A sample as the pipeline gives it; None if that gives it up."""
        return self.pipeline(self.get_data_info(idx))

    @force_full_init
    def __getitem__(self, idx: int) -> Any:
        # As in MMEngine, a training pipeline that gives up a sample gets another one.
        for _ in range(self.max_refetch + 1):
            sample = self.prepare_data(idx)
            if sample is not None:
                return sample
            if self.test_mode:
                raise RuntimeError(f'the test pipeline returned nothing for sample {idx}')
            idx = np.random.randint(len(self))
        raise RuntimeError(f'the training pipeline returned nothing {self.max_refetch + 1} times')
