import official_layouts
import pytest

from edudistill_mm.datasets import Caltech256
from edudistill_mm.errors import ConfigurationError


def files(dataset):
    return [
        (dataset.get_data_info(i)['img_path'].split('/')[-1], dataset.get_data_info(i)['gt_label'])
        for i in range(len(dataset))
    ]


def test_classes_are_the_categories_that_are_there_in_the_order_of_their_numbers(tmp_path):
    official_layouts.caltech256(tmp_path, ['056.dog', '003.backpack'], images=2)
    dataset = Caltech256(str(tmp_path))
    assert dataset.metainfo['classes'] == ('backpack', 'dog')
    assert files(dataset) == [
        ('003_0001.jpg', 0),
        ('003_0002.jpg', 0),
        ('056_0001.jpg', 1),
        ('056_0002.jpg', 1),
    ]


def test_every_fifth_image_of_a_category_is_for_testing_whichever_others_are_missing(tmp_path):
    official_layouts.caltech256(tmp_path, ['003.backpack'], images=11)
    folder = tmp_path / '256_ObjectCategories' / '003.backpack'
    (folder / '003_0004.jpg').unlink()
    (folder / 'RENAME2').touch()
    (folder / 'greg').mkdir()
    numbers = {
        split: [int(name[4:8]) for name, _ in files(Caltech256(str(tmp_path), split))]
        for split in ('train', 'test')
    }
    assert numbers == dict(train=[1, 2, 3, 6, 7, 8, 9, 11], test=[5, 10])


def test_clutter_is_a_class_only_if_it_is_asked_for(tmp_path):
    official_layouts.caltech256(tmp_path, ['256.toad', '257.clutter'], images=1)
    assert Caltech256(str(tmp_path)).metainfo['classes'] == ('toad',)
    with_clutter = Caltech256(str(tmp_path), clutter=True)
    assert with_clutter.metainfo['classes'] == ('toad', 'clutter')
    assert with_clutter.get_gt_labels().tolist() == [0, 1]


def test_the_folder_of_categories_itself_can_be_named(tmp_path):
    official_layouts.caltech256(tmp_path)
    inside = Caltech256(str(tmp_path / '256_ObjectCategories'))
    assert len(inside) == len(Caltech256(str(tmp_path))) == 24


@pytest.mark.parametrize('place', ['nowhere', '.'])
def test_missing_data_are_one_sentence_with_the_official_source(tmp_path, place):
    with pytest.raises(ConfigurationError) as error:
        Caltech256(str(tmp_path / place))
    message = str(error.value)
    assert 'there is no "256_ObjectCategories"' in message
    assert 'tools/prepare_data.py caltech256' in message
    assert 'https://data.caltech.edu/records/nyy15-4j048' in message


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="split of Caltech256 .* got 'val'"):
        Caltech256(str(tmp_path), split='val')
