from collections.abc import Callable

from mmengine.hooks import Hook
from mmengine.runner import Runner


class CatchUpHook(Hook):
    """Calls a function before a training begins, when all other hooks are ready for it.

    Args:
        catch_up (Callable[[Runner], None]): What a resumed run has to make up for: what followed
            its checkpoint in the run before.
    """

    priority = 'LOWEST'

    def __init__(self, catch_up: Callable[[Runner], None]) -> None:
        self._catch_up = catch_up

    def before_train(self, runner: Runner) -> None:
        """Catch up."""
        self._catch_up(runner)
