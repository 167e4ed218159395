import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import DefaultSampler
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

from edudistill_mm.datasets import ClassSubset, Digits
from edudistill_mm.errors import ConfigurationError

DIGITS = Digits(split='test')


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, unique=True))
def test_it_holds_the_samples_of_its_classes_under_new_labels(classes):
    subset = ClassSubset(DIGITS, classes)
    labels = DIGITS.get_gt_labels()
    kept = [index for index, label in enumerate(labels) if label in classes]
    assert len(subset) == len(kept)
    for position, index in enumerate(kept):
        info = subset.get_data_info(position)
        assert classes[info['gt_label']] == labels[index]
        assert np.array_equal(info['img'], DIGITS.get_data_info(index)['img'])
        assert subset.get_cat_ids(position) == [info['gt_label']]
    assert subset.get_gt_labels().tolist() == [classes.index(label) for label in labels[kept]]
    assert subset.metainfo['classes'] == tuple(str(label) for label in classes)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, unique=True), st.integers(1, 40))
def test_it_keeps_the_first_samples_of_each_class(classes, count):
    subset = ClassSubset(DIGITS, classes, samples_per_class=count)
    labels = DIGITS.get_gt_labels().tolist()
    kept = [
        index
        for index, label in enumerate(labels)
        if label in classes and labels[:index].count(label) < count
    ]
    assert len(subset) == len(kept)
    for position, index in enumerate(kept):
        info, original = subset.get_data_info(position), DIGITS.get_data_info(index)
        assert np.array_equal(info['img'], original['img'])
        assert classes[info['gt_label']] == original['gt_label']


def test_a_subset_of_a_subset_counts_in_the_numbering_of_the_inner_one():
    inner = dict(type='ClassSubset', classes=[9, 4, 7], samples_per_class=2, dataset=DIGITS)
    subset = ClassSubset(inner, [2, 0])
    assert subset.metainfo['classes'] == ('7', '9')
    assert sorted(subset.get_gt_labels()) == [0, 0, 1, 1]
    for info in map(subset.get_data_info, range(4)):
        digit = (7, 9)[info['gt_label']]
        images = [
            DIGITS.get_data_info(index)['img']
            for index in np.flatnonzero(DIGITS.get_gt_labels() == digit)
        ]
        assert any(np.array_equal(info['img'], image) for image in images[:2])


def test_the_pipeline_of_a_subset_is_that_of_the_innermost_dataset():
    digits = Digits(split='test', test_mode=True, pipeline=[lambda info: info['gt_label']])
    subset = ClassSubset(ClassSubset(digits, [3, 5]), [1])
    assert {subset[index] for index in range(len(subset))} == {0}
    subset.pipeline = lambda info: 'other'
    assert subset[0] == digits[0] == 'other'
    assert subset.test_mode


def test_the_wrapped_dataset_stays_as_it_was():
    subset = ClassSubset(DIGITS, [7, 3])
    subset.get_gt_labels()[:] = -1
    assert set(subset.get_gt_labels()) == {0, 1}
    assert set(DIGITS.get_gt_labels()) == set(range(10))
    assert len(DIGITS.metainfo['classes']) == 10


def test_the_pipeline_sees_the_new_label():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        subset = DATASETS.build(
            dict(
                type='ClassSubset',
                classes=[7, 3],
                dataset=dict(type='Digits', split='test', pipeline=[dict(type='PackInputs')]),
            )
        )
    packed = [subset[index]['data_samples'].gt_label.item() for index in range(len(subset))]
    assert packed == subset.get_gt_labels().tolist()
    assert set(packed) == {0, 1}
    assert sorted(DefaultSampler(subset, shuffle=True)) == list(range(len(subset)))


def test_a_sample_that_training_gives_up_is_replaced_by_another_of_the_subset():
    all_but_first = Digits(
        split='test', pipeline=[lambda info: info if info['sample_idx'] else None]
    )
    train = ClassSubset(all_but_first, [7, 3])
    assert train[0]['gt_label'] in (0, 1)
    test = ClassSubset(Digits(split='test', test_mode=True, pipeline=[lambda info: None]), [7, 3])
    with pytest.raises(RuntimeError, match='sample 0'):
        test[0]


def test_it_can_wait_with_reading():
    inner = Digits(split='test', lazy_init=True)
    subset = ClassSubset(inner, [1], lazy_init=True)
    assert subset.metainfo['classes'] == ('1',)
    assert not inner._fully_initialized
    subset.full_init()
    assert len(subset) == 36
    nested = dict(type='ClassSubset', classes=[2, 1], dataset=dict(type='Digits', split='test'))
    outer = ClassSubset(nested, [1], lazy_init=True)
    assert not outer.dataset.dataset._fully_initialized
    assert len(outer) == 36


@pytest.mark.parametrize(
    'classes, reason',
    [
        ([], 'different'),
        ([1, 1], 'different'),
        ([3, 10], r'10 classes, but got \[10\]'),
        ([-1], r'\[-1\]'),
        (['3'], r"\['3'\]"),
    ],
)
def test_wrong_classes_are_an_error(classes, reason):
    with pytest.raises(ConfigurationError, match=reason):
        ClassSubset(DIGITS, classes)


@pytest.mark.parametrize('count', [0, -1, 2.0, '3', True])
def test_samples_per_class_must_be_a_positive_integer(count):
    with pytest.raises(ConfigurationError, match=f'samples_per_class.*{count!r}'):
        ClassSubset(DIGITS, [0], samples_per_class=count)


def test_a_class_without_a_sample_leaves_nothing():
    with pytest.raises(ConfigurationError, match='no sample'):
        ClassSubset(Digits(split='test', indices=10, classes=[*'0123456789', 'ten']), [10])


def test_only_a_dataset_can_be_wrapped():
    with pytest.raises(ConfigurationError, match='"list"'):
        ClassSubset([1, 2], [0])
