"""Tiny data sets in the official layouts of the paper's data sets, full of coloured noise."""

import pickle
from pathlib import Path

import numpy as np
from mmpretrain.datasets import CIFAR100
from mmpretrain.registry import DATASETS
from PIL import Image

FOODS = ('apple_pie', 'cheese_plate', 'cheesecake', 'pizza', 'sushi', 'waffles')
WNIDS = ('n01443537', 'n01629819', 'n02124075', 'n04067472', 'n04540053', 'n07747607')
CATEGORIES = (
    '003.backpack',
    '020.brain',
    '045.computer-keyboard',
    '056.dog',
    '159.people',
    '198.spider',
)


@DATASETS.register_module(force=True)
class SmallCIFAR100(CIFAR100):
    """CIFAR-100 with other files than the published ones."""

    train_list, test_list = [['train', None]], [['test', None]]
    meta = dict(filename='meta', key='fine_label_names', md5=None)


def picture(path, size=(40, 48), mode='RGB'):
    """Write an image of noise, the same for the same path name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(sum(map(ord, path.name))).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(path, 'JPEG')


def caltech256(root, categories=CATEGORIES, images=5):
    """``images`` pictures of each category, numbered from 1."""
    for category in categories:
        for number in range(1, images + 1):
            name = f'{category[:3]}_{number:04d}.jpg'
            picture(Path(root, '256_ObjectCategories', category, name))
    return root


def food101(root, classes=FOODS, train=4, test=1):
    """``train`` and ``test`` pictures of each class."""
    folder = Path(root, 'food-101')
    (folder / 'meta').mkdir(parents=True)
    lists = dict(train=[], test=[])
    for name in classes:
        for number in range(train + test):
            picture(folder / 'images' / name / f'{number}.jpg')
            lists['train' if number < train else 'test'].append(f'{name}/{number}')
    for split, lines in lists.items():
        (folder / 'meta' / f'{split}.txt').write_text('\n'.join(lines) + '\n')
    (folder / 'meta' / 'classes.txt').write_text('\n'.join(classes) + '\n')
    return root


def tiny_imagenet(root, wnids=WNIDS, train=4, val=1, words=True):
    """``train`` and ``val`` pictures of each class."""
    folder = Path(root, 'tiny-imagenet-200')
    annotations = []
    for wnid in wnids:
        for number in range(train):
            picture(folder / 'train' / wnid / 'images' / f'{wnid}_{number}.JPEG', (64, 64))
        for _ in range(val):
            name = f'val_{len(annotations)}.JPEG'
            picture(folder / 'val' / 'images' / name, (64, 64), 'L')
            annotations.append(f'{name}\t{wnid}\t0\t0\t63\t63')
    (folder / 'val' / 'val_annotations.txt').write_text('\n'.join(annotations) + '\n')
    if words:
        lines = [f'{wnid}\tword {wnid[-2:]}, other word' for wnid in wnids]
        (folder / 'words.txt').write_text('\n'.join(lines) + '\n')
    return root


def cifar100(root):
    """One training image of each class, and a test image of the first ten."""
    folder = Path(root, 'cifar-100-python')
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, count in (('train', 100), ('test', 10)):
        images = random.integers(0, 255, (count, 3072), np.uint8)
        entry = dict(data=images, fine_labels=list(range(count)))
        (folder / name).write_bytes(pickle.dumps(entry))
    (folder / 'meta').write_bytes(pickle.dumps(dict(fine_label_names=['x'] * 100)))
    return root


LAYOUTS = dict(
    caltech256=caltech256, cifar100=cifar100, food101=food101, tiny_imagenet=tiny_imagenet
)
