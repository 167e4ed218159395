import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS
from torch.optim import SGD

from edudistill_mm.apis.teacher_recipe import describe_recipe
from edudistill_mm.apis.teachers import teacher_config, train_teachers
from edudistill_mm.apis.train import train
from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
COSINE_OF_10 = dict(type='CosineAnnealingLR', by_epoch=True, T_max=10, eta_min=0)


@pytest.fixture(scope='module')
def digits():
    """The digits job, whose learning rate restarts; its teachers are trained for 10 epochs."""
    cfg = load_config(
        str(CONFIGS / 'edu_kd_digits.py'), {'teacher_training.train_cfg.max_epochs': 10}
    ).cfg
    return lambda: copy.deepcopy(cfg)


def recipe(cfg):
    return teacher_config(RunConfig(cfg), cfg.model.teachers[0])


def rates(cfg):
    """The learning rate of each epoch of a config."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr)
    schedules = cfg.param_scheduler
    schedules = [
        PARAM_SCHEDULERS.build(dict(schedule), default_args=dict(optimizer=optimizer))
        for schedule in ([schedules] if isinstance(schedules, dict) else schedules)
    ]
    found = []
    for _ in range(cfg.train_cfg.max_epochs):
        found.append(optimizer.param_groups[0]['lr'])
        for schedule in schedules:
            schedule.step()
    return found


def test_a_teacher_under_a_run_with_restarts_has_one_cosine_over_its_own_epochs(digits):
    cfg = digits()
    cfg.param_scheduler.periods = [4, 4, 8]
    made = recipe(cfg)
    assert dict(made.param_scheduler) == COSINE_OF_10
    found = rates(made)
    assert found[0] == 0.05 and found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(0.05 * (1 - torch.cos(torch.tensor(torch.pi / 10))) / 2)
    assert describe_recipe(made) == '10 epochs, CosineAnnealingLR'


def test_it_goes_down_as_far_as_the_runs_learning_rate_and_begins_with_its_warm_up(digits):
    cfg = digits()
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=5),
        dict(type='CosineAnnealingLR', T_max=25, begin=5, end=30, eta_min=0.01),
    ]
    made = recipe(cfg)
    found = rates(made)
    assert found[0] == pytest.approx(0.005) and max(found) == found[4] == pytest.approx(0.05)
    assert 0.01 < found[-1] < 0.02
    # It takes at most a half of the epochs.
    cfg.teacher_training.train_cfg.max_epochs = 6
    found = rates(recipe(cfg))
    assert found[0] == pytest.approx(0.005) and found[2] == pytest.approx(0.05)
    cfg.teacher_training.train_cfg.max_epochs = 1
    assert dict(recipe(cfg).param_scheduler) == dict(COSINE_OF_10, T_max=1, eta_min=0.01)


def test_a_schedule_of_its_own_replaces_the_cosine(digits):
    cfg = digits()
    steps = dict(type='MultiStepLR', by_epoch=True, milestones=[5, 8], gamma=0.1)
    cfg.teacher_training.param_scheduler = steps
    assert dict(recipe(cfg).param_scheduler) == steps
    cfg.teacher_training.param_scheduler = None
    assert recipe(cfg).param_scheduler is None
    assert describe_recipe(recipe(cfg)) == '10 epochs, a constant learning rate'


def test_a_length_in_another_unit_than_the_runs_replaces_it(digits):
    cfg = digits()
    cfg.teacher_training.train_cfg = dict(max_iters=50)
    made = recipe(cfg)
    # Not after each iteration, as the run does after each epoch.
    assert dict(made.train_cfg) == dict(by_epoch=False, max_iters=50)
    assert made.default_hooks.checkpoint.by_epoch is False
    assert made.default_hooks.logger.log_metric_by_epoch is False
    assert dict(made.param_scheduler) == dict(COSINE_OF_10, by_epoch=False, T_max=50)


def test_hooks_and_times_of_the_students_clock_are_none_of_a_teachers(digits):
    cfg = digits()
    plain = recipe(cfg)
    cfg.load_from = 'student.pth'
    cfg.train_cfg.update(val_begin=20, dynamic_intervals=[(25, 1)])
    cfg.custom_hooks += [
        dict(type='EMAHook', begin_epoch=15),
        dict(type='SwitchRecipeHook', schedule=[dict(action_epoch=20, train_augments=None)]),
        dict(type='EarlyStoppingHook', monitor='seen/top1'),
        dict(type='StudentCheckpointHook'),
    ]
    assert recipe(cfg).pretty_text == plain.pretty_text
    cfg.custom_hooks.append(dict(type='EMAHook'))
    assert [dict(hook) for hook in recipe(cfg).custom_hooks] == [dict(type='EMAHook')]


def test_hooks_of_its_own_do_not_push_out_what_keeps_checkpoints_safe(digits):
    cfg = digits()
    cfg.custom_hooks.append(dict(type='SafeCheckpointHook'))
    cfg.teacher_training.custom_hooks = [dict(type='EMAHook')]
    assert [hook['type'] for hook in recipe(cfg).custom_hooks] == ['EMAHook', 'SafeCheckpointHook']


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (3, 'teacher_training must be a dict, but got 3'),
        (dict(optim_wraper=None), r'unknown key "optim_wraper" \(did you mean "optim_wrapper"'),
        (dict(load_from='a.pth'), r'load_from is not possible; .*teacher_training.model.init_cfg'),
        (dict(train_cfg=10), 'teacher_training.train_cfg must be a dict, but got 10'),
        (dict(train_cfg=dict(max_epoch=1)), r'teacher_training.train_cfg .*"max_epochs"'),
        (dict(train_cfg=dict(max_epochs='ten')), r'teacher_training: train_cfg.max_epochs .*ten'),
        (dict(param_scheduler=dict(type='CosinLR')), 'teacher_training: .*"CosinLR"'),
        (dict(val_evaluator=dict(topk=(5,))), 'teacher_training does not fit the config: '),
    ],
)
def test_what_no_training_can_use_is_refused_before_any_training(digits, tmp_path, given, message):
    cfg = digits()
    cfg.teacher_training = given
    cfg.work_dir = str(tmp_path)
    for index, teacher in enumerate(cfg.model.teachers):
        teacher.ckpt = str(tmp_path / f'{index}.pth')
    with pytest.raises(ConfigurationError, match=message):
        train_teachers(RunConfig(cfg))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (dict(optim_wraper=None), 'teacher_training has the unknown key "optim_wraper"'),
        (
            dict(train_cfg=dict(max_epoch=8)),
            r'teacher_training.train_cfg has the unknown key "max_epoch" \(did you mean "max_epochs"',
        ),
    ],
)
def test_a_key_that_no_training_has_is_refused_though_all_teachers_are_there(
    digits, tmp_path, given, message
):
    cfg = digits()
    cfg.merge_from_dict(dict(teacher_training=given))
    for index, teacher in enumerate(cfg.model.teachers):
        teacher.ckpt = str(tmp_path / f'{index}.pth')
        Path(teacher.ckpt).touch()
    with pytest.raises(ConfigurationError, match=message):
        train(RunConfig(cfg))


@pytest.mark.parametrize('name', ['resnet110_experts', 'resnet50_experts'])
def test_the_experts_of_the_papers_setting_keep_the_papers_recipe(name):
    training = Config.fromfile(CONFIGS / '_base_' / 'models' / f'{name}.py').teacher_training
    assert training.train_cfg.max_epochs == 240
    assert training.param_scheduler.milestones == [150, 180, 210]
