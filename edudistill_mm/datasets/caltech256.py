import os
import os.path as osp
import re
from typing import Any

from mmpretrain.datasets import BaseDataset

from ..errors import ConfigurationError
from ..registry import DATASETS, register
from .source import SOURCES

CLUTTER = '257.clutter'


@register(DATASETS)
class Caltech256(BaseDataset):
    """Caltech-256 (Griffin, Holub and Perona 2007), or a part of its categories.

    It reads the official layout, ``256_ObjectCategories/<NNN>.<name>/<NNN>_<MMMM>.jpg``. The
    classes are the categories whose folders are there, in the order of their numbers.

    The data set has no official split. Here an image whose number MMMM is a multiple of 5 is for
    testing: every fifth of a category. Of the 29,780 images of the 256 object categories four
    fifths are for training. The archive's 257th category, ``clutter``, is background for the
    rejection of what is no object.

    Args:
        data_root (str): The folder that holds ``256_ObjectCategories``, or that folder itself.
        split (str): ``'train'`` or ``'test'``. Defaults to ``'train'``.
        clutter (bool): Whether ``257.clutter`` is a class, as in torchvision. Defaults to False.
        metainfo (dict, optional): As in MMPretrain's ``BaseDataset``. Defaults to None: the names
            of the categories as ``classes``.
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``, such as ``pipeline``.

    Raises:
        ConfigurationError: There is no such split, or the data are not there.
    """

    source = SOURCES['caltech256']

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        clutter: bool = False,
        metainfo: dict | None = None,
        **kwargs: Any,
    ) -> None:
        if split not in ('train', 'test'):
            raise ConfigurationError(
                f"split of Caltech256 must be 'train' or 'test', but got {split!r}"
            )
        self.split = split
        self.folder = self.source.locate(data_root, 'Caltech256')
        self.categories = sorted(
            entry.name
            for entry in os.scandir(self.folder)
            if entry.is_dir()
            and re.fullmatch(r'\d{3}\..+', entry.name)
            and (clutter or entry.name != CLUTTER)
        )
        if not self.categories:
            raise ConfigurationError(
                f'the data set Caltech256 has no category in "{self.folder}", whose folders are '
                'called 001.ak47 and so on'
            )
        names = tuple(category.split('.', 1)[1] for category in self.categories)
        super().__init__(
            ann_file='',
            metainfo={'classes': names, **(metainfo or {})},
            data_root=data_root,
            test_mode=kwargs.pop('test_mode', split == 'test'),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """List ``img_path`` (str) and ``gt_label`` (int) of each image of the split."""
        images = []
        for label, category in enumerate(self.categories):
            folder = osp.join(self.folder, category)
            # The archive holds other files too, such as 198.spider/RENAME2.
            for name in sorted(os.listdir(folder)):
                match = re.fullmatch(r'\d{3}_(\d{4})\.jpg', name)
                if match and (int(match[1]) % 5 == 0) == (self.split == 'test'):
                    images.append(dict(img_path=osp.join(folder, name), gt_label=label))
        return images

    def extra_repr(self) -> list[str]:
        """The lines that describe this data set in its ``repr``."""
        return [f'Root of dataset: \t{self.data_root}', f'Split: \t{self.split}']
