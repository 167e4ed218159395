from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from edudistill_mm.distributed import unwrap_model
from edudistill_mm.random_state import random_state, set_random_state


class ResumeState:
    """Random states, accumulated gradients and buffers that make a resumed run exact.

    MMEngine's checkpoint lacks the random states of dropout, drop-path and Mixup, the gradients of
    an unfinished accumulation and, except for the main process, buffers such as BatchNorm's
    statistics. Each process has its own, and only the main process writes checkpoints: the states
    are gathered where a checkpoint may follow.

    PyTorch's data loaders draw a random number when they start workers; persistent workers start
    once in a process. A resumed run starts them before the random state is restored, if the
    uninterrupted run had them at that point.
    """

    def __init__(self) -> None:
        self._gathered: list[dict] = []
        self._gathered_at: Any = None
        self._held: list[dict] = []
        self._pending: dict | None = None

    # ---- writing
    def gather(self, runner: Runner) -> None:
        """Gather the states in the main process. All ranks must call it before a checkpoint."""
        self._held = []
        if get_world_size() > 1:
            self._gathered = all_gather_object(self._own(runner))
            self._gathered_at = (runner.epoch, runner.iter)

    def hold(self, runner: Runner) -> None:
        """Keep the present states until :meth:`gather`. All ranks call it before a validation.

        A resumed run will draw random numbers for that validation again.
        """
        self._held = all_gather_object(self._own(runner))

    @staticmethod
    def saves_after_iteration(runner: Runner) -> bool:
        """Whether a ``CheckpointHook`` is going to write a checkpoint after this iteration."""
        return any(
            hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
            or (hook.save_last and hook.is_last_train_iter(runner))
            for hook in runner.hooks
            if isinstance(hook, CheckpointHook) and not hook.by_epoch
        )

    def state_dict(self, runner: Runner, with_gradients: bool) -> list[dict]:
        """'random', 'gradients' and, except for the main process, 'buffers', by rank.

        The list is shorter than the number of ranks if the states of the others are not known.
        """
        states = self._held or [self._own(runner)]
        if not self._held and self._gathered_at == (runner.epoch, runner.iter):
            states += self._gathered[1:]
        return states if with_gradients else [dict(state, gradients={}) for state in states]

    @staticmethod
    def _own(runner: Runner) -> dict:
        gradients = {}
        if not all(wrapper.should_update() for wrapper in optim_wrappers(runner)):
            gradients = {
                name: parameter.grad.detach().cpu()
                for name, parameter in _parameters(runner).items()
                if parameter.grad is not None
            }
        buffers = {}
        if get_rank():
            buffers = {
                name: value.cpu() for name, value in unwrap_model(runner.model).named_buffers()
            }
        return dict(random=random_state(), gradients=gradients, buffers=buffers)

    # ---- resuming
    @property
    def pending(self) -> bool:
        """bool: Whether a random state has not been restored yet."""
        return self._pending is not None

    def load_state_dict(self, runner: Runner, states: list[dict]) -> None:
        """Take the state of this rank from what :meth:`state_dict` returned."""
        if len(states) == get_world_size():
            self._pending = states[get_rank()]
            return
        lost = any(state['gradients'] for state in states)
        runner.logger.warning(
            f'The checkpoint holds the random states of {len(states)} processes, but there are '
            f'{get_world_size()}: dropout and the like draw other numbers from here on'
            + (', and the gradients that were being accumulated are lost' if lost else '')
        )

    def put_back_buffers(self, runner: Runner) -> None:
        """Restore this rank's buffers, after all have loaded those of the main process."""
        # Checkpoints of earlier versions have none.
        buffers = (self._pending or {}).get('buffers', {})
        for name, value in unwrap_model(runner.model).named_buffers():
            if name in buffers:
                value.copy_(buffers[name])

    def put_back_gradients(self, runner: Runner) -> None:
        """Restore the gradients of an accumulation that was under way."""
        gradients: dict[str, torch.Tensor] = (self._pending or {}).get('gradients', {})
        if not gradients:
            return
        parameters = _parameters(runner)
        if is_model_wrapper(runner.model):
            # DDP reduces what has been used since the last step, even if the next batch does not
            # use it, such as the reference of the grade before a promotion.
            sum((parameters[name].sum() * 0 for name in gradients), torch.zeros(())).backward()
        for name, gradient in gradients.items():
            parameters[name].grad = gradient.to(parameters[name], copy=True)
        runner.logger.info(
            f'The checkpoint was written in an accumulation of gradients: it held those of '
            f'{len(gradients)} parameters, and none is lost'
        )

    def start_workers(self, runner: Runner, validated: bool) -> None:
        """Start the persistent workers that the uninterrupted run had."""
        loaders = [runner.train_dataloader]
        if validated and runner.val_loop is not None:
            loaders.append(runner.val_dataloader)
        for loader in loaders:
            persistent = isinstance(loader, DataLoader) and loader.persistent_workers
            if persistent and loader.num_workers and loader._iterator is None:
                iter(loader)

    def put_back_random_state(self) -> None:
        """Restore the random state, once."""
        if self._pending is not None:
            set_random_state(self._pending['random'])
            self._pending = None


def optim_wrappers(runner: Runner) -> list[OptimWrapper]:
    """The optimizer wrapper of a run, or those of an ``OptimWrapperDict``."""
    wrapper = runner.optim_wrapper
    return list(wrapper.values()) if hasattr(wrapper, 'optim_wrappers') else [wrapper]


def _parameters(runner: Runner) -> dict[str, torch.nn.Parameter]:
    return dict(unwrap_model(runner.model).named_parameters())
