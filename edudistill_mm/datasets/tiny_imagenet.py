import os
import os.path as osp
from typing import Any

from mmengine.fileio import list_from_file
from mmpretrain.datasets import BaseDataset

from ..errors import ConfigurationError
from ..registry import DATASETS, register
from .source import SOURCES


@register(DATASETS)
class TinyImageNet(BaseDataset):
    """Tiny-ImageNet (Stanford, CS231n), or a part of its classes.

    It reads the official layout: ``tiny-imagenet-200/train/<wnid>/images/*.JPEG``, and
    ``val/images/*.JPEG`` with the classes of ``val/val_annotations.txt``. The classes are the
    folders of ``train`` in the order of their WordNet ids. Their names are those of ``words.txt``,
    otherwise the ids. The official test images have no labels, so the literature tests on the
    validation images.

    Args:
        data_root (str): The folder that holds ``tiny-imagenet-200``, or that folder itself.
        split (str): ``'train'`` or ``'val'``. Defaults to ``'train'``.
        metainfo (dict, optional): As in MMPretrain's ``BaseDataset``. Defaults to None: the names
            as ``classes`` and the WordNet ids as ``wnids``.
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``, such as ``pipeline``.

    Raises:
        ConfigurationError: There is no such split, the data are not there, or a validation image
            is of a class without training images.
    """

    source = SOURCES['tiny_imagenet']

    def __init__(
        self, data_root: str, split: str = 'train', metainfo: dict | None = None, **kwargs: Any
    ) -> None:
        if split not in ('train', 'val'):
            raise ConfigurationError(
                f"split of TinyImageNet must be 'train' or 'val', but got {split!r}"
            )
        self.split = split
        self.folder = self.source.locate(data_root, 'TinyImageNet')
        train = osp.join(self.folder, 'train')
        self.wnids = tuple(sorted(entry.name for entry in os.scandir(train) if entry.is_dir()))
        if not self.wnids:
            raise ConfigurationError(
                f'the data set TinyImageNet has no class in "{train}", whose folders are called '
                'n01443537 and so on'
            )
        super().__init__(
            ann_file='',
            metainfo={'classes': self._names(), 'wnids': self.wnids, **(metainfo or {})},
            data_root=data_root,
            test_mode=kwargs.pop('test_mode', split == 'val'),
            **kwargs,
        )

    def _names(self) -> tuple:
        words = osp.join(self.folder, 'words.txt')
        lines = list_from_file(words) if osp.exists(words) else []
        names = dict(line.split('\t', 1) for line in lines if '\t' in line)
        return tuple(names.get(wnid, wnid).strip() for wnid in self.wnids)

    def load_data_list(self) -> list[dict]:
        """List ``img_path`` (str) and ``gt_label`` (int) of each image of the split."""
        if self.split == 'val':
            annotations = osp.join(self.folder, 'val', 'val_annotations.txt')
            folder = osp.join(self.folder, 'val', 'images')
            pairs = [line.split('\t')[:2] for line in list_from_file(annotations) if line.strip()]
            paths = [(osp.join(folder, name), wnid) for name, wnid in pairs]
        else:
            folders = {wnid: osp.join(self.folder, 'train', wnid, 'images') for wnid in self.wnids}
            paths = [
                (osp.join(folder, name), wnid)
                for wnid, folder in folders.items()
                for name in sorted(os.listdir(folder))
                if name.endswith('.JPEG')
            ]
        labels = {wnid: label for label, wnid in enumerate(self.wnids)}
        unknown = {wnid for _, wnid in paths}.difference(labels)
        if unknown:
            raise ConfigurationError(
                f'val_annotations.txt of TinyImageNet in "{self.folder}" has images of '
                f'{len(unknown)} classes that are not in "train", the first is "{min(unknown)}"'
            )
        return [dict(img_path=path, gt_label=labels[wnid]) for path, wnid in paths]

    def extra_repr(self) -> list[str]:
        """The lines that describe this data set in its ``repr``."""
        return [f'Root of dataset: \t{self.data_root}', f'Split: \t{self.split}']
