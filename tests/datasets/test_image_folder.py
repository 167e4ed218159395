import pytest
from image_folders import make_images

from edudistill_mm.config.data import class_names
from edudistill_mm.datasets import ImageFolder
from edudistill_mm.errors import ConfigurationError


def test_the_training_folder_numbers_the_classes_of_all_splits(tmp_path):
    make_images(tmp_path / 'train', {'ant': 1, 'bee': 1, 'cow': 1})
    make_images(tmp_path / 'val', {'ant': 1, 'cow': 2})
    val = dict(type='ImageFolder', data_root=str(tmp_path), data_prefix='val', numbered_by='train')
    assert list(class_names(val)) == ['ant', 'bee', 'cow']
    built = ImageFolder(str(tmp_path), 'val', numbered_by='train')
    assert built.get_gt_labels().tolist() == [0, 2, 2]


def test_folders_without_images_and_hidden_ones_are_no_classes(tmp_path):
    make_images(tmp_path, {'a b': 2, '.hidden': 1, 'nested/deep': 2})
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'a b' / 'notes.txt').write_text('none')
    built = ImageFolder(str(tmp_path))
    assert built.metainfo['classes'] == ('a b', 'nested')
    assert built.get_gt_labels().tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize('prefix', ['train', './train', 'train/'])
def test_files_can_be_left_out(tmp_path, prefix):
    make_images(tmp_path / 'train', {'a': 2, 'b': 1})
    built = ImageFolder(str(tmp_path), prefix, leave_out=['train/a/0.png'])
    assert [info['img_path'][-7:] for info in map(built.get_data_info, range(2))] == [
        'a/1.png',
        'b/0.png',
    ]


def test_an_unknown_class_and_a_missing_folder_are_refused(tmp_path):
    make_images(tmp_path / 'train', {'apple': 1, 'bee': 1})
    make_images(tmp_path / 'val', {'aple': 1})
    with pytest.raises(ConfigurationError, match='"aple".*did you mean "apple"'):
        ImageFolder(str(tmp_path), 'val', numbered_by='train')
    with pytest.raises(ConfigurationError, match='does not exist'):
        ImageFolder(str(tmp_path), 'test', numbered_by='train')
    with pytest.raises(ConfigurationError, match='holds no folder with images'):
        ImageFolder(str(tmp_path / 'train' / 'bee'))


@pytest.mark.parametrize(
    'names', [dict(classes=['b', 'a']), dict(metainfo=dict(classes=('x', 'y')))]
)
def test_other_names_of_the_classes_are_refused(tmp_path, names):
    make_images(tmp_path, {'a': 1, 'b': 1})
    with pytest.raises(ConfigurationError, match='are its folders in alphabetical order'):
        ImageFolder(str(tmp_path), **names)
