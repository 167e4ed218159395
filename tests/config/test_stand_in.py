"""Well-known data sets are counted without their files."""

import os.path as osp
from pathlib import Path

import official_layouts
import pytest
from mmpretrain.datasets import CIFAR10, CIFAR100, BaseDataset, Food101

from edudistill_mm.config.data import build_dataset, check_data, class_names
from edudistill_mm.config.load import load_config
from edudistill_mm.config.stand_in import KNOWN, build_for_counting, stand_in
from edudistill_mm.cost.curriculum_table import curriculum_table
from edudistill_mm.errors import ConfigurationError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
PACK = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=8), dict(type='PackInputs')]


@pytest.fixture
def unread(monkeypatch):
    """No data set is read, and none is downloaded."""

    def refuse(*args, **kwargs):
        raise AssertionError('a data set is read')

    for cls in (BaseDataset, CIFAR10, CIFAR100, *KNOWN):
        monkeypatch.setattr(cls, 'load_data_list', refuse)
    monkeypatch.setattr('mmpretrain.datasets.cifar.download_and_extract_archive', refuse)


@pytest.mark.parametrize(
    'name, classes, images',
    [
        ('cifar100/edu-student_resnet20_cifar100', (33, 66, 100), (16500, 33000, 50000)),
        (
            'tiny_imagenet/edu-student_resnet20_tiny-imagenet',
            (66, 133, 200),
            (33000, 66500, 10**5),
        ),
        ('food101/edu-student_resnet18_food101', (33, 67, 101), (24750, 50250, 75750)),
        ('caltech256/edu-student_resnet18_caltech256', (85, 170, 256), (7905, 15810, 23808)),
        ('digits/edu-kd-experts_resnet14_resnet14_digits', (4, 7, 10), (578, 1014, 1442)),
        ('small/edu-student_resnet8_small', None, None),
    ],
)
def test_a_table_needs_no_data(unread, tmp_path, name, classes, images):
    run = load_config(str(CONFIGS / f'{name}.py'), dict(data_root=str(tmp_path / 'nowhere')))
    table = curriculum_table(run)
    grades = run.curriculum.grades
    rows = table.splitlines()[2 : 2 + len(grades)]
    if classes is not None:
        assert tuple(len(grade.seen) for grade in grades) == classes
        for row, grade, count in zip(rows, grades, images):
            assert f' {count * grade.length:,} ' in row
    assert ('Caltech256 is not there' in table) == ('caltech256' in name)
    assert not osp.exists(tmp_path / 'nowhere')


@pytest.mark.parametrize('name', ['food101', 'caltech256', 'tiny_imagenet'])
def test_a_training_still_needs_them(tmp_path, name):
    (config,) = (CONFIGS / name).glob('edu-student_resnet18_*.py')
    run = load_config(str(config), dict(data_root=str(tmp_path)))
    with pytest.raises(ConfigurationError, match=f'prepare_data.py {name}.*data_root=FOLDER'):
        check_data(run)


@pytest.mark.parametrize('split', ['train', 'test'])
def test_the_digits_are_counted_as_they_are(split):
    dataset = dict(type='Digits', split=split, pipeline=[dict(type='PackInputs')])
    counted, real = build_for_counting(dict(dataset=dataset)), build_dataset(dataset)
    assert type(counted) is not type(real)
    assert sorted(counted.get_gt_labels()) == sorted(real.get_gt_labels())
    assert counted[0]['inputs'].shape == real[0]['inputs'].shape
    assert counted.metainfo['classes'] == real.metainfo['classes']


def test_names_of_classes_are_those_of_the_data_set():
    for kind in (CIFAR10, CIFAR100, Food101):
        assert class_names(stand_in(dict(type=kind))) == kind.METAINFO['classes']


def test_a_part_that_is_there_counts_as_it_is(tmp_path):
    official_layouts.food101(tmp_path, train=3)
    dataset = dict(type='Food101Subset', data_root=str(tmp_path), pipeline=PACK)
    assert stand_in(dataset) is None
    counted = build_for_counting(dict(dataset=dataset))
    assert len(counted) == 18 and counted[0]['inputs'].shape == (3, 8, 8)


def test_a_wrapper_chooses_from_a_known_data_set():
    known = dict(type='CIFAR100', data_root='/nonexistent', pipeline=PACK)
    dataset = dict(type='ClassSubset', classes=[7, 3], samples_per_class=20, dataset=known)
    assert (
        build_for_counting(dict(dataset=dataset)).get_gt_labels().tolist() == [1] * 20 + [0] * 20
    )


@pytest.mark.parametrize(
    'dataset',
    [
        dict(type='Caltech256', data_root='/nonexistent', clutter=True),
        dict(type='CIFAR100', data_root='/nonexistent', indices=10),
        dict(type='TinyImageNet', data_root='/nonexistent', split='test'),
        dict(type='SmallCIFAR100', data_root='/nonexistent'),
        dict(type='CustomDataset', data_root='/nonexistent'),
    ],
)
def test_what_may_be_another_one_is_read(dataset):
    assert stand_in(dataset) is None
