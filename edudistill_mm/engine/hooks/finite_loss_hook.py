import math
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from edudistill_mm.distributed import unwrap_model
from edudistill_mm.engine.resume_state import ResumeState
from edudistill_mm.errors import TrainingError
from edudistill_mm.registry import HOOKS, register


@register(HOOKS)
class FiniteLossHook(Hook):
    """Stops a training whose loss is not finite, and keeps its last good checkpoint.

    The hook checks the total loss in each iteration. Losses on a GPU, for which it would have to
    wait, it checks every 50 iterations, and before a checkpoint may be written. Then it checks the
    weights as well: a gradient that is not finite spoils them one iteration before it shows in a
    loss. Infinite *gradients* under a dynamic loss scale are normal, since the optimizer skips
    them. Each rank checks its own loss.
    """

    # Before hooks that average or save the weights.
    priority = 'HIGH'
    # Iterations from one check of losses on a GPU to the next.
    INTERVAL = 50

    def __init__(self) -> None:
        # Iterations, names and copies of losses on a GPU.
        self._waiting: list[tuple[int, list[str], torch.Tensor]] = []

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Raise TrainingError if the loss, or a weight about to be saved, is not finite."""
        losses = {name: value for name, value in (outputs or {}).items() if 'loss' in name}
        total = losses.get('loss')
        if isinstance(total, torch.Tensor) and total.device.type != 'cpu':
            # A copy, because a captured step writes its losses to the same place again.
            copy = torch.stack([value.detach().float() for value in losses.values()])
            self._waiting.append((runner.iter + 1, list(losses), copy))
            if len(self._waiting) >= self.INTERVAL:
                self._check_waiting(runner)
        else:
            self._check_losses(runner, runner.iter + 1, losses)
        if ResumeState.saves_after_iteration(runner):
            self._check_weights(runner, runner.iter + 1)

    def _check_waiting(self, runner: Runner) -> None:
        if not self._waiting:
            return
        # One wait for the device.
        numbers = iter(torch.cat([copy for _, _, copy in self._waiting]).tolist())
        waiting, self._waiting = self._waiting, []
        for iteration, names, _ in waiting:
            self._check_losses(runner, iteration, dict(zip(names, numbers)))

    def _check_losses(self, runner: Runner, iteration: int, losses: dict[str, Any]) -> None:
        total = [losses['loss']] if 'loss' in losses else losses.values()
        if all(_finite(value) for value in total):
            return
        # The parts say more than the total.
        bad = [name for name in losses if not _finite(losses[name])]
        bad = [name for name in bad if name != 'loss'] or bad
        parts = ', '.join(f'"{name}" is {_mean(losses[name])}' for name in bad)
        raise TrainingError(
            f'training stopped {self._when(runner, iteration)}: the loss {parts}; '
            f'{self._kept(runner)}'
        )

    def after_train_epoch(self, runner: Runner) -> None:
        """Check the weights before they are saved or validated."""
        self._check_weights(runner, runner.iter)

    def before_val_epoch(self, runner: Runner) -> None:
        """Check the weights before a validation by iterations, which may save them as the best."""
        if isinstance(runner._train_loop, IterBasedTrainLoop):
            self._check_weights(runner, runner.iter)

    def _check_weights(self, runner: Runner, iteration: int) -> None:
        self._check_waiting(runner)
        model = unwrap_model(runner.model)
        # A constant buffer, such as a mask, may be infinite.
        bad = {name: ~value.isfinite().all() for name, value in model.named_parameters()}
        bad.update((name, value.isnan().any()) for name, value in model.named_buffers())
        # One wait for the device; a user's module may keep a tensor on another one.
        device = next(model.parameters()).device
        flags = torch.stack([flag.to(device) for flag in bad.values()]).tolist()
        if any(flags):
            name = list(bad)[flags.index(True)]
            raise TrainingError(
                f'training stopped {self._when(runner, iteration)}: the weights "{name}" are no longer '
                f'finite, though the loss still was; {self._kept(runner)}'
            )

    @staticmethod
    def _when(runner: Runner, iteration: int) -> str:
        grade = getattr(unwrap_model(runner.model), 'grade', None)
        by_epoch = isinstance(runner._train_loop, EpochBasedTrainLoop)
        return (
            f'at iteration {iteration}'
            + (f' (epoch {runner.epoch + 1})' if by_epoch else '')
            + (f' in grade "{grade.name}"' if grade else '')
        )

    @staticmethod
    def _kept(runner: Runner) -> str:
        last = runner.message_hub.runtime_info.get('last_ckpt')
        kept = f'the last checkpoint is "{last}"' if last else 'there is no checkpoint yet'
        return f'{kept}; a lower learning rate or optim_wrapper.clip_grad may help'


def _finite(value: Any) -> bool:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return math.isfinite(value.item())
    return bool(torch.as_tensor(value).isfinite().all())


def _mean(value: Any) -> float:
    return torch.as_tensor(value).detach().float().mean().item()
