from collections.abc import Callable

from mmengine.hooks import Hook
from mmengine.runner import Runner


class CatchUpHook(Hook):
    """Calls a function before a training starts, after ``before_train`` of all other hooks."""

    priority = 'LOWEST'

    def __init__(self, catch_up: Callable[[Runner], None]) -> None:
        self._catch_up = catch_up

    def before_train(self, runner: Runner) -> None:
        """Make up for what followed the checkpoint in the run before."""
        self._catch_up(runner)
