"""Writing a file in one step."""

import contextlib
import os
from collections.abc import Callable
from typing import BinaryIO

from ..errors import full_disk_error


def atomic_write(path: str, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that, if the process or the machine stops, the path holds either the whole
    new file or what it held before.

    Args:
        path (str): The file to write or to replace.
        write (Callable): Gets a binary file, opened beside the final one, to write to.

    Raises:
        OSError: It cannot be written; for lack of room, with the path as its ``filename``.
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
        # The folder's entry must reach the disk as well; Windows cannot open a folder to flush it.
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
