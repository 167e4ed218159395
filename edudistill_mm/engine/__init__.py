"""Hooks of the run and the handling of checkpoint files."""

from .hooks import DistillWarmupHook, GradeSchedulerHook, SafeCheckpointHook

__all__ = ['DistillWarmupHook', 'GradeSchedulerHook', 'SafeCheckpointHook']
