from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(eq=False)
class Job:
    """A command in a process of its own, with its output appended to a log.

    ``work`` is in a unit that all jobs share, ``progress`` returns the share of it that is done,
    from 0 to 1. The job begins when all jobs in ``after`` have succeeded. ``prepare`` is called
    before the process starts, ``finish`` after its success: it returns a sentence if the results
    are not as they should be. ``fail`` gets the reason of a failure; ``error`` is then one
    sentence.
    """

    name: str
    command: Sequence[str]
    log: Path
    work: float
    progress: Callable[[], float]
    after: list['Job'] = field(default_factory=list)
    prepare: Callable[[], None] = lambda: None
    finish: Callable[[], str | None] = lambda: None
    fail: Callable[[str], None] = lambda reason: None
    error: str | None = None
    done: bool = False
