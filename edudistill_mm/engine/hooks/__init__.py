from .grade_scheduler_hook import GradeSchedulerHook
from .safe_checkpoint_hook import SafeCheckpointHook

__all__ = ['GradeSchedulerHook', 'SafeCheckpointHook']
