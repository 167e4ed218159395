from .distill_warmup_hook import DistillWarmupHook
from .exit_fade_hook import ExitFadeHook
from .finite_loss_hook import FiniteLossHook
from .grade_scheduler_hook import GradeSchedulerHook
from .new_parameter_rate_hook import NewParameterRateHook
from .preemption_hook import PreemptionHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .student_checkpoint_hook import StudentCheckpointHook

__all__ = [
    'DistillWarmupHook',
    'ExitFadeHook',
    'FiniteLossHook',
    'GradeSchedulerHook',
    'NewParameterRateHook',
    'PreemptionHook',
    'SafeCheckpointHook',
    'StudentCheckpointHook',
]
