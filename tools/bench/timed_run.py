"""Runs of distillation on noise, of which single epochs are timed."""

import copy
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

from edudistill_mm.engine import EducationRunner

from .bare_loop import PADDING
from .tiny import MEAN, SIZE, STD, tiny_network

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
# More than are ever run.
EPOCHS = 10_000


class EpochClock(Hook):
    """Stops a training after each epoch, and measures the time of the epoch's iterations.

    Saving and validating do not count.

    Args:
        now (Callable): The clock, in seconds. Defaults to the CPU time of the process.
    """

    priority = 'HIGHEST'

    def __init__(self, now: Callable[[], float] = time.process_time) -> None:
        self.now, self.seconds = now, 0.0

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin to measure."""
        self.seconds = -self.now()

    def after_train_epoch(self, runner: Runner) -> None:
        """Measure, and let the epoch be the last."""
        self.seconds += self.now()
        runner.train_loop.stop_training = True


class TimedRun:
    """A run of which single epochs are trained.

    Args:
        runner (Runner): Its runner.
        now (Callable): The clock, in seconds. Defaults to the CPU time of the process.
    """

    def __init__(self, runner: Runner, now: Callable[[], float] = time.process_time) -> None:
        self.runner, self.clock = runner, EpochClock(now)
        runner.register_hook(self.clock)
        runner.train()

    def epoch(self) -> float:
        """Train one epoch; the time of an iteration, in seconds."""
        loop = self.runner.train_loop
        loop.stop_training = False
        loop.run()
        return self.clock.seconds / len(loop.dataloader)


def loader_config(count: int, batch_size: int) -> dict:
    """A training loader of noise without workers, with the crop and flip of CIFAR-100."""
    return dict(
        batch_size=batch_size,
        num_workers=0,
        dataset=dict(
            type='mmpretrain.NoiseImages',
            count=count,
            pipeline=[
                dict(type='RandomCrop', crop_size=SIZE, padding=PADDING),
                dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                dict(type='PackInputs'),
            ],
        ),
        sampler=dict(type='DefaultSampler', shuffle=True),
    )


def plain_config(
    folder: Path,
    count: int,
    batch_size: int,
    student: dict | None = None,
    teacher: dict | None = None,
) -> Config:
    """A config of plain distillation on noise, as for CIFAR-100; between tiny networks, if not others."""
    student, teacher = copy.deepcopy(student or tiny_network()), teacher or tiny_network()
    checkpoint = folder / 'teacher.pth'
    if not checkpoint.exists():
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            torch.save(MODELS.build(copy.deepcopy(teacher)).state_dict(), checkpoint)
    student['head']['loss']['loss_weight'] = 0.1
    return Config(
        dict(
            default_scope='mmpretrain',
            work_dir=str(folder / 'run'),
            log_level='ERROR',
            model=dict(
                type='mmrazor.SingleTeacherDistill',
                architecture=student,
                teacher=teacher,
                teacher_ckpt=str(checkpoint),
                distiller=Config.fromfile(CONFIGS / '_base_/distillers/kd.py').distiller.to_dict(),
                data_preprocessor=dict(
                    type='mmpretrain.ClsDataPreprocessor', mean=MEAN, std=STD, to_rgb=False
                ),
            ),
            train_dataloader=loader_config(count, batch_size),
            train_cfg=dict(by_epoch=True, max_epochs=EPOCHS),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4)
            ),
            param_scheduler=dict(type='MultiStepLR', by_epoch=True, milestones=[150], gamma=0.1),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=100),
                # Saving is no part of an iteration.
                checkpoint=dict(type='CheckpointHook', interval=EPOCHS, save_last=False),
            ),
            randomness=dict(seed=0),
        )
    )


def plain_runner(folder: Path, count: int, batch_size: int) -> Runner:
    """MMRazor's own algorithm under MMEngine's own runner."""
    cfg = plain_config(folder, count, batch_size)
    cfg.model.distiller['_scope_'] = 'mmrazor'
    cfg.work_dir = str(folder / 'plain')
    cfg.experiment_name = 'plain'
    return Runner.from_cfg(cfg)


def own_runner(
    folder: Path,
    count: int,
    batch_size: int,
    student: dict | None = None,
    teacher: dict | None = None,
    changes: dict | None = None,
) -> Runner:
    """The same config as this package trains it, with resident data and the hooks of its configs.

    ``changes`` are as in ``--cfg-options``.
    """
    cfg = plain_config(folder, count, batch_size, student, teacher)
    runtime = Config.fromfile(CONFIGS / '_base_/default_runtime.py')
    hooks = copy.deepcopy(runtime.default_hooks)
    hooks.checkpoint = cfg.default_hooks.checkpoint
    cfg.merge_from_dict(dict(runtime, default_hooks=hooks, log_level='ERROR'))
    cfg.train_dataloader.sampler = dict(type='GradeSampler', shuffle=True)
    cfg.train_dataloader.resident = True
    cfg.experiment_name = 'own'
    cfg.merge_from_dict(changes or {})
    return EducationRunner.from_cfg(cfg)
