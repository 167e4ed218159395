"""The schedule that decays once, over the last grade of a curriculum or the last part of a plain run."""

import re
from pathlib import Path

import pytest
from run_tool import run_tool

from edudistill_mm.apis import load_config
from edudistill_mm.config.stretch import stretch, stretched_options, unfinished_schedule

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
BASES = ['datasets/digits', 'models/resnet_digits', 'schedules/sgd_digits', 'default_runtime']
CURRICULUM = """
epochs = [2, 2, 4]
train_cfg = dict(max_epochs=8)
param_scheduler = [_base_.warm_up, dict(_base_.decay, begin=sum(epochs[:-1]), end=sum(epochs))]
custom_hooks = [dict(type='GradeSchedulerHook')]
model = dict(
    type='EducationDistill',
    architecture=dict(type='FragmentedStudent', student=_base_.student),
    curriculum=dict(num_classes='auto', grades=[
        dict(epochs=epochs[0], fragments=1, classes=0.5),
        dict(epochs=epochs[1], fragments=2, classes=0.5),
        dict(epochs=epochs[2], fragments=3)]))
"""
OTHER_GRADES = """
_base_ = './curriculum.py'
model = dict(curriculum=dict(grades=[
    dict(epochs=1, fragments=1, classes='all'), dict(epochs=7, fragments=3)]))
param_scheduler = [_base_.warm_up, dict(_base_.decay, begin=1, end=8)]
"""
ITERATIONS = """
_base_ = './curriculum.py'
train_cfg = dict(_delete_=True, by_epoch=False, max_iters=100)
model = dict(curriculum=dict(grades=[
    dict(iters=40, fragments=1, classes='all'), dict(iters=60, fragments=3)]))
by_iter = dict(by_epoch=False, convert_to_iter_based=False)
param_scheduler = [
    dict(_base_.warm_up, **by_iter, end=10), dict(_base_.decay, **by_iter, begin=40, end=100)]
"""
KD = """
model = dict(
    _scope_='mmrazor', type='SingleTeacherDistill',
    architecture=dict(_base_.student, _scope_='mmpretrain'),
    teacher=dict(_base_.generalist.architecture, _scope_='mmpretrain'),
    distiller=_base_.distiller)
"""


@pytest.fixture
def configs(tmp_path):
    """Write the configs; a function that gives the path of one."""
    schedule = ['schedules/stable_then_decay']
    for name, text, bases in (
        ('curriculum', CURRICULUM, [*BASES, *schedule]),
        ('kd', KD, [*BASES, *schedule, 'distillers/kd']),
        ('other_grades', OTHER_GRADES, None),
        ('iterations', ITERATIONS, None),
    ):
        files = [str(CONFIGS / '_base_' / f'{base}.py') for base in bases or ()]
        head = f'_base_ = {files!r}\n' if bases else ''
        (tmp_path / f'{name}.py').write_text(head + text)
    return lambda name: str(tmp_path / f'{name}.py')


def printed(capsys, file, *options):
    """The rates of the first and last epoch (or iteration) of each grade that the tool prints."""
    run_tool('print_curriculum', [file, *options])
    out = capsys.readouterr().out
    return [
        tuple(map(float, pair)) for pair in re.findall(r'([\d.e-]+) to ([\d.e-]+)$', out, re.M)
    ]


def test_a_curriculum_keeps_the_rate_through_the_lower_grades(configs, capsys):
    # The cosine of the last grade is at 3/4 where the last of its four epochs begins.
    low, mid, high = printed(capsys, configs('curriculum'))
    assert low == (0.005, 0.05) and mid == (0.05, 0.05)
    assert high[0] == 0.05 and high[1] == pytest.approx(0.05 * (1 - 0.5**0.5) / 2, rel=1e-3)


def test_what_is_new_has_its_factor_beside_the_rates(configs, capsys):
    hooks = (
        "[dict(type='GradeSchedulerHook'), dict(type='NewParameterRateHook', factor=2, epochs=1)]"
    )
    file = Path(configs('curriculum'))
    file.write_text(f'{file.read_text()}custom_hooks = {hooks}\n')
    run_tool('print_curriculum', [str(file)])
    words = 'What is new at a promotion starts at 2 times the learning rate'
    assert words in capsys.readouterr().out


def test_a_config_over_it_with_other_grades_says_where_the_decay_begins(configs, capsys):
    low, high = printed(capsys, configs('other_grades'))
    assert low == (0.005, 0.005) and high[0] == 0.05 and high[1] < 0.003


def test_a_plain_run_decays_over_its_last_sixty_percent(configs, capsys):
    cfg = load_config(configs('kd')).cfg
    decay = cfg.param_scheduler[1]
    assert (decay.begin, decay.end) == (96, 240) and cfg.train_cfg.max_epochs == 240
    ((first, last),) = printed(capsys, configs('kd'))
    assert first == 0.005 and last == pytest.approx(0, abs=1e-5)


def test_a_curriculum_in_iterations_has_it_in_iterations(configs, capsys):
    low, high = printed(capsys, configs('iterations'))
    assert low == (0.005, 0.05) and high[0] == 0.05 and high[1] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize('epochs', [3, 5, 20])
@pytest.mark.parametrize('name', ['curriculum', 'kd'])
def test_other_lengths_keep_where_the_decay_begins_and_ends(configs, name, epochs):
    run = stretch(load_config(configs(name)), epochs)
    warm_up, decay = run.cfg.param_scheduler
    last = run.curriculum.grades[-1].begin if name == 'curriculum' else round(0.4 * epochs)
    assert (decay.begin, decay.end) == (last, epochs) and warm_up.end >= 1
    assert unfinished_schedule(run.cfg) is None


def test_the_factor_of_what_is_new_lasts_as_long_in_proportion(configs):
    run = load_config(configs('curriculum'))
    run.cfg.custom_hooks.append(dict(type='NewParameterRateHook', factor=2, epochs=1))
    assert stretch(run, 32).cfg.custom_hooks[-1].epochs == 4


def test_a_budget_of_a_comparison_moves_the_decay_with_the_grades(configs):
    run = load_config(configs('curriculum'))
    options = stretched_options(run, [2, 2, 4], [1, 2, 9], lambda: [7, 9, 9])
    decay = {key: value for key, value in options.items() if key.startswith('param_scheduler.1')}
    assert decay == {'param_scheduler.1.begin': 3, 'param_scheduler.1.end': 12}
