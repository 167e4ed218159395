import os

import pytest
import torch
from networks import resnet
from runs import school_config

import edudistill_mm.models  # noqa: F401
from edudistill_mm.checkpoint.atomic_write import atomic_write
from edudistill_mm.engine import EducationRunner
from edudistill_mm.models.students import TeachingReference


@pytest.fixture
def short(tmp_path):
    """Config of three epochs, one a grade, without teachers."""
    config = school_config(tmp_path)
    for key in ('teachers', 'distiller'):
        config.model.pop(key)
    for grade in config.model.curriculum.grades:
        grade.pop('teachers')
        grade.epochs = 1
    config.train_cfg.max_epochs = 3
    config.default_hooks.checkpoint.save_best = None
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    return config


def files(work_dir):
    folder = os.path.join(work_dir, 'students')
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def test_a_student_changes_nothing_in_the_training(short, tmp_path):
    states = []
    for number, hooks in enumerate((3, 2)):  # with the hook and without it
        short.custom_hooks = short.custom_hooks[:hooks]
        short.work_dir = str(tmp_path / str(number))
        short.experiment_name = f'{tmp_path.name}_{number}'
        runner = EducationRunner.from_completed_cfg(short)
        runner.train()
        states.append((runner.model.state_dict(), torch.get_rng_state()))
    assert files(tmp_path / '0') and not files(tmp_path / '1')
    (one, random_one), (other, random_other) = states
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(random_one, random_other)


def test_a_student_that_cannot_be_written_is_a_warning_and_the_run_goes_on(
    short, tmp_path, monkeypatch
):
    monkeypatch.delattr(TeachingReference, 'layers')
    runner = EducationRunner.from_completed_cfg(short)
    runner.train()
    assert runner.epoch == 3
    # At the last grade there is no reference.
    assert files(short.work_dir) == ['epoch_3.pth', 'epoch_3.py']
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert log.count('No plain student beside the checkpoint epoch_1.pth: architecture.ref') == 1


def test_a_student_whose_reference_fails_is_a_warning_and_the_run_goes_on(
    short, tmp_path, monkeypatch
):
    def layers(self):
        raise RuntimeError('no such layer')

    monkeypatch.setattr(TeachingReference, 'layers', layers)
    runner = EducationRunner.from_completed_cfg(short)
    runner.train()
    assert runner.epoch == 3
    assert files(short.work_dir) == ['epoch_3.pth', 'epoch_3.py']
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert log.count('No plain student beside the checkpoint epoch_1.pth: no such layer') == 1


def test_a_full_disk_costs_the_student_and_not_the_run(short, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'students').write_text('no folder')
    EducationRunner.from_completed_cfg(short).train()
    assert (tmp_path / 'run' / 'epoch_3.pth').exists()


def test_other_models_are_left_alone(short, tmp_path):
    short.model = resnet()
    short.custom_hooks = [dict(type='StudentCheckpointHook')]
    short.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    short.train_cfg.max_epochs = 1
    EducationRunner.from_completed_cfg(short).train()
    assert (tmp_path / 'run' / 'epoch_1.pth').exists() and not files(short.work_dir)


def test_writing_aside_replaces_the_file_at_once_or_not_at_all(tmp_path):
    path = tmp_path / 'student.pth'
    atomic_write(str(path), lambda file: file.write(b'old'))
    seen = []

    def write(file):
        file.write(b'new')
        seen.append(path.read_bytes())

    atomic_write(str(path), write)
    assert seen == [b'old'] and path.read_bytes() == b'new'

    def fail(file):
        file.write(b'half')
        raise OSError('no space left')

    with pytest.raises(OSError):
        atomic_write(str(path), fail)
    assert path.read_bytes() == b'new' and os.listdir(tmp_path) == ['student.pth']
