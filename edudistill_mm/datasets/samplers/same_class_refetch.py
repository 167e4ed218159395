from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import DataError


class SameClassRefetch:
    """Replaces a sample that a pipeline gives up by another one of its class.

    MMEngine's data sets take any other sample, which at a grade may be of a class that is not
    taught yet, and that no active teacher knows.

    Args:
        dataset (BaseDataset): The data set, whose ``prepare_data`` this object becomes.
        read_labels (Callable): Returns the class of each sample of a data set, a tensor of shape
            (N, ); called when the first sample is given up.
    """

    def __init__(self, dataset: Any, read_labels: Callable[[Any], Any]) -> None:
        self.dataset, self.read_labels = dataset, read_labels
        self._prepare = dataset.prepare_data
        self._labels: np.ndarray | None = None

    def __call__(self, idx: int) -> Any:
        """Prepare a sample.

        Args:
            idx (int): Its index.

        Returns:
            Any: What the pipeline returns for the sample, or for the first other one of its class
            that it does not give up.

        Raises:
            DataError: If ``max_refetch`` others were given up as well.
        """
        data = self._prepare(idx)
        if data is not None or self.dataset.test_mode:
            return data
        if self._labels is None:
            self._labels = self.read_labels(self.dataset).numpy()
        label = self._labels[idx]
        alike = np.flatnonzero(self._labels == label)
        for _ in range(self.dataset.max_refetch):
            data = self._prepare(int(np.random.choice(alike)))
            if data is not None:
                return data
        raise DataError(
            f'the pipeline of {type(self.dataset).__name__} gave up sample {idx} of class {label} and '
            f'{self.dataset.max_refetch} draws from the {len(alike)} samples of that class'
        )
