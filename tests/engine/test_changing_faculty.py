"""Runs in which teachers leave as well as join."""

import copy
from pathlib import Path

import pytest
import torch
from networks import build, resnet
from runs import scalars, train

from edudistill_mm.errors import ConfigurationError


def generalists(config, tmp_path):
    """Two teachers of all classes; the first leaves when the second joins, then nobody is left."""
    for seed, teacher in enumerate(config.model.teachers[:2]):
        torch.save(dict(state_dict=build(resnet(), seed + 5).state_dict()), teacher.ckpt)
        teacher.update(architecture=resnet(), classes='all')
    config.model.teachers = config.model.teachers[:2]
    low, mid, high = config.model.curriculum.grades
    mid.update(leave=['low'], distill_loss_weight=2.0, temperature=2.0)
    high.update(teachers=[], leave=['mid'], task_loss_weight=0.5)
    return config


def resumed(config, point):
    again = copy.deepcopy(config)
    again.work_dir = f'{config.work_dir}_{point}'
    again.experiment_name = f'{config.experiment_name}_{point}'
    again.resume, again.load_from = True, f'{config.work_dir}/epoch_{point}.pth'
    return again


def test_a_teacher_that_has_left_is_asked_no_more_and_a_grade_may_have_none(config, tmp_path):
    config.log_processor = dict(window_size=1)
    runner = train(generalists(config, tmp_path))
    steps, _ = scalars(config.work_dir)
    assert [row['grade'] for row in steps if row['distill.loss_kd'] == 0] == [3] * 18
    log = Path(runner.log_dir, f'{runner.timestamp}.log').read_text()
    assert 'teachers: mid (low left)' in log and 'teachers: none (mid left)' in log
    assert 'weights: 1 of the task, 1 of the distillation; temperature: 4' in log
    assert 'weights: 1 of the task, 2 of the distillation; temperature: 2' in log
    assert 'weights: 0.5 of the task, 1 of the distillation; temperature: 4' in log


@pytest.mark.slow
def test_a_resumed_run_has_the_teachers_weights_and_temperature_of_its_grade(config, tmp_path):
    config = generalists(config, tmp_path)
    whole = train(copy.deepcopy(config)).model.state_dict()
    for point in (2, 3, 4):
        state = train(resumed(config, point)).model.state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in whole.items())
    other = resumed(config, 4)
    other.model.curriculum.grades[2].leave = []
    with pytest.raises(ConfigurationError, match=r"grade 3 \"high\": leave None, was \['mid'\]"):
        train(other)
