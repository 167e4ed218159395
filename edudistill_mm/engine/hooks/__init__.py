from .distill_warmup_hook import DistillWarmupHook
from .grade_scheduler_hook import GradeSchedulerHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .student_checkpoint_hook import StudentCheckpointHook

__all__ = [
    'DistillWarmupHook',
    'GradeSchedulerHook',
    'SafeCheckpointHook',
    'StudentCheckpointHook',
]
