import os.path as osp
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.fileio import list_dir_or_file
from mmpretrain.datasets import CustomDataset
from mmpretrain.datasets.custom import find_folders, get_samples

from ..errors import ConfigurationError, did_you_mean
from ..registry import DATASETS, register

# What OpenCV reads: MMPretrain's CustomDataset leaves out the last ones.
EXTENSIONS = ('.jpg', '.jpeg', '.jfif', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp')


@register(DATASETS)
class ImageFolder(CustomDataset):
    """A folder with a folder of images for each class, at any depth below it.

    MMPretrain's ``CustomDataset`` numbers the classes by the folders of each split: where one is
    missing in the validation images, the labels of all behind it are wrong. Here the folders of one
    split number the classes of all, and hidden folders and those without images are no classes.

    Args:
        data_root (str): The folder of the data set.
        data_prefix (str): The folder of this split in it, '' for ``data_root`` itself. Defaults to
            ''.
        numbered_by (str, optional): The folder in ``data_root`` whose folders are the classes, in
            alphabetical order. Defaults to None: ``data_prefix``.
        leave_out (Sequence[str]): Files that are not used, such as damaged ones: paths from
            ``data_root``, separated by '/'. Defaults to ().
        extensions (Sequence[str]): Defaults to :data:`EXTENSIONS`.
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``, such as ``pipeline``.

    Raises:
        ConfigurationError: There is no such folder, no folder of images in it, or one that is no
            class; or names for the classes are given, which are the folders' own.
    """

    def __init__(
        self,
        data_root: str,
        data_prefix: str = '',
        numbered_by: str | None = None,
        leave_out: Sequence[str] = (),
        extensions: Sequence[str] = EXTENSIONS,
        **kwargs: Any,
    ) -> None:
        data_root = osp.expanduser(data_root)
        self.extensions = tuple(extensions)
        self.left_out = frozenset(map(osp.normpath, leave_out))
        self.split = data_prefix
        metainfo = dict(kwargs.pop('metainfo', None) or {})
        given = kwargs.pop('classes', None) or metainfo.get('classes')
        if given is not None:
            raise ConfigurationError(
                f'the classes of ImageFolder are its folders in alphabetical order, so that '
                f'classes={given!r} is not possible; leave it out, or use CustomDataset'
            )
        classes = list(self._classes(osp.join(data_root, numbered_by or data_prefix)))
        if not classes:
            raise ConfigurationError(
                f'"{osp.join(data_root, numbered_by or data_prefix)}" holds no folder with images; '
                f'each class needs one'
            )
        metainfo['classes'] = tuple(classes)
        super().__init__(
            data_root=data_root,
            data_prefix=data_prefix,
            extensions=extensions,
            metainfo=metainfo,
            **kwargs,
        )

    def _classes(self, folder: str) -> Iterator[str]:
        """The folders in a folder that have images, in alphabetical order."""
        if not osp.isdir(folder):
            raise ConfigurationError(f'the folder of images "{folder}" does not exist')
        for name in find_folders(folder)[0]:
            files = list_dir_or_file(osp.join(folder, name), list_dir=False, recursive=True)
            if not name.startswith('.') and any(map(self.is_valid_file, files)):
                yield name

    def _find_samples(self) -> list[tuple[str, int]]:
        """Paths from the folder of the split, and the numbers of their classes."""
        known = list(self.CLASSES)
        for name in self._classes(self.img_prefix):
            if name not in known:
                raise ConfigurationError(
                    f'the folder "{name}" of "{self.img_prefix}" is none of the {len(known)} classes'
                    f'{did_you_mean(name, known)}'
                )
        numbers = {
            name: number
            for number, name in enumerate(known)
            if osp.isdir(osp.join(self.img_prefix, name))
        }
        samples, _ = get_samples(self.img_prefix, numbers, self.is_valid_file)
        return [
            (path, number)
            for path, number in samples
            if osp.normpath(osp.join(self.split, path)) not in self.left_out
        ]
