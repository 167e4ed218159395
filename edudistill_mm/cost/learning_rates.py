"""The learning rate over a run, without training."""

import inspect
from typing import Any

import torch
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS

from edudistill_mm.config.parts import schedulers_of
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.schedule import epochs_to_iters
from edudistill_mm.cost.training_cost import TrainingCost


def learning_rates(run: RunConfig, cost: TrainingCost) -> list[float]:
    """Learning rate at the begin of each epoch (or iteration), found by running the schedules."""
    curriculum, lr = run.curriculum, _first_rate(run.cfg.optim_wrapper.optimizer)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    lengths = [stage.batches for stage in cost.stages for _ in range(stage.length)]
    by_epoch: list[Any] = []
    by_iter: list[Any] = []
    for config in schedulers_of(run.cfg):
        config = epochs_to_iters(config, lengths)
        in_epochs = config.get('by_epoch', True)
        config.setdefault(
            'end', curriculum.length if in_epochs == curriculum.by_epoch else sum(lengths)
        )
        scheduler = PARAM_SCHEDULERS.build(dict(config, optimizer=optimizer))
        (by_epoch if in_epochs else by_iter).append(scheduler)
    optimizer.step()  # schedulers warn before its first step
    rates = []
    for batches in lengths:
        rates.append(optimizer.param_groups[0]['lr'])
        for _ in range(batches if by_iter else 0):
            for scheduler in by_iter:
                scheduler.step()
        for scheduler in by_epoch:
            scheduler.step()
    return rates


def _first_rate(optimizer: dict) -> float:
    """The rate that a config gives an optimizer, or else the default of its class."""
    if 'lr' in optimizer:
        return optimizer['lr']
    kind: Any = OPTIMIZERS.get(optimizer['type'])
    return inspect.signature(kind).parameters['lr'].default
