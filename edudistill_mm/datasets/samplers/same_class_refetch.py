from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import DataError


class SameClassRefetch:
    """Replaces a sample that a pipeline gives up by another one of its class.

    MMEngine's data sets take any other sample, which may be of a class that is not taught yet and
    that no active teacher knows. This object becomes the data set's ``prepare_data``.
    ``read_labels`` returns the class of each sample of a data set, shape (N, ), and is called when
    the first sample is given up.
    """

    def __init__(self, dataset: Any, read_labels: Callable[[Any], Any]) -> None:
        self.dataset, self.read_labels = dataset, read_labels
        self._prepare = dataset.prepare_data
        self._labels: np.ndarray | None = None

    def __call__(self, idx: int) -> Any:
        """Prepare the sample, or the first other one of its class that the pipeline accepts.

        A DataError is raised if ``max_refetch`` others were given up as well.
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
