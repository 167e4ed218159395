"""What becomes of whole education runs is in tests/reliability/test_mixed_precision.py."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from networks import resnet

from edudistill_mm.errors import TrainingError


class Spoil(Hook):
    """Calls a function with the model before an iteration, counted from 1."""

    def __init__(self, iteration, function):
        self.iteration, self.function = iteration, function

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration:
            self.function(runner.model)


@pytest.fixture
def plain_run(config):
    """Function that trains a plain classifier for some iterations."""

    def train(*hooks):
        config.model = dict(resnet(), data_preprocessor=config.model.data_preprocessor)
        config.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=False)
        config.val_cfg = config.val_dataloader = config.val_evaluator = None
        config.default_hooks.checkpoint = None
        config.train_cfg = dict(by_epoch=False, max_iters=4)
        config.custom_hooks = [dict(type='FiniteLossHook'), *hooks]
        runner = Runner.from_cfg(config)
        runner.train()
        return runner

    return train


def test_a_run_without_grades_and_checkpoints_is_stopped_as_well(plain_run):
    spoil = Spoil(2, lambda model: model.head.fc.weight.data.fill_(float('nan')))
    with pytest.raises(TrainingError) as error:
        plain_run(spoil)
    assert str(error.value) == (
        'training stopped at iteration 2: the loss "loss" is nan; there is no checkpoint yet; a lower '
        'learning rate or optim_wrapper.clip_grad may help'
    )


def test_weights_are_looked_at_when_a_checkpoint_is_due_and_not_before(plain_run):
    def spoil(model):
        # No loss reads it.
        model.unused = torch.nn.Parameter(torch.tensor([float('inf')]))

    due = dict(type='CheckpointHook', interval=3, by_epoch=False)
    with pytest.raises(TrainingError, match='at iteration 3: the weights "unused" are no longer'):
        plain_run(Spoil(1, spoil), due)


def test_a_constant_that_is_infinite_is_none_of_the_weights(plain_run):
    def mask(model):
        model.register_buffer('mask', torch.tensor([float('-inf'), 0.0]))

    due = dict(type='CheckpointHook', interval=1, by_epoch=False)
    assert plain_run(Spoil(1, mask), due).iter == 4


def test_only_losses_count_not_what_else_a_model_logs(plain_run):
    class Log(Hook):
        priority = 'VERY_HIGH'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            outputs['accuracy'] = torch.tensor(float('nan'))

    assert plain_run(Log()).iter == 4


@pytest.mark.cuda
def test_a_loss_on_a_gpu_is_read_late_and_names_its_iteration(plain_run):
    spoil = Spoil(2, lambda model: model.head.fc.weight.data.fill_(float('nan')))
    count = Spoil(4, lambda model: reached.append(True))
    reached = []
    with pytest.raises(TrainingError, match='stopped at iteration 2: the loss "loss" is nan'):
        plain_run(spoil, count)
    assert reached
