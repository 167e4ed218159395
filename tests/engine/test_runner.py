"""EducationRunner: this package's configs without this package's tools."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import mmpretrain
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from networks import build
from surroundings import python_path

from edudistill_mm.engine import EducationRunner
from edudistill_mm.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
TRAIN = Path(mmpretrain.__path__[0], '.mim', 'tools', 'train.py')


@pytest.fixture
def digits(tmp_path):
    """The file of a short run of the digits, with local teachers and 'auto' wherever it may stand."""
    config = Config.fromfile(ROOT / 'configs' / 'edu_kd_digits.py')
    auto = [config.data_preprocessor, config.model.curriculum]
    auto.append(config.model.architecture.student.head)
    teachers = config.model.teachers
    for index, teacher in enumerate(teachers):
        network = build(teacher.architecture.to_dict(), index)
        torch.save(dict(state_dict=network.state_dict()), tmp_path / f'digits_{index}.pth')
        teacher.ckpt = str(tmp_path / f'{{dataset}}_{index}.pth')
        auto.append(teacher.architecture.head)
    for place in auto:
        place.num_classes = 'auto'
    for grade in config.model.curriculum.grades:
        grade.epochs = 1
    config.train_cfg.max_epochs = 3
    config.param_scheduler.periods = [1, 1, 1]
    file = tmp_path / 'short.py'
    config.dump(file)
    return file


def weights(folder):
    return torch.load(folder / 'epoch_3.pth', weights_only=True)['state_dict']


@pytest.mark.slow
def test_mmpretrains_own_tool_and_a_bare_runner_train_alike(digits, tmp_path):
    environment = dict(os.environ, PYTHONPATH=python_path(ROOT), OMP_NUM_THREADS='1')
    command = [sys.executable, TRAIN, digits, '--work-dir', tmp_path / 'tool']
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r'^\| university +\|', done.stdout + done.stderr, re.MULTILINE)
    students = sorted(file.name for file in (tmp_path / 'tool' / 'students').iterdir())
    assert 'epoch_3.pth' in students and 'epoch_3.py' in students

    config = Config.fromfile(digits)
    config.work_dir = str(tmp_path / 'bare')
    RUNNERS.build(config).train()
    trained, expected = weights(tmp_path / 'bare'), weights(tmp_path / 'tool')
    assert trained.keys() == expected.keys()
    assert all(torch.equal(trained[name], expected[name]) for name in trained)


def test_a_config_is_completed_and_stays_as_it_was(digits, tmp_path):
    config = Config.fromfile(digits)
    config.custom_hooks = [dict(type='GradeSchedulerHook')]
    config.default_hooks = {}
    config.work_dir = str(tmp_path / 'run')
    built = EducationRunner.from_cfg(config)
    assert config.model.curriculum.num_classes == 'auto' and len(config.custom_hooks) == 1
    assert built.model.curriculum.num_classes == 10
    assert [teacher.network.head.num_classes for teacher in built.model.faculty.teachers] == [
        4,
        3,
        3,
    ]
    hooks = {type(hook).__name__ for hook in built.hooks}
    assert hooks >= {
        'SafeCheckpointHook',
        'FiniteLossHook',
        'PreemptionHook',
        'StudentCheckpointHook',
    }


def test_plain_distillation_becomes_a_curriculum_of_one_grade(digits, tmp_path):
    config = Config.fromfile(digits)
    student = config.model.architecture.student
    teacher = copy.deepcopy(student.to_dict())
    teacher['head']['num_classes'] = 10
    torch.save(dict(state_dict=build(teacher).state_dict()), tmp_path / 'digits.pth')
    config.model = dict(
        type='mmrazor.SingleTeacherDistill',
        architecture=student,
        teacher=student,
        teacher_ckpt=str(tmp_path / '{dataset}.pth'),
        distiller=config.model.distiller,
    )
    config.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    config.custom_hooks = []
    config.work_dir = str(tmp_path / 'run')
    built = EducationRunner.from_cfg(config)
    assert [grade.name for grade in built.model.curriculum.grades] == ['whole training']
    assert built.model.faculty.teachers[0].source == str(tmp_path / 'digits.pth')


def test_mmengines_runner_says_in_one_sentence_what_it_lacks(digits, tmp_path):
    config = Config.fromfile(digits)
    config.work_dir = str(tmp_path / 'run')
    with pytest.raises(ConfigurationError, match='EducationRunner') as error:
        Runner.from_cfg(config)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(custom_hooks=[]), 'custom_hooks lack .*GradeSchedulerHook'),
        (dict(param_scheduler=dict(type='CosineRestart')), 'did you mean "CosineRestartLR"'),
        (dict(dataset_name=None), 'takes the name of the data set from dataset_name'),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_built(digits, tmp_path, change, words):
    config = Config.fromfile(digits)
    config.update(work_dir=str(tmp_path / 'run'), **change)
    with pytest.raises(ConfigurationError, match=words) as error:
        EducationRunner.from_cfg(config)
    assert '\n' not in str(error.value) and not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_a_checkpoint_is_read_once(digits, tmp_path, monkeypatch):
    config = Config.fromfile(digits)
    config.work_dir = str(tmp_path / 'run')
    config.train_cfg.val_interval = 9
    EducationRunner.from_cfg(config).train()
    read, torch_load = [], torch.load

    def count(path, *args, **kwargs):
        read.append(os.path.basename(path))
        return torch_load(path, *args, **kwargs)

    monkeypatch.setattr(torch, 'load', count)
    config.resume = True
    resumed = EducationRunner.from_cfg(config)
    resumed.train()
    assert resumed.epoch == 3 and read.count('epoch_3.pth') == 1


def test_a_checkpoint_that_is_loaded_by_hand_runs_no_code(digits, tmp_path):

    class Hostile:
        def __reduce__(self):
            return os.system, (f'touch {tmp_path / "marker"}',)

    config = Config.fromfile(digits)
    config.work_dir = str(tmp_path / 'run')
    torch.save(dict(state_dict={}, meta=Hostile()), tmp_path / 'hostile.pth')
    with pytest.raises(ConfigurationError, match='system'):
        EducationRunner.from_cfg(config).load_checkpoint(str(tmp_path / 'hostile.pth'))
    assert not (tmp_path / 'marker').exists()
