from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from edudistill_mm.models.algorithms.captured_loss import CapturedLoss
from edudistill_mm.registry import HOOKS

# Hooks of these packages change nothing that a captured step takes for granted, or are asked.
KNOWN = ('mmengine', 'edudistill_mm')
STAGES = ('before_train_epoch', 'after_train_epoch', 'before_train_iter', 'after_train_iter')


def capture_steps(runner: Runner, model: Any) -> None:
    """Let an EducationDistill capture its steps as CUDA graphs, if its run allows that.

    Otherwise the log says what is in the way. Nothing happens without CUDA.
    """
    model.captured_loss = None
    if not model.cuda_graphs or next(model.parameters()).device.type != 'cuda':
        return
    obstacle = obstacle_to_capturing(runner)
    if obstacle:
        runner.logger.info(f'Steps are not captured as CUDA graphs: {obstacle}')
        return
    kind: Any = HOOKS.get('DistillWarmupHook')
    warmups: list[Any] = [hook for hook in runner.hooks if isinstance(hook, kind)]
    model.captured_loss = CapturedLoss(model, lambda: tuple(hook.factor for hook in warmups))


def obstacle_to_capturing(runner: Runner) -> str | None:
    """What in a run, its model apart, is in the way of capturing, a clause; None if nothing is."""
    if get_world_size() > 1:
        return f'gradients of {get_world_size()} processes are averaged'
    wrapper: Any = runner.optim_wrapper
    if getattr(wrapper, '_accumulative_counts', 1) > 1:
        return 'gradients are accumulated, in the memory that a graph would overwrite'
    if runner.cfg.get('compile'):
        return 'torch.compile translates them'
    for hook in runner.hooks:
        foreign = type(hook).__module__.split('.')[0] not in KNOWN
        if foreign and any(_overrides(hook, stage) for stage in STAGES):
            return f'the hook {type(hook).__name__} may change what they compute'
    return None


def _overrides(hook: Hook, stage: str) -> bool:
    return getattr(type(hook), stage) is not getattr(Hook, stage)
