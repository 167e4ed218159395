import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import DATASETS
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader

from edudistill_mm.datasets import Digits
from edudistill_mm.errors import ConfigurationError


def images_of(dataset) -> list[bytes]:
    return [dataset[index]['img'].tobytes() for index in range(len(dataset))]


def test_the_two_splits_are_all_digits_and_share_none():
    train, test = Digits(), Digits(split='test')
    assert (len(train), len(test)) == (1442, 355)
    images, _ = load_digits(return_X_y=True)
    images = np.round(images * (255 / 16)).astype(np.uint8)
    assert sorted(images_of(train) + images_of(test)) == sorted(
        image.repeat(3).tobytes() for image in images
    )


def test_each_class_gives_a_fifth_to_the_test():
    counts = [
        np.bincount(Digits(split=split).get_gt_labels(), minlength=10)
        for split in ('train', 'test')
    ]
    assert np.all(counts[1] == (counts[0] + counts[1]) // 5)


def test_the_split_is_the_same_each_time():
    assert images_of(Digits(split='test')) == images_of(Digits(split='test'))


def test_an_image_is_an_ordinary_picture():
    dataset = Digits()
    image = dataset[0]['img']
    assert image.shape == (8, 8, 3) and image.dtype == np.uint8
    assert np.array_equal(image[..., 0], image[..., 2])
    images = np.stack([dataset[index]['img'] for index in range(len(dataset))])
    assert (images.min(), images.max()) == (0, 255)
    assert dataset.metainfo['classes'] == tuple('0123456789')
    assert dataset[0]['gt_label'] == 0


def test_the_transforms_of_mmpretrain_take_it_by_its_bare_name():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(
            dict(
                type='Digits',
                split='test',
                test_mode=True,
                pipeline=[
                    dict(type='RandomCrop', crop_size=8, padding=1),
                    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                    dict(type='PackInputs'),
                ],
            )
        )
    batch = next(
        iter(
            DataLoader(
                dataset,
                batch_size=4,
                collate_fn=lambda samples: dict(
                    inputs=[s['inputs'] for s in samples],
                    data_samples=[s['data_samples'] for s in samples],
                ),
            )
        )
    )
    out = ClsDataPreprocessor(mean=[78.0] * 3, std=[96.0] * 3, to_rgb=True)(batch)
    assert out['inputs'].shape == (4, 3, 8, 8)
    assert out['data_samples'][0].gt_label.item() == dataset.get_data_info(0)['gt_label']


def test_an_unknown_split_is_an_error():
    with pytest.raises(ConfigurationError, match='val'):
        Digits(split='val')
