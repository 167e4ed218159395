import functools

from mmengine.logging import print_log


@functools.cache
def say(message: str) -> None:
    """Log a sentence once: a file may be read several times in a run."""
    print_log(message, logger='current')
