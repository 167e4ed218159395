"""Hooks that a test leaves out."""

from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.utils import is_method_overridden

from edudistill_mm.type_name import type_name
from edudistill_mm.validation.arguments import class_of

# What a hook does in a test, or for it.
_TEST = (
    'before_test',
    'before_test_epoch',
    'before_test_iter',
    'after_test_iter',
    'after_test_epoch',
    'after_test',
    'after_load_checkpoint',
    '_before_epoch',
    '_after_epoch',
    '_before_iter',
    '_after_iter',
)


def without_training_hooks(cfg: Config) -> tuple[list[dict], list[str]]:
    """The custom hooks that a test keeps, and the types of the others.

    Left out are hooks that prepare, before a run, what they do in training or validation, as
    EarlyStoppingHook and ProfilerHook: without a training loop they would fail.
    """
    hooks = list(cfg.get('custom_hooks') or [])
    scope = cfg.get('default_scope') or 'mmpretrain'
    left_out = [hook for hook in hooks if _only_trains(hook, scope)]
    return [hook for hook in hooks if hook not in left_out], [type_name(hook) for hook in left_out]


def _only_trains(hook: Any, scope: str) -> bool:
    kind = hook.get('type') if isinstance(hook, dict) else type(hook)
    cls = class_of(kind, HOOKS, hook.get('_scope_') or scope) if isinstance(kind, str) else kind
    if not (isinstance(cls, type) and issubclass(cls, Hook)):
        return False
    if cls.__module__.startswith('edudistill_mm.'):
        return False  # these hooks work without a training
    stages = {*Hook.stages, *_TEST}
    overridden = {stage for stage in stages if is_method_overridden(stage, Hook, cls)}
    training = overridden - {*_TEST, 'before_run', 'after_run'}
    return 'before_run' in overridden and bool(training) and overridden.isdisjoint(_TEST)
