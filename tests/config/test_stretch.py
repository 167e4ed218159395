import copy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from run_tool import run_tool

from edudistill_mm.apis.teachers import teacher_config
from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.stretch import (
    fit_lengths,
    stretch,
    stretched_options,
    time_map,
    unfinished_schedule,
)
from edudistill_mm.errors import ConfigurationError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
stages = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 10**6)), min_size=1, max_size=6)


def split(pairs):
    return [length for length, _ in pairs], [cost for _, cost in pairs]


def total(lengths, costs):
    return sum(length * cost for length, cost in zip(lengths, costs))


@given(stages, st.floats(1, 4))
def test_the_cost_is_within_half_an_epoch_of_the_budget(pairs, factor):
    lengths, costs = split(pairs)
    budget = sum(costs) * factor + total(lengths, costs) * (factor - 1)
    fitted = fit_lengths(lengths, costs, budget)
    assert min(fitted) >= 1
    assert abs(total(fitted, costs) - budget) <= max(costs) / 2


@given(stages)
def test_the_budget_that_a_training_costs_leaves_it_as_it_is(pairs):
    lengths, costs = split(pairs)
    assert fit_lengths(lengths, costs, total(lengths, costs)) == lengths


@given(stages, st.integers(2, 5))
def test_a_multiple_of_the_budget_multiplies_every_grade(pairs, factor):
    lengths, costs = split(pairs)
    fitted = fit_lengths(lengths, costs, factor * total(lengths, costs))
    assert fitted == [factor * length for length in lengths]


@given(stages, st.floats(1, 3), st.floats(0, 1))
def test_a_larger_budget_shortens_no_grade(pairs, factor, more):
    lengths, costs = split(pairs)
    small = fit_lengths(lengths, costs, sum(costs) * factor)
    large = fit_lengths(lengths, costs, sum(costs) * (factor + more))
    assert all(one <= other for one, other in zip(small, large))


@given(stages, st.floats(1, 4))
def test_grades_keep_their_proportion_as_nearly_as_whole_epochs_can(pairs, factor):
    """There is one scale by which every grade's length rounds to its new one, but for the floor of
    one epoch."""
    lengths, costs = split(pairs)
    fitted = fit_lengths(lengths, costs, sum(costs) * factor)
    lowest = max([(new - 0.5) / old for new, old in zip(fitted, lengths) if new > 1], default=0.0)
    highest = min((new + 0.5) / old for new, old in zip(fitted, lengths))
    assert lowest <= highest * (1 + 1e-12)


def test_a_budget_worked_out_by_hand():
    # 2, 4 and 8 epochs at 1, 2 and 3: 34. For half of it: 1, 2 and 4 cost 17.
    assert fit_lengths([2, 4, 8], [1, 2, 3], 17) == [1, 2, 4]
    # 21 is one epoch of the last grade more, and 20 is nearer to it than 17 or 23.
    assert fit_lengths([2, 4, 8], [1, 2, 3], 21) == [1, 2, 5]


def test_a_budget_below_one_epoch_of_each_grade_is_refused():
    with pytest.raises(ConfigurationError, match='5 is less than the shortest training.*costs 6'):
        fit_lengths([2, 4, 8], [1, 2, 3], 5)


@given(
    st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), min_size=1, max_size=5),
    st.lists(st.integers(0, 600), min_size=2, max_size=2),
)
def test_times_keep_their_order_and_borders_stay_borders(pairs, times):
    old, new = split(pairs)
    position = time_map(old, new)
    early, late = sorted(times)
    assert position(early) <= position(late)
    assert position(0) == 0
    assert all(position(sum(old[:n])) == sum(new[:n]) for n in range(len(old) + 1))
    assert all(position(time) > 0 for time in times if time > 0)


def stretched(base, lengths, wanted):
    cfg = Config(copy.deepcopy(base))
    cfg.merge_from_dict(
        stretched_options(RunConfig(cfg), lengths, wanted, lambda: [10] * len(lengths))
    )
    return cfg


PLAIN = dict(
    model=dict(type='ImageClassifier'),
    train_cfg=dict(by_epoch=True, max_epochs=240),
    custom_hooks=[
        dict(type='DistillWarmupHook', epochs=20),
        dict(type='EMAHook', begin_epoch=120),
    ],
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=50),
        dict(type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1),
        dict(type='CosineAnnealingLR', T_max=200, begin=40, end=240, convert_to_iter_based=True),
        dict(type='StepLR', step_size=30, gamma=0.5),
        dict(type='ExponentialLR', gamma=0.81),
    ],
)


