import os.path as osp
from dataclasses import dataclass

from mmpretrain.datasets import CIFAR100

from ..errors import ConfigurationError


@dataclass(frozen=True)
class Source:
    """The official archive of a data set.

    Args:
        name (str): Name of the data set in the tools.
        url (str): Address of the archive.
        md5 (str): Checksum of the archive.
        folder (str): The folder that the archive unpacks into.
        marks (tuple[str, ...]): Files or folders in it by which it is recognised.
    """

    name: str
    url: str
    md5: str
    folder: str
    marks: tuple[str, ...] = ()

    def locate(self, root: str, dataset: str) -> str:
        """Find the folder, in ``root`` or ``root`` itself; errors name the class ``dataset``."""
        inside = osp.join(root, self.folder)
        folder = inside if osp.isdir(inside) else root
        missing = [mark for mark in self.marks if not osp.exists(osp.join(folder, mark))]
        # Without marks only the name identifies the folder, so the root itself must have it.
        named = osp.basename(osp.abspath(folder)) == self.folder
        if not osp.isdir(folder) or missing or not (self.marks or named):
            lacks = f'{self.folder}/{missing[0]}' if missing else self.folder
            raise ConfigurationError(
                f'the data set {dataset} is not in "{root}": there is no "{lacks}"; get it by '
                f'"python tools/prepare_data.py {self.name}", which downloads {self.url}, or name '
                'the folder where it is by --cfg-options data_root=FOLDER'
            )
        return folder


# The checksums are those of torchvision 0.16 and later (CIFAR100, Caltech256, Food101) and, for
# Tiny-ImageNet, of Avalanche (avalanche/benchmarks/datasets/tiny_imagenet).
SOURCES = {
    source.name: source
    for source in (
        Source(
            'cifar100', CIFAR100.url, CIFAR100.tgz_md5, CIFAR100.base_folder, ('train', 'test')
        ),
        Source(
            'caltech256',
            'https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar',
            '67b4f42ca05d46448c6bb8ecd2220f6d',
            '256_ObjectCategories',
        ),
        Source(
            'food101',
            'http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz',
            '85eeb15f3717b99a5da872d97d918f87',
            'food-101',
            ('images', 'meta/train.txt', 'meta/test.txt'),
        ),
        Source(
            'tiny_imagenet',
            'http://cs231n.stanford.edu/tiny-imagenet-200.zip',
            '90528d7ca1a48142e341f4ef8d21d0de',
            'tiny-imagenet-200',
            ('train', 'val/val_annotations.txt'),
        ),
    )
}
