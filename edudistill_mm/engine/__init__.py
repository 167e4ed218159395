"""Hooks of the run, an optimizer wrapper, and the handling of checkpoint files."""

from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .hooks import (
    DistillWarmupHook,
    FiniteLossHook,
    GradeSchedulerHook,
    PreemptionHook,
    SafeCheckpointHook,
)

__all__ = [
    'BFloat16OptimWrapper',
    'DistillWarmupHook',
    'FiniteLossHook',
    'GradeSchedulerHook',
    'PreemptionHook',
    'SafeCheckpointHook',
]
