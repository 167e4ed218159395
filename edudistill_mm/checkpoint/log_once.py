import functools

from mmengine.logging import print_log


@functools.cache
def log_once(message: str) -> None:
    """Log a sentence once: a file may be read several times in a run."""
    print_log(message, logger='current')
