"""Errors that end a command with one sentence."""

import difflib
import errno
from collections.abc import Iterable

# No room on the disk, or in the user's share of it, or no file may be as long.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ConfigurationError(ValueError):
    """A config, a file or an argument that cannot be used as it was given.

    The message is one sentence that names the key, the value that was given and what is possible.
    The tools print it without a traceback and exit with a non-zero status.
    """


class TrainingError(RuntimeError):
    """A training that cannot go on, though its config can be used.

    The message is one sentence that says what happened, and when. The tools print it without a
    traceback and exit with status 1.
    """


class Preempted(BaseException):
    """A training that was asked by SIGTERM or SIGUSR1 to end, and can go on from where it was.

    As ``KeyboardInterrupt``, it is not an ``Exception``: nothing has failed. The tools print its
    message and how to go on, and exit with status 75, which ``sysexits.h`` calls ``EX_TEMPFAIL``.

    Args:
        message (str): One sentence: the signal, and what was saved.
        work_dir (str, optional): Work dir of the training that was under way, that of a teacher
            maybe. Defaults to None: none had begun.

    Attributes:
        to_resume (bool): Whether the run goes on by ``--resume``; otherwise by the same command.
    """

    to_resume = False

    def __init__(self, message: str, work_dir: str | None = None) -> None:
        super().__init__(message)
        self.work_dir = work_dir


class DataError(ConfigurationError):
    """A sample that cannot be read while a run goes on.

    Args:
        message (str): The sentence, or what torch makes of it: an error of a data loader's worker
            comes again in the main process with the worker's whole traceback as its message.
    """

    def __init__(self, message: str) -> None:
        last = message.strip().splitlines()[-1]
        super().__init__(last.partition(f'{type(self).__name__}: ')[2] or message)


def reason_of(error: BaseException) -> str:
    """The first line of another package's error, on one line and never empty.

    Args:
        error (BaseException): The error.

    Returns:
        str: Its message without runs of blanks, or the name of its type.
    """
    message = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip()
    return ' '.join(message.splitlines()[0].split()) if message else type(error).__name__


def full_disk_error(error: BaseException | None) -> OSError | None:
    """Find what the system said, if it has refused a write for lack of room.

    Args:
        error (BaseException, optional): What a write has raised; torch raises a ``RuntimeError`` of
            its own after the system's error.

    Returns:
        OSError | None: The system's error; None if the error is of another kind.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return error
        error = error.__cause__ or error.__context__ if isinstance(error, RuntimeError) else None
    return None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Propose the candidate closest to a misspelt name.

    Args:
        name (str): The name that was not found.
        candidates (Iterable[str]): The names that exist.

    Returns:
        str: ``' (did you mean "X"?)'``, or an empty string if nothing is close.
    """
    close = difflib.get_close_matches(str(name), [str(c) for c in candidates], n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ''
