from typing import Any

import torch
from mmengine.runner import Runner
from torch.optim import Optimizer

from edudistill_mm.distributed import unwrap_model
from edudistill_mm.engine.resume_state import optim_wrappers
from edudistill_mm.registry import HOOKS, register
from edudistill_mm.validation.values import check_number

from .fading_hook import FadingHook


@register(HOOKS)
class NewParameterRateHook(FadingHook):
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
        epochs (int, optional): After how many epochs of a grade it is 1. One of ``epochs``,
            ``iters`` and ``share`` must be given. At the end of its grade, nothing is new any more.
        iters (int, optional): The same in iterations.
        share (float, optional): The same as a share of the grade, above 0 and up to 1.

    Raises:
        ConfigurationError: If a value cannot be used or, when the run starts, the unit.
    """

    def __init__(
        self,
        factor: float,
        epochs: int | None = None,
        iters: int | None = None,
        share: float | None = None,
    ) -> None:
        check_number(factor, 'NewParameterRateHook.factor')
        super().__init__(epochs, iters, share)
        self._factor = factor
        self.factor = 1.0
        self._new: list[torch.nn.Parameter] = []
        self._before: list[torch.Tensor] = []
        self._grade: Any = None
        self._handles: list[Any] = []

    def before_train(self, runner: Runner) -> None:
        """Take hold of the optimizers' steps."""
        super().before_train(runner)
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
        rest = self.rest(runner, model)
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
