from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(eq=False)
class Job:
    """A command in a process of its own.

    Attributes:
        name (str): Its name in messages.
        command (Sequence[str]): Program and arguments.
        log (Path): Where its output is appended.
        work (float): How much it is to do, in a unit that all jobs share.
        progress (Callable[[], float]): The share of it that is done, from 0 to 1.
        after (list[Job]): Jobs that must have succeeded before it begins.
        prepare (Callable[[], None]): Called before the process starts.
        finish (Callable[[], str | None]): Called after success; returns a sentence if the results
            are not as they should be.
        fail (Callable[[str], None]): Called with the reason of a failure.
        error (str, optional): One sentence once it has failed.
        done (bool): Whether it has ended, well or not.
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
