import official_layouts
import pytest

from edudistill_mm.datasets import TinyImageNet
from edudistill_mm.errors import ConfigurationError


@pytest.mark.parametrize('split, count', [('train', 3), ('val', 2)])
def test_classes_are_the_training_folders_by_wordnet_id(tmp_path, split, count):
    official_layouts.tiny_imagenet(tmp_path, ['n02124075', 'n01443537'], train=3, val=2)
    dataset = TinyImageNet(str(tmp_path), split)
    assert dataset.metainfo['wnids'] == ('n01443537', 'n02124075')
    assert dataset.metainfo['classes'] == ('word 37, other word', 'word 75, other word')
    assert sorted(dataset.get_gt_labels().tolist()) == [0] * count + [1] * count


def test_validation_images_have_the_classes_of_their_annotations(tmp_path):
    official_layouts.tiny_imagenet(tmp_path, ['n02124075', 'n01443537'], val=1)
    dataset = TinyImageNet(str(tmp_path), 'val')
    labels = {
        dataset.get_data_info(i)['img_path'].split('/')[-1]: dataset.get_data_info(i)['gt_label']
        for i in range(2)
    }
    assert labels == {'val_0.JPEG': 1, 'val_1.JPEG': 0}


def test_classes_without_words_are_called_by_their_ids(tmp_path):
    official_layouts.tiny_imagenet(tmp_path, ['n01443537'], words=False)
    assert TinyImageNet(str(tmp_path)).metainfo['classes'] == ('n01443537',)


def test_a_validation_class_without_training_images_is_refused(tmp_path):
    official_layouts.tiny_imagenet(tmp_path)
    annotations = tmp_path / 'tiny-imagenet-200' / 'val' / 'val_annotations.txt'
    annotations.write_text(annotations.read_text() + 'val_9.JPEG\tn02480855\t0\t0\t1\t1\n')
    with pytest.raises(ConfigurationError, match='the first is "n02480855"'):
        TinyImageNet(str(tmp_path), 'val')


def test_grey_images_become_three_channels_of_the_runs_pipeline(tmp_path):
    official_layouts.tiny_imagenet(tmp_path, ['n01443537'])
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    image = TinyImageNet(str(tmp_path), 'val', pipeline=pipeline)[0]['inputs']
    assert image.shape == (3, 64, 64)


def test_missing_data_are_one_sentence_with_the_official_source(tmp_path):
    official_layouts.tiny_imagenet(tmp_path)
    (tmp_path / 'tiny-imagenet-200' / 'val' / 'val_annotations.txt').unlink()
    with pytest.raises(ConfigurationError) as error:
        TinyImageNet(str(tmp_path))
    assert 'there is no "tiny-imagenet-200/val/val_annotations.txt"' in str(error.value)
    assert 'http://cs231n.stanford.edu/tiny-imagenet-200.zip' in str(error.value)
