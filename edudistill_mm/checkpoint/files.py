import hashlib
import os
import stat

from ..errors import ConfigurationError


def check_file(path: str, what: str) -> None:
    """Refuse a path that is not a readable, non-empty file; ``what`` begins the message."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        broken = ': it is a symbolic link to nothing' if os.path.islink(path) else ''
        raise ConfigurationError(f'{what} "{path}" does not exist{broken}') from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, 'strerror', None) or str(error)).lower()
        raise ConfigurationError(f'{what} "{path}" cannot be read: {reason}') from error
    if stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f'{what} "{path}" is a directory, but must be a file')
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f'{what} "{path}" is a device or a pipe, but must be a file')
    if status.st_size == 0:
        raise ConfigurationError(f'{what} "{path}" is an empty file')
    if not os.access(path, os.R_OK):
        raise ConfigurationError(f'{what} "{path}" may not be read: permission denied')


def file_sha256(path: str) -> str:
    """SHA-256 of a local file in 64 hexadecimal digits; ``~`` is the home directory."""
    digest = hashlib.sha256()
    with open(os.path.expanduser(path), 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()
