"""Well-known data sets, of which there is no need to read a file for counting their images."""

import os.path as osp
from typing import Any

from mmpretrain.datasets import CIFAR10, CIFAR100, Food101

from edudistill_mm.config.data import build_dataset, dataset_class, root_key
from edudistill_mm.config.parts import types_in
from edudistill_mm.datasets import Caltech256, Digits, Food101Subset, TinyImageNet
from edudistill_mm.datasets.known_images import KnownImages
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.type_name import type_name

_FOOD = dict(size=(384, 512), train=[750] * 101, test=[250] * 101)
# Size of an image and images of each class of the complete data sets; of Caltech-256, 29,780 in all
# and 80 or more of a category, as if its categories were equally large.
KNOWN = {
    CIFAR10: dict(size=(32, 32), train=[5000] * 10, test=[1000] * 10),
    CIFAR100: dict(size=(32, 32), train=[500] * 100, test=[100] * 100),
    Food101: _FOOD,
    Food101Subset: _FOOD,
    TinyImageNet: dict(size=(64, 64), train=[500] * 200, val=[50] * 200),
    Caltech256: dict(size=(256, 320), train=[93] * 256, test=[23] * 256),
    Digits: dict(
        size=(8, 8),
        train=[143, 146, 142, 147, 145, 146, 145, 144, 140, 144],
        test=[35, 36, 35, 36, 36, 36, 36, 35, 34, 36],
    ),
}
# Others may choose a part.
KEYS = {
    'type',
    'data_root',
    'data_prefix',
    'split',
    'pipeline',
    'download',
    'test_mode',
    '_scope_',
}


def stand_in(dataset: dict) -> dict | None:
    """The config of a data set with as many images of each class as a well-known one.

    Args:
        dataset (dict): The config of a data set, or of a wrapper around one.

    Returns:
        dict | None: None if the data set is not well known, or is one of folders that are there:
        they may hold a part of it.
    """
    inner = dataset.get('dataset')
    if isinstance(inner, dict):
        inner = stand_in(inner)
        return None if inner is None else {**dataset, 'dataset': inner}
    cls = dataset_class(dataset)
    known = KNOWN.get(cls, {})
    images = known.get(dataset.get('split', 'train'))
    if images is None or set(dataset) - KEYS or _is_there(cls, dataset):
        return None
    names = getattr(cls, 'METAINFO', {}).get('classes') or [str(n) for n in range(len(images))]
    pipeline = [
        step for step in dataset.get('pipeline') or () if type_name(step) != 'LoadImageFromFile'
    ]
    return dict(
        type=KnownImages, classes=names, images=images, size=known['size'], pipeline=pipeline
    )


def remark_on(dataset: dict) -> str | None:
    """Say what is only nearly so where a data set is counted without its files."""
    if 'Caltech256' not in types_in(dataset) or stand_in(dataset) is None:
        return None
    return 'Caltech256 is not there: images are counted as if its categories were equally large'


def build_for_counting(loader: dict) -> Any:
    """Build a loader's data set, or its stand-in where only labels and the size of images matter."""
    dataset = loader['dataset']
    # The stand-in has another order, of which such a loader takes the beginning.
    cut = loader.get('num_batch_per_epoch') is not None
    return build_dataset(dataset if cut else stand_in(dataset) or dataset)


def _is_there(cls: type, dataset: dict) -> bool:
    """Whether a data set of folders is there; others are complete or refused."""
    root = dataset.get(root_key(dataset)) or ''
    if not hasattr(cls, 'source'):
        return cls is Food101 and osp.isdir(root)
    try:
        cls.source.locate(root, cls.__name__)
    except ConfigurationError:
        return False
    return True
