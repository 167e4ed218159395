"""Errors that end a command with one sentence."""

import difflib
import errno
from collections.abc import Iterable

# No room on the disk or in the user's quota, or a file longer than allowed.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ConfigurationError(ValueError):
    """A config, a file or an argument that cannot be used as it was given.

    The message is one sentence that names the key, the value that was given and what is possible.
    The tools print it without a traceback and exit with status 2.
    """


class TrainingError(RuntimeError):
    """A training that cannot go on, though its config can be used.

    The message is one sentence that says what happened, and when. The tools print it without a
    traceback and exit with status 1.
    """


class Preempted(BaseException):
    """A training that SIGTERM or SIGUSR1 has ended, and that can go on from where it was.

    Not an ``Exception``, as nothing has failed. The tools print its message and how to go on
    (``to_resume``: by ``--resume``, otherwise by the same command), and exit with status 75,
    ``EX_TEMPFAIL`` of ``sysexits.h``. ``work_dir`` is that of the training that was under way,
    maybe a teacher's; None if none had begun.
    """

    to_resume = False

    def __init__(self, message: str, work_dir: str | None = None) -> None:
        super().__init__(message)
        self.work_dir = work_dir


class DataError(ConfigurationError):
    """A sample that cannot be read while a run goes on.

    torch raises the error of a data loader's worker again in the main process, with the worker's
    whole traceback as its message: the last line is taken.
    """

    def __init__(self, message: str) -> None:
        last = message.strip().splitlines()[-1]
        super().__init__(last.partition(f'{type(self).__name__}: ')[2] or message)


def reason_of(error: BaseException) -> str:
    """The first line of another package's error, without runs of blanks; never empty."""
    message = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip()
    return ' '.join(message.splitlines()[0].split()) if message else type(error).__name__


def full_disk_error(error: BaseException | None) -> OSError | None:
    """The system's error if it has refused a write for lack of room, else None.

    torch raises a ``RuntimeError`` of its own after the system's error.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return error
        error = error.__cause__ or error.__context__ if isinstance(error, RuntimeError) else None
    return None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """``' (did you mean "X"?)'`` for a misspelt name, or '' if no candidate is close."""
    close = difflib.get_close_matches(str(name), [str(c) for c in candidates], n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ''
