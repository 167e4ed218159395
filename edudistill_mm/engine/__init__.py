"""Hooks of the run and the handling of checkpoint files."""
from .hooks import SafeCheckpointHook

__all__ = ['SafeCheckpointHook']
