from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.models import LabelSmoothLoss
from mmrazor.models import DistanceWiseRKD, MGDConnector

from edudistill_mm.distributed import unwrap_model
from edudistill_mm.models.algorithms.captured_loss import CapturedLoss
from edudistill_mm.models.algorithms.captured_step import CapturedStep
from edudistill_mm.registry import HOOKS, MODELS

from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .lazy_clip_optim_wrapper import LazyClipOptimWrapper

# Hooks of these packages change nothing that a captured step takes for granted, or are asked.
KNOWN = ('mmengine', 'edudistill_mm')
# Neither does what hooks of this one inherit from those: its EMAHook averages as MMEngine's does.
HEIR = 'mmpretrain'
# Where captured steps pay.
DEVICE = 'cuda'
STAGES = (
    *('before_train_epoch', 'after_train_epoch', 'before_train_iter', 'after_train_iter'),
    # MMEngine's own of those call these.
    *('_before_epoch', '_after_epoch', '_before_iter', '_after_iter'),
)
# Parts of MM packages that wait for the device, or copy to it, in each step.
WAITING = (DistanceWiseRKD, LabelSmoothLoss, MGDConnector)


def capture_steps(runner: Runner, model: Any) -> None:
    """Let an EducationDistill capture its steps as CUDA graphs, if its run allows that.

    Otherwise the log says what is in the way. Nothing happens without CUDA.
    """
    model.captured_loss = None
    if not model.cuda_graphs or next(model.parameters()).device.type != DEVICE:
        return
    obstacle = obstacle_to_capturing(runner) or _obstacle_of(model)
    if obstacle:
        runner.logger.info(f'Steps are not captured as CUDA graphs: {obstacle}')
        return
    kind: Any = HOOKS.get('DistillWarmupHook')
    for hook in runner.hooks:
        if isinstance(hook, kind):
            hook.keep_on(next(model.parameters()).device)
    if captures_updates(runner):
        model.captured_loss = CapturedStep(model, runner.optim_wrapper)
    else:
        model.captured_loss = CapturedLoss(model)


def captures_updates(runner: Runner) -> bool:
    """Whether the optimizer's update can be captured with the rest of a step."""
    wrapper: Any = runner.optim_wrapper
    schedulers: Any = runner.param_schedulers
    model: Any = unwrap_model(runner.model)
    algorithm: Any = MODELS.get('EducationDistill')
    new_rate: Any = HOOKS.get('NewParameterRateHook')
    return (
        type(wrapper) in (LazyClipOptimWrapper, BFloat16OptimWrapper)
        and CapturedStep.suits(wrapper.optimizer)
        # It is called in Python, and what it reads lies on the device.
        and type(model).parse_losses is algorithm.parse_losses
        and not (wrapper.clip_grad_kwargs or {}).get('error_if_nonfinite')
        # Rates alone may change without capturing anew.
        and all(scheduler.param_name == 'lr' for scheduler in schedulers or ())
        and not any(isinstance(hook, new_rate) for hook in runner.hooks)
    )


def obstacle_to_capturing(runner: Runner) -> str | None:
    """What in a run, its model apart, is in the way of capturing, a clause; None if nothing is."""
    if get_world_size() > 1:
        return f'gradients of {get_world_size()} processes are averaged'
    wrapper: Any = runner.optim_wrapper
    if getattr(wrapper, '_accumulative_counts', 1) > 1:
        return 'gradients are accumulated, in the memory that a graph would overwrite'
    if runner.cfg.get('compile'):
        return 'torch.compile translates them'
    loader: Any = runner.train_dataloader
    if loader.pin_memory and loader.num_workers:
        return 'a thread of train_dataloader, which has pin_memory, uses the device beside them'
    for hook in runner.hooks:
        if any(_is_foreign(hook, stage) for stage in STAGES):
            return f'the hook {type(hook).__name__} may change what they compute'
    return None


def _obstacle_of(model: Any) -> str | None:
    """What in an EducationDistill is in the way of capturing, a clause; None if nothing is."""
    algorithm: Any = MODELS.get('EducationDistill')
    for name in ('forward', 'loss'):
        if getattr(type(model), name) is not getattr(algorithm, name):
            return f'{type(model).__name__} has a method "{name}" of its own'
    if model._forward_hooks or model._forward_pre_hooks:
        return 'the model has hooks that are called in each forward pass'
    for module in (model, *model.distillers.values()):
        for part in module.modules():
            if isinstance(part, WAITING):
                return f'{type(part).__name__} waits for the device'
            if getattr(part, 'class_weight', None) is not None:
                return f'{type(part).__name__} with class_weight waits for the device'
    return None


def _is_foreign(hook: Hook, stage: str) -> bool:
    """Whether a hook does something at a stage that is none of the known packages' doing."""
    package, method = _package(type(hook)), getattr(type(hook), stage)
    if package in KNOWN or method is getattr(Hook, stage):
        return False
    return package != HEIR or _package(method) not in KNOWN


def _package(member: Any) -> str:
    return member.__module__.split('.')[0]
