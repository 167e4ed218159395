from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from torch import nn

from edudistill_mm.distributed import unwrap_model
from edudistill_mm.errors import ConfigurationError, did_you_mean
from edudistill_mm.registry import HOOKS, register
from edudistill_mm.validation.values import check_positive


@register(HOOKS)
class DistillWarmupHook(Hook):
    """Lets distillation losses grow linearly from the start of a run, or of each grade.

    In epoch (or iteration) ``n``, counted from 0, the losses are multiplied by
    ``min((n + 1) / length, 1)``, the warm-up of decoupled knowledge distillation (Zhao et al.,
    CVPR 2022, mdistiller: 20 epochs). It depends on progress only, so a resumed run is exact.
    The hook works for :class:`EducationDistill` and for MMRazor's algorithms that have a
    ``distiller``. The log shows the warmed-up losses, and the factor as ``distill_warmup``.

    Args:
        epochs (int, optional): Length in epochs. One of ``epochs`` and ``iters`` must be given.
        iters (int, optional): Length in iterations.
        losses (str | Sequence[str], optional): Names of the losses in
            ``distiller.distill_losses``. Defaults to None: all.
        each_grade (bool): Whether to start anew with each grade of a curriculum, whose teaching
            reference is untrained. The length must then be in the curriculum's unit. Defaults to
            False.

    Raises:
        ConfigurationError: A length or, when the run starts, a name or the unit cannot be used.
    """

    def __init__(
        self,
        epochs: int | None = None,
        iters: int | None = None,
        losses: str | Sequence[str] | None = None,
        each_grade: bool = False,
    ) -> None:
        if (epochs is None) == (iters is None):
            raise ConfigurationError(
                f'DistillWarmupHook needs either epochs or iters, but got {epochs!r} and {iters!r}'
            )
        self.by_epoch = epochs is not None
        key, length = ('epochs', epochs) if self.by_epoch else ('iters', iters)
        self.length = check_positive(length, f'DistillWarmupHook.{key}')
        self.losses = [losses] if isinstance(losses, str) else losses
        if self.losses is not None and (
            not self.losses or len(set(map(str, self.losses))) < len(self.losses)
        ):
            raise ConfigurationError(
                f'DistillWarmupHook.losses must name losses, each once, or be left out for all, but '
                f'got {losses!r}'
            )
        self.each_grade = each_grade
        self.factor = 1.0
        # Where captured steps read the factor.
        self._on_device: torch.Tensor | None = None

    def before_run(self, runner: Runner) -> None:
        """Find the losses of a training; refuse names and units that do not fit the run."""
        if not isinstance(runner._train_loop, BaseLoop):
            return
        model = unwrap_model(runner.model)
        if self.by_epoch and not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ConfigurationError(
                'DistillWarmupHook.epochs needs a train_cfg with max_epochs; give iters instead'
            )
        curriculum = getattr(model, 'curriculum', None)
        if self.each_grade and (curriculum is None or curriculum.by_epoch != self.by_epoch):
            unit = 'epochs' if curriculum is not None and curriculum.by_epoch else 'iters'
            raise ConfigurationError(
                'DistillWarmupHook.each_grade=True needs '
                + ('a curriculum' if curriculum is None else f'{unit}, the unit of the curriculum')
            )

        # A deep copy of the model (EMA's) copies this object with a method, but shares a function.
        def scale(module: nn.Module, inputs: Any, value: Any) -> Any:
            if self._on_device is not None:
                return _scaled(value, self._on_device)
            return _scaled(value, self.factor) if self.factor < 1 else None

        for distiller in _distillers(model):
            known = distiller.distill_losses
            for name in known if self.losses is None else self.losses:
                if name not in known:
                    raise ConfigurationError(
                        f'DistillWarmupHook.losses has "{name}", which is none of '
                        f'distiller.distill_losses{did_you_mean(name, known)}; possible are '
                        f'{", ".join(known)}'
                    )
                known[name].register_forward_hook(scale)

    def keep_on(self, device: torch.device) -> None:
        """Let losses read the factor from a device, so that a captured step follows it."""
        self._on_device = torch.full((), self.factor, device=device)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Set the factor of this iteration."""
        progress = runner.epoch if self.by_epoch else runner.iter
        if self.each_grade:
            progress -= unwrap_model(runner.model).curriculum.grade_at(progress).begin
        factor = min((progress + 1) / self.length, 1.0)
        if self._on_device is not None and factor != self.factor:
            self._on_device.fill_(factor)
        self.factor = factor
        runner.message_hub.update_scalar('train/distill_warmup', self.factor)


def _distillers(model: nn.Module) -> Iterable[nn.Module]:
    distillers = getattr(model, 'distillers', None)
    if distillers is not None:
        return distillers.values()
    if hasattr(getattr(model, 'distiller', None), 'distill_losses'):
        return [model.distiller]
    raise ConfigurationError(
        f'DistillWarmupHook needs a model with a distiller, but model.type is '
        f'"{type(model).__name__}"'
    )


def _scaled(value: Any, factor: float | torch.Tensor) -> Any:
    if isinstance(value, torch.Tensor):
        return value * factor
    return type(value)(_scaled(item, factor) for item in value)
