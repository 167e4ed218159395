from pathlib import Path

import pytest
from mmengine.config import Config

from edudistill_mm.curriculum import Curriculum

FOLDER = Path(__file__).parents[1] / 'configs' / '_base_' / 'curricula'
NAMES = sorted(file.stem for file in FOLDER.glob('*.py'))


def read(name):
    """A curriculum, for 100 classes where the data set would say how many."""
    cfg = Config.fromfile(FOLDER / f'{name}.py').curriculum
    if cfg.num_classes == 'auto':
        cfg.num_classes = 100
    teachers = [teacher for grade in cfg.grades for teacher in grade.get('teachers', ())]
    return Curriculum.from_cfg(cfg, teachers)


@pytest.mark.parametrize('name', NAMES)
def test_a_curriculum_ends_with_all_classes_and_is_as_long_as_its_loop(name):
    curriculum = read(name)
    assert curriculum.grades[-1].seen == tuple(range(curriculum.num_classes))
    loop = Config.fromfile(FOLDER / f'{name}.py').get('train_cfg')
    if loop is not None:
        assert loop.max_epochs == curriculum.length


def test_grades_by_superclass_never_part_one():
    # Of the official labels: otters are aquatic mammals (4, 30, 55, 72, 95), wolves (97) and bears
    # (3) are large carnivores, tractors (89) are vehicles 2.
    grades = read('cifar100_superclasses').grades
    assert {4, 30, 55, 72, 95} <= set(grades[0].classes)
    assert {3, 42, 43, 88, 97} <= set(grades[1].classes)
    assert {41, 69, 81, 85, 89} <= set(grades[2].classes)
    assert [len(grade.classes) for grade in grades] == [35, 35, 30]


def test_the_three_grades_of_cifar100():
    assert [len(g.classes) for g in read('cifar100_3grades').grades] == [33, 33, 34]
