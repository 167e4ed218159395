"""The runner, hooks, and an optimizer wrapper."""

from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .hooks import (
    DistillWarmupHook,
    ExitFadeHook,
    FiniteLossHook,
    GradeSchedulerHook,
    NewParameterRateHook,
    PreemptionHook,
    SafeCheckpointHook,
)
from .runner import EducationRunner

__all__ = [
    'BFloat16OptimWrapper',
    'DistillWarmupHook',
    'EducationRunner',
    'ExitFadeHook',
    'FiniteLossHook',
    'GradeSchedulerHook',
    'NewParameterRateHook',
    'PreemptionHook',
    'SafeCheckpointHook',
]
