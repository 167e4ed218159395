import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from edudistill_mm.apis.comparison.budget import fit_lengths, stretched_options, time_map
from edudistill_mm.apis.stage_cost import StageCost
from edudistill_mm.apis.training_cost import TrainingCost
from edudistill_mm.errors import ConfigurationError

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


def cost_of(*lengths):
    return TrainingCost(tuple(StageCost(length, 100, 10, 5, {}) for length in lengths), True)


def stretched(base, lengths, cost):
    cfg = Config(copy.deepcopy(base))
    cfg.merge_from_dict(stretched_options(cfg, cost, lengths))
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
    cfg = stretched(PLAIN, [120], cost_of(240))
    assert cfg.train_cfg.max_epochs == 120
    warmup, steps, cosine, step, exponential = cfg.param_scheduler
    assert (warmup.begin, warmup.end) == (0, 25)
    assert (steps.milestones, steps.gamma) == ([75, 90, 105], 0.1)
    assert (cosine.begin, cosine.end, cosine.T_max) == (20, 120, 100)
    assert (step.step_size, step.gamma) == (15, 0.5)
    assert exponential.gamma == pytest.approx(0.6561)
    assert [hook.get('epochs', hook.get('begin_epoch')) for hook in cfg.custom_hooks] == [10, 60]


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
    cfg = stretched(base, [3, 7], cost_of(2, 4))
    assert [grade.epochs for grade in cfg.model.curriculum.grades] == [3, 7]
    assert cfg.train_cfg.max_epochs == 10
    assert cfg.param_scheduler.periods == [3, 7]
    assert stretched_options(Config(base), cost_of(2, 4), [2, 4]) == {}
