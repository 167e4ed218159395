"""The log of a run, on a disk that may get full."""

import logging
import sys

from ..errors import full_disk_error


class LogFile(logging.FileHandler):
    """A log file that raises for lack of room, where Python prints a traceback for each line and
    goes on.

    Args:
        handler (logging.FileHandler): The handler whose file, level, format and filters it takes
            over. That one is closed.
    """

    def __init__(self, handler: logging.FileHandler) -> None:
        handler.close()
        super().__init__(handler.baseFilename, 'a', handler.encoding)
        self.setLevel(handler.level)
        self.setFormatter(handler.formatter)
        self.filters = handler.filters

    def handleError(self, record: logging.LogRecord) -> None:
        """Raise, if the disk is full.

        Raises:
            OSError: With the path as its ``filename``.
        """
        full = full_disk_error(sys.exc_info()[1])
        if full is None:
            super().handleError(record)
        else:
            raise OSError(full.errno, full.strerror, self.baseFilename) from full
