import logging
import sys

from ..errors import full_disk_error


class LogFile(logging.FileHandler):
    """A log file, in place of another handler's, that raises for lack of room.

    Python's handlers print a traceback for each line instead, and go on.
    """

    def __init__(self, handler: logging.FileHandler) -> None:
        handler.close()
        super().__init__(handler.baseFilename, 'a', handler.encoding)
        self.setLevel(handler.level)
        self.setFormatter(handler.formatter)
        self.filters = handler.filters

    def handleError(self, record: logging.LogRecord) -> None:
        """Raise the OSError of a full disk, with the path as its ``filename``."""
        full = full_disk_error(sys.exc_info()[1])
        if full is None:
            super().handleError(record)
        else:
            raise OSError(full.errno, full.strerror, self.baseFilename) from full