def test_all_schedules_of_a_plain_training_are_halved():
    cfg = stretched(PLAIN, [240], [120])
    assert cfg.train_cfg.max_epochs == 120
    warmup, steps, cosine, step, exponential = cfg.param_scheduler
    assert (warmup.begin, warmup.end) == (0, 25)
    assert (steps.milestones, steps.gamma) == ([75, 90, 105], 0.1)
    assert (cosine.begin, cosine.end, cosine.T_max) == (20, 120, 100)
    assert (step.step_size, step.gamma) == (15, 0.5)
    assert exponential.gamma == pytest.approx(0.6561)
    assert [hook.get('epochs', hook.get('begin_epoch')) for hook in cfg.custom_hooks] == [10, 60]


def test_a_schedule_that_waits_for_the_metric_waits_as_long_in_proportion():
    plateau = dict(type='ReduceOnPlateauLR', monitor='accuracy/top1', patience=10, cooldown=0)
    cfg = stretched(dict(PLAIN, param_scheduler=[plateau]), [240], [72])
    assert (cfg.param_scheduler[0].patience, cfg.param_scheduler[0].cooldown) == (3, 0)


def test_a_schedule_without_time_in_the_shorter_run_is_refused():
    part = dict(type='ConstantLR', factor=0.5, begin=24, end=60)
    with pytest.raises(ConfigurationError) as error:
        stretched(dict(PLAIN, param_scheduler=[part]), [240], [3])
    assert str(error.value) == (
        'param_scheduler.0 (ConstantLR), from 24 to 60, has no time left in 3 of 240 epochs; give more'
    )


def test_the_schedule_of_a_curriculum_follows_its_grades():
    base = dict(
        model=dict(
            type='EducationDistill',
            curriculum=dict(
                num_classes=2,
                grades=[dict(epochs=2, fragments=1, classes=1), dict(epochs=4, classes=1)],
            ),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=6),
        param_scheduler=dict(type='CosineRestartLR', periods=[2, 4], restart_weights=[1, 1]),
    )
    cfg = stretched(base, [2, 4], [3, 7])
    assert [grade.epochs for grade in cfg.model.curriculum.grades] == [3, 7]
    assert cfg.train_cfg.max_epochs == 10
    assert cfg.param_scheduler.periods == [3, 7]
    assert stretched_options(RunConfig(Config(base)), [2, 4], [2, 4], list) == {}


def test_a_run_of_grades_is_cut_with_its_schedule_and_its_teachers_keep_their_length():
    cfg = load_config(str(CONFIGS / 'edu_kd_digits.py')).cfg
    cfg.custom_hooks.append(dict(type='EMAHook', begin_epoch=12))
    cfg = stretch(RunConfig(cfg), 10).cfg
    assert [grade.epochs for grade in cfg.model.curriculum.grades] == [2, 2, 6]
    assert cfg.param_scheduler.periods == [2, 2, 6] and cfg.train_cfg.max_epochs == 10
    assert cfg.custom_hooks[-1].begin_epoch == 4
    check_config(RunConfig(cfg))
    teacher = cfg.model.teachers[0]
    assert teacher_config(RunConfig(cfg), teacher).train_cfg.max_epochs == 8
    short = teacher_config(RunConfig(cfg), teacher, epochs=3)
    assert short.train_cfg.max_epochs == short.param_scheduler.T_max == 3


def test_a_teacher_that_is_trained_as_long_as_the_run_is_not_cut_with_it():
    cfg = load_config(str(CONFIGS / 'digits/kd_resnet14x2_resnet14_digits.py')).cfg
    cfg.teacher_training = None
    cfg = stretch(RunConfig(cfg), 12).cfg
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler.T_max == 12
    assert teacher_config(RunConfig(cfg), RunConfig(cfg).teachers[0]).train_cfg.max_epochs == 30


def test_times_in_iterations_follow_the_grade_in_which_they_are():
    cfg = load_config(str(CONFIGS / 'edu_kd_digits.py')).cfg
    # The first grade has 6 epochs of 19 batches.
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=57),
        dict(type='MultiStepLR', milestones=[12, 21], gamma=0.1),
    ]
    cfg = stretch(RunConfig(cfg), 10).cfg
    assert cfg.param_scheduler[0].end == 19
    assert cfg.param_scheduler[1].milestones == [4, 7]


def test_hooks_that_switch_start_or_wait_are_moved():
    base = dict(
        PLAIN,
        train_cfg=dict(by_epoch=True, max_epochs=240, dynamic_intervals=[(200, 1)]),
        param_scheduler=[],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_begin=100), none=None),
        custom_hooks=[
            dict(type='EMAHook', begin_iter=400),
            dict(type='SwitchRecipeHook', schedule=[dict(action_epoch=60, loss=None)]),
            dict(type='EarlyStoppingHook', monitor='accuracy/top1', patience=5),
        ],
    )
    cfg = stretched(base, [240], [120])
    ema, switch, stopping = cfg.custom_hooks
    assert ema.begin_iter == 200 and switch.schedule[0].action_epoch == 30
    assert stopping.patience == 2 and cfg.default_hooks.checkpoint.save_begin == 50
    assert [tuple(item) for item in cfg.train_cfg.dynamic_intervals] == [(100, 1)]


