import math
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from runs import LENGTHS, generalist_run, school_config, train
from torch.utils.data import DataLoader

from edudistill_mm.config.schedule import epochs_to_iters
from edudistill_mm.curriculum import Curriculum
from edudistill_mm.engine.epoch_lengths import epoch_lengths
from edudistill_mm.errors import ConfigurationError


@HOOKS.register_module(force=True)
class RatesHook(Hook):
    """Keeps the learning rate and the momentum, or its like, of each step."""

    priority = 'LOWEST'

    def before_run(self, runner):
        type(self).rates, type(self).momenta, type(self).validated = [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        group = runner.optim_wrapper.param_groups[0]
        self.rates.append(group['lr'])
        self.momenta.append(group['betas'][0] if 'betas' in group else group['momentum'])

    def before_val(self, runner):
        self.validated.append(runner.epoch)


def plain_run(tmp_path, name='run', **changes):
    """A run of three grades without teachers."""
    config = school_config(tmp_path)
    config.work_dir, config.experiment_name = str(tmp_path / name), f'{tmp_path.name}_{name}'
    for key in ('teachers', 'distiller'):
        config.model.pop(key)
    for grade in config.model.curriculum.grades:
        grade.pop('teachers')
    config.custom_hooks.append(dict(type='RatesHook'))
    config.merge_from_dict(changes)
    return config


@pytest.mark.parametrize(
    'optimizer', [dict(type='SGD', lr=0.05, momentum=0.9), dict(type='AdamW', lr=0.01)]
)
def test_a_schedule_of_the_momentum_begins_at_its_own_value_in_epochs_of_any_length(
    tmp_path, optimizer
):
    momentum = dict(type='LinearMomentum', start_factor=0.5, begin=0, end=2)
    config = plain_run(tmp_path)
    config.optim_wrapper.optimizer = optimizer
    config.param_scheduler = [dict(momentum, convert_to_iter_based=True)]
    train(config)
    assert RatesHook.momenta == pytest.approx([0.45, 0.6, 0.75, *[0.9] * (sum(LENGTHS) - 3)])


def test_a_schedule_that_is_longer_than_the_run_is_cut_and_not_squeezed(tmp_path):
    config = plain_run(tmp_path)
    cosine = dict(type='CosineAnnealingLR', T_max=14, convert_to_iter_based=True)
    config.param_scheduler = [cosine]
    train(config)
    # As if seven more epochs of the last length came: 30 of 30 + 7 * 6 steps.
    expected = [0.025 * (1 + math.cos(math.pi * step / 72)) for step in range(30)]
    assert RatesHook.rates == pytest.approx(expected)
    assert epochs_to_iters(dict(cosine, end=int(1e9)), LENGTHS)['end'] == sum(LENGTHS)


def test_a_schedule_that_waits_for_a_metric_begins_anew_with_each_grade(tmp_path):
    config = plain_run(tmp_path)
    # Nothing is an improvement after a grade's first validation.
    wait = dict(monitor='seen/top1', rule='greater', patience=0, threshold=1000, factor=0.1)
    config.param_scheduler = [dict(type='ReduceOnPlateauLR', threshold_rule='abs', **wait)]
    config.default_hooks.checkpoint.save_best = 'seen/top1'
    runner = train(config)
    rates = [RatesHook.rates[sum(LENGTHS[:epoch])] for epoch in range(7)]
    # Grades of two, two and three epochs: each cuts after its second validation, and before it ends.
    assert rates == pytest.approx([0.05, 0.05, 5e-3, 5e-3, 5e-4, 5e-4, 5e-5])
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    assert log.count('CheckpointHook.save_best is "seen/top1", which is over fewer classes') == 1


@pytest.mark.parametrize('on_average', [True, False])
def test_averages_that_nothing_measures_are_told(tmp_path, on_average):
    config = plain_run(tmp_path)
    measured = dict(evaluate_on_ema=on_average, evaluate_on_origin=True)
    config.custom_hooks.append(dict(type='EMAHook', momentum=0.5, **measured))
    runner = train(config)
    log = next(Path(runner.log_dir).glob('*.log')).read_text()
    assert log.count('EMAHook.evaluate_on_ema=False') == (not on_average)


def test_a_resumed_run_validates_when_the_uninterrupted_one_does(tmp_path):
    changes = {
        'train_cfg.dynamic_intervals': [(3, 4)],
        'default_hooks.checkpoint.save_best': None,
        'default_hooks.checkpoint.max_keep_ckpts': -1,
    }
    train(plain_run(tmp_path, **changes))
    assert RatesHook.validated == [1, 4, 7]
    rest = plain_run(tmp_path, 'rest', resume=True, **changes)
    rest.load_from = str(tmp_path / 'run' / 'epoch_5.pth')
    train(rest)
    assert RatesHook.validated == [7]


@pytest.mark.parametrize(
    'hook, words',
    [
        (
            dict(type='mmrazor.StopDistillHook', stop_epoch=3),
            'StopDistillHook would never reach epoch 3',
        ),
        (
            dict(type='SwitchRecipeHook', schedule=[dict(action_epoch=2, batch_augments=None)]),
            'SwitchRecipeHook would never reach epoch 2',
        ),
        (
            dict(type='EMAHook', begin_epoch=2),
            'EMAHook would never reach epoch 2',
        ),
        (
            dict(type='PreciseBNHook', num_samples=16),
            'PreciseBNHook would read images of the first grade',
        ),
    ],
)
def test_hooks_of_epochs_are_refused_where_iterations_are_counted(tmp_path, hook, words):
    config = generalist_run(tmp_path)
    config.custom_hooks.append(hook)
    with pytest.raises(ConfigurationError) as error:
        train(config)
    assert words in str(error.value) and '\n' not in str(error.value)


def test_a_loader_of_another_sampler_that_has_no_batch_is_refused_with_its_number_of_images():
    curriculum = Curriculum.from_cfg(dict(num_classes=2, grades=[dict(epochs=2, classes='all')]))
    loader = DataLoader(list(range(3)), batch_size=4, drop_last=True)
    with pytest.raises(ConfigurationError, match='it has 3 images, batch_size is 4'):
        epoch_lengths(curriculum, loader, None)
    assert epoch_lengths(curriculum, DataLoader(list(range(3)), batch_size=2), None) == [2, 2]
