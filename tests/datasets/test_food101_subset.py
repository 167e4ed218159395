import official_layouts
import pytest
from mmpretrain.datasets import Food101

from edudistill_mm.datasets import Food101Subset
from edudistill_mm.errors import ConfigurationError


def test_the_classes_of_a_part_are_numbered_from_0_in_both_splits(tmp_path):
    official_layouts.food101(tmp_path, ['sushi', 'apple_pie'], train=2, test=1)
    train, test = (Food101Subset(str(tmp_path), split) for split in ('train', 'test'))
    assert train.metainfo['classes'] == test.metainfo['classes'] == ('apple_pie', 'sushi')
    assert train.get_gt_labels().tolist() == [1, 1, 0, 0]
    assert test.get_gt_labels().tolist() == [1, 0]


def test_all_classes_are_numbered_as_mmpretrain_does(tmp_path):
    classes = sorted(Food101.METAINFO['classes'])
    official_layouts.food101(tmp_path, classes, train=1, test=0)
    ours = Food101Subset(str(tmp_path))
    theirs = Food101(str(tmp_path / 'food-101'))
    assert len(ours) == 101
    assert ours.metainfo['classes'] == tuple(theirs.metainfo['classes'])
    assert ours.get_gt_labels().tolist() == theirs.get_gt_labels().tolist()


def test_a_part_does_not_change_mmpretrains_own_list(tmp_path):
    official_layouts.food101(tmp_path)
    Food101Subset(str(tmp_path))
    assert len(Food101.METAINFO['classes']) == 101


def test_what_is_no_class_of_food_101_is_refused(tmp_path):
    official_layouts.food101(tmp_path, ['sushi', 'gravel'])
    with pytest.raises(ConfigurationError, match='"gravel" is none of its classes'):
        Food101Subset(str(tmp_path))


def test_missing_data_are_one_sentence_with_the_official_source(tmp_path):
    with pytest.raises(ConfigurationError) as error:
        Food101Subset(str(tmp_path))
    assert 'there is no "food-101/images"' in str(error.value)
    assert 'http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz' in str(error.value)