def test_schedules_of_several_optimizers_are_moved():
    schedules = dict(one=[dict(type='MultiStepLR', milestones=[150])], other=None)
    schedules['other'] = dict(type='CosineAnnealingLR', T_max=240)
    cfg = stretched(dict(PLAIN, custom_hooks=[], param_scheduler=schedules), [240], [120])
    assert cfg.param_scheduler.one[0].milestones == [75]
    assert cfg.param_scheduler.other.T_max == 120


@pytest.mark.parametrize(
    ('options', 'epochs', 'message'),
    [
        ({}, 0, '--epochs must be a positive integer, but got 0'),
        ({}, 2, '--epochs 2 is less than the number of grades, 3'),
        (
            {'train_cfg': dict(_delete_=True, by_epoch=False, max_iters=99)},
            5,
            '--epochs 5 needs a config that counts epochs, but train_cfg gives max_iters=99',
        ),
        ({'model.curriculum': None}, 5, 'model.curriculum is missing'),
        ({'model.curriculum.grades': []}, 5, 'curriculum.grades must be a list of at least one'),
        (
            {'model.curriculum.grades.0.epochs': 0},
            5,
            r'curriculum.grades\[0\].epochs must be a positive integer, but got 0',
        ),
        (
            {
                'model.curriculum.grades': [
                    dict(name=name, iters=9, classes=classes, teachers=[name])
                    for name, classes in [('primary', 4), ('middle', 3), ('university', 3)]
                ]
            },
            5,
            r'train_cfg counts epochs \(max_epochs=30\), but the grades of the curriculum give iters',
        ),
    ],
)
def test_epochs_that_a_run_cannot_have_are_refused(options, epochs, message):
    cfg = load_config(str(CONFIGS / 'edu_kd_digits.py'), options).cfg
    with pytest.raises(ConfigurationError, match=message):
        cfg = stretch(RunConfig(cfg), epochs).cfg


def test_the_tools_take_the_number_of_epochs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_tool('print_curriculum', [str(CONFIGS / 'edu_kd_digits.py'), '--epochs', '10'])
    assert '1-2' in capsys.readouterr().out
    few = [
        '--cfg-options',
        'train_dataloader.dataset.indices=64',
        'val_dataloader.dataset.indices=20',
    ]
    student = str(CONFIGS / 'digits/student_resnet14_digits.py')
    run_tool('train', [student, '--epochs', '2', *few])
    assert (tmp_path / 'work_dirs/student_resnet14_digits/epoch_2.pth').exists()
    kd = str(CONFIGS / 'digits/kd_resnet14x2_resnet14_digits.py')
    run_tool('train_teachers', [kd, '--epochs', '1', *few])
    written = (tmp_path / 'work_dirs/teachers/digits_generalist/config.py').read_text()
    assert 'T_max=1' in written and 'max_epochs=1' in written


def test_a_schedule_that_the_training_does_not_finish_is_named():
    options = {'train_cfg.max_epochs': 3}
    cfg = load_config(str(CONFIGS / 'digits/student_resnet14_digits.py'), options).cfg
    assert unfinished_schedule(cfg) == (
        'param_scheduler (CosineAnnealingLR) goes on until 30 epochs, but the training ends at 3, '
        'before the learning rate is where the schedule would bring it; --epochs N of the tools '
        'changes both'
    )
    cfg = load_config(str(CONFIGS / 'digits/student_resnet14_digits.py')).cfg
    assert unfinished_schedule(cfg) is None
    cfg = stretch(RunConfig(cfg), 3).cfg
    assert unfinished_schedule(cfg) is None
    cfg.param_scheduler = [
        dict(type='LinearLR', by_epoch=False, end=500),
        dict(type='ConstantLR', factor=1.0),
    ]
    assert unfinished_schedule(cfg) is None


def test_a_schedule_that_never_leaves_its_start_is_named():
    cfg = load_config(str(CONFIGS / 'edu_kd_digits.py')).cfg
    cfg = stretch(RunConfig(cfg), 3).cfg
    assert unfinished_schedule(cfg) == (
        'param_scheduler (CosineRestartLR) has one epoch from its start to its end, so that the '
        'learning rate never leaves the value at which it starts; give more epochs, or '
        'param_scheduler.convert_to_iter_based=True'
    )
    cfg.param_scheduler.convert_to_iter_based = True
    assert unfinished_schedule(cfg) is None
    cfg = load_config(str(CONFIGS / 'edu_kd_digits.py')).cfg
    cfg = stretch(RunConfig(cfg), 5).cfg
    assert unfinished_schedule(cfg) is None
