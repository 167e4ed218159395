from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch.optim import Optimizer

from edudistill_mm.distributed import unwrap_model
from edudistill_mm.engine.epoch_lengths import epoch_lengths
from edudistill_mm.engine.grade_data import grade_sampler
from edudistill_mm.engine.resume_state import optim_wrappers
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.registry import HOOKS, register
from edudistill_mm.validation.values import check_positive


@register(HOOKS)
class NewParameterRateHook(Hook):
    """Trains what is new at a promotion with another learning rate, until that has faded.

    New are the student's parameters that no earlier grade has trained: those of
    ``student.parameters_of`` at the depths that the grade adds. In iteration ``t`` of a grade,
    counted from 0, each step of the optimizer changes them by ``1 + (factor - 1) * max(1 - t /
    length, 0)`` times what it would. For optimizers whose steps are in proportion to the learning
    rate, such as SGD and AdamW, that is a factor of the rate; groups of parameters, schedules and
    states stay as they are. It depends on progress only, so a resumed run is exact. The log shows
    it as ``new_rate_factor``.

    Args:
        factor (float): The factor at the promotion, above 0.
        epochs (int, optional): After how many epochs of a grade it is 1. One of ``epochs``, ``iters``
            and ``share`` must be given. At the end of its grade, nothing is new any more.
        iters (int, optional): The same in iterations.
        share (float, optional): The same as a share of the grade, above 0 and up to 1.

    Raises:
        ConfigurationError: If a value cannot be used or, when the run starts, the unit.
    """

    # After the promotion by GradeSchedulerHook.
    priority = 'HIGH'

    def __init__(
        self,
        factor: float,
        epochs: int | None = None,
        iters: int | None = None,
        share: float | None = None,
    ) -> None:
        name = 'NewParameterRateHook'
        _check_number(factor, f'{name}.factor', float('inf'))
        given = dict(epochs=epochs, iters=iters, share=share)
        given = {key: value for key, value in given.items() if value is not None}
        if len(given) != 1:
            raise ConfigurationError(
                f'{name} needs one of epochs, iters and share, but got {", ".join(given) or "none"}'
            )
        ((self._unit, length),) = given.items()
        if self._unit == 'share':
            _check_number(length, f'{name}.share', 1.0)
        else:
            check_positive(length, f'{name}.{self._unit}')
        self._factor, self._length = factor, length
        self.factor = 1.0
        self._new: list[torch.nn.Parameter] = []
        self._before: list[torch.Tensor] = []
        self._grade: Any = None
        self._handles: list[Any] = []

    def before_run(self, runner: Runner) -> None:
        """Refuse a run without a curriculum, or one that counts otherwise."""
        if not isinstance(runner._train_loop, BaseLoop):
            return
        curriculum = getattr(unwrap_model(runner.model), 'curriculum', None)
        if curriculum is None or (self._unit == 'epochs' and not curriculum.by_epoch):
            raise ConfigurationError(
                'NewParameterRateHook needs a curriculum, whose promotions bring what is new'
                if curriculum is None
                else 'NewParameterRateHook.epochs needs a curriculum that counts epochs; give iters or share'
            )

    def before_train(self, runner: Runner) -> None:
        """Take hold of the optimizers' steps."""
        loader, curriculum = runner.train_dataloader, unwrap_model(runner.model).curriculum
        self._batches = [1] * curriculum.length
        if curriculum.by_epoch:
            self._batches = epoch_lengths(curriculum, loader, grade_sampler(loader))
        for wrapper in optim_wrappers(runner):
            self._handles += [
                wrapper.optimizer.register_step_pre_hook(self._remember),
                wrapper.optimizer.register_step_post_hook(self._scale),
            ]

    def after_train(self, runner: Runner) -> None:
        """Let the optimizers go."""
        while self._handles:
            self._handles.pop().remove()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Set the factor of this iteration."""
        model = unwrap_model(runner.model)
        grade = model.grade
        if grade is not self._grade:
            depths = range(0)
            if grade.index:
                before = model.curriculum.grades[grade.index - 1].fragments
                depths = range(before + 1, grade.fragments + 1)
            self._new = [p for depth in depths for p in model.student.parameters_of(depth)]
            self._grade = grade
        first, batches = sum(self._batches[: grade.begin]), self._batches[grade.begin]
        whole = grade.length * batches
        length = dict(epochs=batches, iters=1, share=whole)[self._unit] * self._length
        rest = max(1 - (runner.iter - first) / min(length, whole), 0)
        self.factor = 1 + (self._factor - 1) * rest if self._new else 1.0
        runner.message_hub.update_scalar('train/new_rate_factor', self.factor)

    @torch.no_grad()
    def _remember(self, optimizer: Optimizer, *_: Any) -> None:
        self._before = [] if self.factor == 1 else [p.clone() for p in self._new]

    @torch.no_grad()
    def _scale(self, optimizer: Optimizer, *_: Any) -> None:
        for parameter, before in zip(self._new, self._before):
            parameter.copy_(before.lerp(parameter, self.factor))
        self._before = []


def _check_number(value: Any, key: str, largest: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value <= largest or value == float('inf'):
        limit = '' if largest == float('inf') else f' and up to {largest:.4g}'
        raise ConfigurationError(f'{key} must be a number above 0{limit}, but got {value!r}')
