"""One run in a folder at a time."""

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
# File systems that cannot lock, as some of clusters, say one of these.
_UNABLE = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)

_held: set[int] = set()


def _let_go() -> None:
    """In a forked process, as a data loader's worker, which may outlive its run by seconds."""
    for file in _held:
        os.close(file)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def hold_folder(
    folder: str, what: str = 'run', wait: Callable[[str], None] | None = None
) -> Iterator[int | None]:
    """Hold a folder, so that nothing else writes to it.

    The system ends the hold with the process, however it ends: nothing has to be cleaned up after a
    run that was killed. One of several processes holds it for all, and all must call this.

    Args:
        folder (str): The folder; it is made if it does not exist.
        what (str): Who else may hold it, in the error message. Defaults to 'run'.
        wait (Callable[[str], None], optional): Whether to wait for the end of the other instead of
            refusing; it gets, once, a description of the other. Defaults to None: refuse.

    Yields:
        int | None: File descriptor with which a child process holds the folder as well; None where
        the file system cannot lock, and in all processes but the first.

    Raises:
        ConfigurationError: Something else holds the folder, or it cannot be written to.
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
        # A forked process has let go already.
        if file in _held:
            with contextlib.suppress(OSError):
                os.remove(osp.join(folder, FILE))
            _held.remove(file)
            os.close(file)
            if new:
                # If nothing was written; a folder that is not empty stays.
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


def _take(folder: str) -> tuple[int | None, str | None, str | None]:
    """The lock's file if it is ours now; else why it cannot be had, or who has it."""
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
        # Its former holder has removed it meanwhile.
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
    # It locks without its content, too, as on a full disk.
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
