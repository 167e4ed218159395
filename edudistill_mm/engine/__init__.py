"""Hooks of the run and the handling of checkpoint files."""

from .hooks import GradeSchedulerHook, SafeCheckpointHook

__all__ = ['GradeSchedulerHook', 'SafeCheckpointHook']
