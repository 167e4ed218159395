"""Runs without a curriculum; those with one are stopped in tests/reliability/test_asked_to_end.py."""

import os
import signal

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from networks import build, resnet

from edudistill_mm.engine.preemption import preemption
from edudistill_mm.errors import Preempted


@HOOKS.register_module(force=True)
class Asker(Hook):
    """Keeps the samples of each step, and asks the run to end before one of them."""

    at, seen = None, []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        Asker.seen.append([sample.sample_idx for sample in data_batch['data_samples']])
        if runner.iter == Asker.at:
            os.kill(os.getpid(), signal.SIGTERM)


def train(config, folder, at=None, resume=False):
    Asker.at = at
    config = config.copy()
    config.update(work_dir=str(folder), resume=resume, experiment_name=f'{folder}{at}')
    runner = Runner.from_cfg(config)
    with preemption.heeded():
        runner.train()
    return runner


@pytest.mark.parametrize('at', [3, 7])
def test_a_plain_run_goes_on_in_the_middle_of_its_epoch(config, tmp_path, at):
    """Six batches an epoch; a checkpoint after each second epoch."""
    config.model = dict(resnet(), data_preprocessor=config.model.data_preprocessor)
    config.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    config.val_evaluator = [dict(type='Accuracy', topk=1)]
    config.train_cfg = dict(by_epoch=True, max_epochs=3)
    config.param_scheduler = dict(type='PolyLR', eta_min=0, by_epoch=False, end=18)
    config.custom_hooks = [
        dict(type=kind) for kind in ('SafeCheckpointHook', 'PreemptionHook', 'Asker')
    ]
    config.default_hooks.checkpoint.interval = 2
    Asker.seen.clear()
    whole = train(config, tmp_path / 'whole')
    seen = list(Asker.seen)

    Asker.seen.clear()
    with pytest.raises(Preempted, match=rf'SIGTERM: after iteration {at + 1}, ".*" was written'):
        train(config, tmp_path / 'run', at)
    assert (tmp_path / 'run' / 'preempted.pth').exists()
    again = train(config, tmp_path / 'run', resume=True)
    assert Asker.seen == seen
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    assert not (tmp_path / 'run' / 'preempted.pth').exists()
    files = [sorted(path.name for path in (tmp_path / d).glob('*.pth')) for d in ('whole', 'run')]
    assert files[0] == files[1]


def test_a_curriculum_without_grade_sampler_goes_on_in_the_middle_of_its_epoch(config, tmp_path):
    """Six batches an epoch; the ninth step is the third of the second epoch."""
    file = tmp_path / 'all.pth'
    torch.save(dict(state_dict=build(resnet(6)).state_dict()), file)
    config.model.teachers = [
        dict(name='all', architecture=resnet(6), ckpt=str(file), classes='all')
    ]
    config.model.curriculum.grades = [
        dict(name='low', epochs=1, fragments=1, classes='all'),
        dict(name='high', epochs=2, fragments=3),
    ]
    config.train_cfg.max_epochs = 3
    config.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    config.custom_hooks.extend(dict(type=kind) for kind in ('PreemptionHook', 'Asker'))
    Asker.seen.clear()
    whole = train(config, tmp_path / 'whole')
    seen = list(Asker.seen)

    Asker.seen.clear()
    with pytest.raises(Preempted, match='SIGTERM: after iteration 9'):
        train(config, tmp_path / 'run', 8)
    again = train(config, tmp_path / 'run', resume=True)
    assert Asker.seen == seen and again.iter == whole.iter == len(seen)


@HOOKS.register_module(force=True)
class AskerInValidation(Hook):
    """Asks the run to end after a batch of the second epoch's validation, passes together."""

    at, seen = None, 0

    def before_train_epoch(self, runner):
        AskerInValidation.seen = 0

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        AskerInValidation.seen += 1
        if runner.epoch == 2 and AskerInValidation.seen == AskerInValidation.at:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    'options, at',
    [
        (dict(), 2),
        (dict(evaluate_on_ema=False), 2),
        (dict(evaluate_on_origin=True), 2),
        # Three batches a pass: this is the second one, of the weights as they are.
        (dict(evaluate_on_origin=True), 5),
    ],
)
def test_averages_and_weights_are_not_exchanged_by_a_signal_in_a_validation(
    config, tmp_path, options, at
):
    average = dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.2, **options)
    config.custom_hooks.extend(
        [average, dict(type='PreemptionHook'), dict(type='AskerInValidation')]
    )
    # Otherwise the checkpoint of the epoch has all that is to be saved.
    config.default_hooks.checkpoint.interval = 5
    AskerInValidation.at = None
    whole = train(config, tmp_path / 'whole')
    assert AskerInValidation.seen == (6 if 'evaluate_on_origin' in options else 3)
    AskerInValidation.at = at
    with pytest.raises(Preempted):
        train(config, tmp_path / 'run')
    AskerInValidation.at = None
    again = train(config, tmp_path / 'run', resume=True)

    def states(runner):
        (hook,) = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
        return {**runner.model.state_dict(), **hook.ema_model.state_dict()}

    found = states(again)
    for name, value in states(whole).items():
        assert torch.equal(found[name], value), name
