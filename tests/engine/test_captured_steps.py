"""Which steps of a run are captured, with a stand-in for the capturing, which needs a GPU (test_cuda.py)."""

import copy

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS, MODELS
from runs import generalist_run, scalars, train
from tape_graph import TapeGraphs

from edudistill_mm.engine import captured_steps
from edudistill_mm.engine.captured_steps import captures_updates
from edudistill_mm.models.algorithms import EducationDistill
from edudistill_mm.models.algorithms.captured_step import CapturedStep

needs_kernel = pytest.mark.skipif(
    not CapturedStep.suits(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)),
    reason='this PyTorch has no fused SGD that suits',
)


@MODELS.register_module(force=True)
class CountingDistill(EducationDistill):
    """A user's own algorithm, whose sum of losses changes with the steps."""

    steps = 0

    def parse_losses(self, losses):
        self.steps += 1
        total, log_vars = super().parse_losses(losses)
        return total / self.steps, log_vars


@HOOKS.register_module(force=True)
class CountHook(Hook):
    """Takes hold of the optimizer when a training begins, after all other hooks."""

    priority = 'LOWEST'
    calls = 0

    def before_train(self, runner):
        type(self).calls = 0
        runner.optim_wrapper.optimizer.register_step_pre_hook(self.count)

    def count(self, *_):
        type(self).calls += 1


@HOOKS.register_module(force=True)
class QuietHook(Hook):
    """A user's own, which acts by a method that MMEngine calls before each iteration."""

    def _before_iter(self, runner, batch_idx, data_batch=None, mode='train'):
        runner.model.distill_loss_weight = 1.0


