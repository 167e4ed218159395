import contextlib
import os
from collections.abc import Callable
from typing import BinaryIO

from ..errors import full_disk_error


def atomic_write(path: str, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that its path always holds the whole new file or the whole old one.

    ``write`` gets a binary file beside the final one. An OSError for lack of room has the path as
    its ``filename``.
    """
    part = f'{path}.part'
    try:
        with open(part, 'wb') as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        full = full_disk_error(error)
        if full is None:
            raise
        raise OSError(full.errno, full.strerror, path) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(part)
    if hasattr(os, 'O_DIRECTORY'):
        # The folder's entry must reach the disk, too; Windows cannot open a folder.
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
