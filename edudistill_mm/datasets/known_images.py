from collections.abc import Sequence

import numpy as np
from mmpretrain.datasets import BaseDataset


class KnownImages(BaseDataset):
    """Black images in the place of those of a data set that is not there, or need not be read.

    Args:
        classes (Sequence[str]): Names of the classes.
        images (Sequence[int]): Number of images of each class.
        size (tuple[int, int]): Height and width of an image.
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``, such as ``pipeline``.
    """

    def __init__(
        self, classes: Sequence[str], images: Sequence[int], size: tuple[int, int], **kwargs
    ) -> None:
        self._labels = np.repeat(np.arange(len(classes)), images)
        self._image = np.zeros((*size, 3), np.uint8)
        super().__init__(
            ann_file='', metainfo={'classes': tuple(classes)}, serialize_data=False, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """Nothing: annotations are made one by one."""
        return []

    def __len__(self) -> int:
        return len(self._labels)

    def get_data_info(self, idx: int) -> dict:
        """The annotation of a sample, with its image."""
        size, label = self._image.shape[:2], int(self._labels[idx])
        return dict(
            img=self._image, img_shape=size, ori_shape=size, gt_label=label, sample_idx=idx
        )

    def get_gt_labels(self) -> np.ndarray:
        """The labels of all samples, shape (N, )."""
        return self._labels
