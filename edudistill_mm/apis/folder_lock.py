"""A lock on a folder, so that one run at a time writes to it."""

import contextlib
import errno
import fcntl
import json
import logging
import os
import os.path as osp
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from edudistill_mm.errors import ConfigurationError, full_disk_error, reason_of

FILE = '.lock'
POLL = 0.5  # seconds
# The errors of file systems that cannot lock, as some of clusters.
_UNABLE = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)

_held: set[int] = set()


def _let_go() -> None:
    """Release the locks in a forked process, as a data loader's worker may outlive its run."""
    for file in _held:
        os.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def hold_folder(
    folder: str, what: str = 'run', wait: Callable[[str], None] | None = None
) -> Iterator[int | None]:
    """Hold a folder, made if missing, so that nothing else writes to it.

    The system ends the hold with the process, even a killed one. All ranks must call this; the
    main rank holds the folder for all. ``what`` says in the error message who else may hold it.
    With ``wait``, the end of another holder is waited for instead of refusing; it is called once,
    with a description of the holder.

    Yields the file descriptor with which a child process holds the folder as well; None where the
    file system cannot lock, and on all ranks but the main one.
    """
    new = is_main_process() and not osp.exists(folder)
    file, told = None, False
    while True:
        said: list[str | None] = [None, None]
        if is_main_process():
            file, *said = _take(folder)
        broadcast_object_list(said)
        refusal, other = said
        if refusal is not None:
            raise ConfigurationError(refusal)
        if other is None:
            break
        if wait is None:
            raise ConfigurationError(
                f'another {what} is at work in "{folder}"{other}; wait for its end, or take another '
                'folder'
            )
        if not told:
            told = True
            wait(other)
        time.sleep(POLL)
    try:
        yield file
    finally:
        # A forked process has released the lock already.
        if file in _held:
            with contextlib.suppress(OSError):
                os.remove(osp.join(folder, FILE))
            _held.remove(file)
            os.close(file)
            if new:
                # A folder that is not empty stays.
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


def _take(folder: str) -> tuple[int | None, str | None, str | None]:
    """The file of the lock, or why the folder cannot be held, or a description of its holder."""
    path = osp.join(folder, FILE)
    while True:
        try:
            os.makedirs(folder, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            if full_disk_error(error):
                raise
            return None, f'"{folder}" cannot be written to: {str(error.strerror).lower()}', None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _UNABLE:
                os.close(file)
                print_log(
                    f'The file system of "{folder}" cannot lock files ({reason_of(error)}): '
                    'see to it yourself that no second run is started there',
                    logger='current',
                    level=logging.WARNING,
                )
                return None, None, None
            other = _described(file)
            os.close(file)
            return None, None, other
        if _is_in_place(file, path):
            break
        # The former holder has removed the file meanwhile.
        os.close(file)
    _held.add(file)
    _describe_self(file)
    return file, None, None


def _is_in_place(file: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _describe_self(file: int) -> None:
    content = dict(
        pid=os.getpid(),
        host=socket.gethostname(),
        since=time.strftime('%Y-%m-%d %H:%M:%S'),
        command=shlex.join(sys.argv),
    )
    # An empty file locks, too, as on a full disk.
    with contextlib.suppress(OSError):
        os.ftruncate(file, 0)
        os.write(file, json.dumps(content).encode())


def _described(file: int) -> str:
    try:
        content = json.loads(os.pread(file, 1 << 16, 0))
        return (
            f' (process {content["pid"]} on {content["host"]}, since {content["since"]}: '
            f'{content["command"]})'
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ''
