import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edudistill_mm.datasets import ClassSubset, Digits, HoldOut, ResidentDataset
from edudistill_mm.errors import ConfigurationError

DIGITS = Digits(split='test')
OF_ALL = DIGITS.get_gt_labels().tolist()


def images(dataset):
    return [dataset.get_data_info(index)['img'].tobytes() for index in range(len(dataset))]


@settings(max_examples=15, deadline=None)
@given(st.floats(0.05, 0.95), st.integers(0, 100))
def test_the_parts_are_disjoint_and_everything_and_each_class_has_its_share(share, seed):
    train, held_out = (HoldOut(DIGITS, part, share, seed) for part in ('train', 'held_out'))
    assert sorted(images(train) + images(held_out)) == sorted(images(DIGITS))
    assert not set(images(train)) & set(images(held_out))
    for label in range(10):
        count = OF_ALL.count(label)
        assert abs((held_out.get_gt_labels() == label).sum() - share * count) <= 0.5
    assert train.metainfo['classes'] == DIGITS.metainfo['classes']


def test_labels_stay_and_the_order_is_that_of_the_data_set():
    held_out = HoldOut(DIGITS, 'held_out', 0.2)
    kept = images(held_out)
    places = [index for index, image in enumerate(images(DIGITS)) if image in set(kept)]
    assert held_out.get_gt_labels().tolist() == [OF_ALL[place] for place in places]
    assert kept == [images(DIGITS)[place] for place in places]


def test_the_seed_decides_and_nothing_else():
    np.random.seed(0)
    first = images(HoldOut(DIGITS, 'held_out', 0.2, seed=1))
    np.random.seed(5)
    other_pipeline = Digits(split='test', test_mode=True, pipeline=[lambda info: info])
    assert first == images(HoldOut(other_pipeline, 'held_out', 0.2, seed=1))
    assert first != images(HoldOut(DIGITS, 'held_out', 0.2, seed=2))


def test_a_class_is_split_alike_whatever_other_classes_there_are():
    whole = HoldOut(DIGITS, 'held_out', 0.2)
    few = HoldOut(ClassSubset(DIGITS, [0, 1, 2]), 'held_out', 0.2)
    assert images(few) == images(ClassSubset(whole, [0, 1, 2]))


def test_it_can_be_resident_and_the_images_make_another_fingerprint():
    pipeline = [dict(type='mmpretrain.RandomFlip', prob=0.5), dict(type='mmpretrain.PackInputs')]
    digits = Digits(split='test', pipeline=pipeline)

    def resident(seed):
        made = ResidentDataset(HoldOut(digits, 'train', 0.2, seed), training=True, device='cpu')
        made.full_init()
        return made

    assert len(resident(0)) == len(HoldOut(digits, 'train', 0.2))
    assert resident(0).fingerprint == resident(0).fingerprint != resident(1).fingerprint


@pytest.mark.parametrize(
    'values, reason',
    [
        (dict(part='test'), 'part of HoldOut must be one of train, held_out, but got .test'),
        (dict(share=1), 'share of HoldOut must be a number above 0 and below 1, .* but got 1'),
        (dict(share=True), 'share of HoldOut must be .* but got True'),
        (dict(seed=-1), 'seed of HoldOut must be an integer from 0, but got -1'),
        (
            dict(share=0.01),
            'share of HoldOut is 0.01, which of the 35 samples of class 0 holds out 0',
        ),
        (dict(dataset=[1]), 'dataset of HoldOut must be .* but got "list"'),
    ],
)
def test_what_cannot_be_split_is_refused(values, reason):
    with pytest.raises(ConfigurationError, match=reason):
        HoldOut(**{**dict(dataset=DIGITS, part='train'), **values})
