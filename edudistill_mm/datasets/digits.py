from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset

from ..errors import ConfigurationError
from ..registry import DATASETS, register


@register(DATASETS)
class Digits(BaseDataset):
    """The handwritten digits that come with scikit-learn: 1797 images of 8x8 pixels, 10 classes.

    They are the test set of "Optical Recognition of Handwritten Digits"
    (https://archive.ics.uci.edu/dataset/80) and need no download. An image is a ``uint8`` array of
    shape (8, 8, 3): the 17 grey levels are spread over 0..255, and the three channels are equal.

    The split is fixed: of each class, in scikit-learn's order, every fifth image is for testing.
    That makes 1442 images for training (140 to 147 of a class) and 355 for testing (34 to 36 of a
    class).

    Args:
        split (str): ``'train'`` or ``'test'``. Defaults to ``'train'``.
        **kwargs: Arguments of MMPretrain's ``BaseDataset``, such as ``pipeline`` and
            ``test_mode``.

    Raises:
        ConfigurationError: There is no such split.
    """

    METAINFO = {'classes': tuple(str(digit) for digit in range(10))}

    def __init__(self, split: str = 'train', **kwargs: Any) -> None:
        if split not in ('train', 'test'):
            raise ConfigurationError(
                f"split of Digits must be 'train' or 'test', but got {split!r}"
            )
        self.split = split
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> list[dict]:
        """List ``img`` (uint8, shape (8, 8, 3)) and ``gt_label`` (int) of each image."""
        # scikit-learn takes a second to import.
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        rank_in_class = np.empty_like(labels)
        for label in np.unique(labels):
            of_class = labels == label
            rank_in_class[of_class] = np.arange(of_class.sum())
        chosen = (rank_in_class % 5 == 4) == (self.split == 'test')
        grey = np.round(images[chosen].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
        return [
            dict(img=image.repeat(3, axis=2), gt_label=int(label))
            for image, label in zip(grey, labels[chosen])
        ]

    def extra_repr(self) -> list[str]:
        """The lines that describe this data set in its ``repr``."""
        return [f'Split: \t{self.split}']
