from typing import Any

from mmengine.fileio import list_from_file
from mmpretrain.datasets import Food101

from ..errors import ConfigurationError
from ..registry import DATASETS, register
from .source import SOURCES


@register(DATASETS)
class Food101Subset(Food101):
    """Food-101 (Bossard, Guillaumin and Van Gool 2014), or a part of its classes.

    MMPretrain's ``Food101`` numbers the images by its list of all 101 classes. Here the classes
    are those of the images that ``meta/train.txt`` and ``meta/test.txt`` list, in MMPretrain's
    order, which numbers the complete data set alike. Layout and split are the official ones.

    Args:
        data_root (str): The folder that holds ``food-101``, or that folder itself.
        split (str): ``'train'`` or ``'test'``. Defaults to ``'train'``.
        metainfo (dict, optional): As in MMPretrain's ``BaseDataset``. Defaults to None: the names
            as ``classes``.
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``, such as ``pipeline``.

    Raises:
        ConfigurationError: There is no such split, the data are not there, or a class is none of
            Food-101.
    """

    source = SOURCES['food101']

    def __init__(
        self, data_root: str, split: str = 'train', metainfo: dict | None = None, **kwargs: Any
    ) -> None:
        if split not in ('train', 'test'):
            raise ConfigurationError(
                f"split of Food101Subset must be 'train' or 'test', but got {split!r}"
            )
        folder = self.source.locate(data_root, 'Food101Subset')
        lists = [f'{folder}/meta/{name}.txt' for name in ('train', 'test')]
        found = {line.split('/')[0] for path in lists for line in list_from_file(path) if line}
        everything = Food101.METAINFO['classes']
        unknown = found.difference(everything)
        if unknown or not found:
            raise ConfigurationError(
                f'"{lists[0]}" and test.txt must list images of Food-101 as class/number, but '
                + (f'"{min(unknown)}" is none of its classes' if unknown else 'they list none')
            )
        # load_data_list looks the labels up here.
        self.METAINFO = {'classes': tuple(name for name in everything if name in found)}
        super().__init__(
            data_root=folder, split=split, metainfo={**self.METAINFO, **(metainfo or {})}, **kwargs
        )