@MODELS.register_module(force=True)
class OwnForward(EducationDistill):
    """A user's own algorithm, which does something else in a forward pass."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return super().forward(inputs, data_samples, mode)


@HOOKS.register_module(force=True)
class AskHook(Hook):
    """Keeps the answer of a run that begins, and ends it."""

    answer = None

    def before_train(self, runner):
        type(self).answer = captures_updates(runner)
        runner.train_loop._max_iters = 0


@needs_kernel
@pytest.mark.parametrize(
    'change, captured',
    [
        ({}, True),
        (dict(optim_wrapper=dict(clip_grad=dict(max_norm=5))), True),
        (dict(optim_wrapper=dict(type='BFloat16OptimWrapper')), True),
        (dict(param_scheduler=[dict(type='LinearLR', by_epoch=False, end=9)]), True),
        (dict(param_scheduler=[dict(type='LinearMomentum', by_epoch=False, end=9)]), False),
        (dict(optim_wrapper=dict(optimizer=dict(type='AdamW', momentum=None))), False),
        (dict(custom_hooks=[dict(type='NewParameterRateHook', factor=3, iters=5)]), False),
        (dict(optim_wrapper=dict(clip_grad=dict(max_norm=5, error_if_nonfinite=True))), False),
        (dict(model=dict(type='CountingDistill')), False),
    ],
)
def test_updates_are_captured_where_nothing_but_rates_changes_in_them(tmp_path, change, captured):
    config = generalist_run(tmp_path)
    config.custom_hooks += [*change.pop('custom_hooks', []), dict(type='AskHook')]
    config.merge_from_dict(change)
    if config.optim_wrapper.optimizer.type == 'AdamW':
        del config.optim_wrapper.optimizer.momentum
    train(config)
    assert AskHook.answer is captured


@pytest.fixture
def replays(monkeypatch):
    """Lets runs on a CPU capture their steps; the counts of replays by graph."""
    graphs = TapeGraphs()
    monkeypatch.setattr(captured_steps, 'DEVICE', 'cpu')
    monkeypatch.setattr(CapturedStep.__init__, '__defaults__', (graphs,))
    return graphs.replays


@needs_kernel
def test_a_run_of_captured_steps_is_the_run_of_plain_ones(tmp_path, replays):
    """With rates and a warm-up that change in each step, and an optimizer that begins anew."""
    config = generalist_run(tmp_path)
    config.custom_hooks.append(dict(type='DistillWarmupHook', iters=60))
    config.param_scheduler = [
        dict(type='LinearLR', by_epoch=False, start_factor=1, end_factor=0.1, end=80)
    ]
    config.model.curriculum.grades[1].optimizer = 'reset'
    config.optim_wrapper.optimizer.lr = 0.01
    plain = copy.deepcopy(config)
    plain.work_dir, plain.experiment_name = str(tmp_path / 'plain'), f'{tmp_path.name}_plain'
    config.model.cuda_graphs, plain.model.cuda_graphs = True, False
    ours = train(config)
    # Of each grade's 40 steps, 20 show that they stay as they are, and one begins its momentum.
    assert replays == [19, 19]
    theirs = train(plain)
    assert replays == [19, 19]
    for name in ('loss', 'distill.loss_kd', 'distill_warmup', 'lr'):
        found, wanted = ([row[name] for row in scalars(c.work_dir)[0]] for c in (config, plain))
        assert found == pytest.approx(wanted, rel=1e-3), name
    for name, value in theirs.model.state_dict().items():
        torch.testing.assert_close(ours.model.state_dict()[name], value, rtol=1e-2, atol=1e-3)


@needs_kernel
@pytest.mark.parametrize('change', ['hook', 'model', 'loss', 'loader'])
def test_what_a_captured_step_would_leave_out_or_cannot_hold_is_not_captured(
    tmp_path, replays, change
):
    config = generalist_run(tmp_path)
    if change == 'hook':
        config.custom_hooks.append(dict(type='QuietHook'))
    elif change == 'model':
        config.model.type = 'OwnForward'
    elif change == 'loader':
        # Its batches are such as are captured.
        config.train_dataloader.update(
            resident=False,
            collate_fn=dict(type='stacked_batch', one_sample=True),
            num_workers=1,
            pin_memory=True,
        )
    else:
        loss = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=6)
        config.model.architecture.head.loss = loss
    train(config)
    assert replays == []


@needs_kernel
def test_a_hook_of_the_optimizer_is_called_in_each_step(tmp_path, replays):
    """Also one that came after the run was asked whether its steps can be captured."""
    config = generalist_run(tmp_path)
    config.custom_hooks.append(dict(type='CountHook'))
    train(config)
    assert CountHook.calls == 80 and replays == []


@HOOKS.register_module(force=True)
class OwnEMAHook(EMAHook):
    """A user's own average, of which nobody knows what it does in a step."""


@needs_kernel
@pytest.mark.parametrize(
    'hook, captured',
    [
        ('EMAHook', True),
        ('mmengine.EMAHook', True),
        ('OwnEMAHook', False),
        # One of MMPretrain's that does more than MMEngine's.
        ('SwitchRecipeHook', False),
    ],
)
def test_averages_of_mm_packages_follow_captured_steps(tmp_path, replays, hook, captured):
    config = generalist_run(tmp_path)
    config.custom_hooks.append(dict(type=hook))
    if hook.endswith('EMAHook'):
        config.custom_hooks[-1].update(ema_type='ExponentialMovingAverage', momentum=0.2)
    else:
        config.custom_hooks[-1].update(schedule=[dict(action_epoch=1, batch_augments=None)])
    plain = copy.deepcopy(config)
    plain.work_dir, plain.experiment_name = str(tmp_path / 'plain'), f'{tmp_path.name}_plain'
    config.model.cuda_graphs, plain.model.cuda_graphs = True, False
    ours = train(config)
    assert bool(replays) is captured
    if captured:
        ours, theirs = (_average(runner) for runner in (ours, train(plain)))
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, rtol=1e-2, atol=1e-3)


def _average(runner):
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    return hook.ema_model.module.state_dict()
