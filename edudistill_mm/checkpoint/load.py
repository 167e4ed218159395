import os
import pickle
import re

import torch

from ..errors import ConfigurationError
from .archive import check_archive, unreadable
from .files import check_file
from .harmless_globals import harmless_globals
from .safetensors_file import is_safetensors, read_safetensors

# The global that torch's unpickler refuses, in messages of torch >= 2.4 and torch < 2.4.
_REFUSED_GLOBAL = re.compile(r'GLOBAL ([\w.]+) w(?:as|hose)|Unsupported class ([\w.]+)')


def load_checkpoint_file(path: str) -> dict:
    """Read a checkpoint on the CPU without running code from it.

    The file is one of safetensors, or one of ``torch.save`` with tensors, plain Python values and
    what :mod:`.harmless_globals` allows; ``~`` is the home directory.

    Raises:
        ConfigurationError: The file is missing, damaged (torch's archives have checksums, which
            torch itself does not check), holds no dict, or asks for code to be run.
    """
    path = os.path.expanduser(path)
    check_file(path, 'checkpoint')
    try:
        if is_safetensors(path):
            return read_safetensors(path)
        check_archive(path)
        checkpoint = _read(path)
    except ConfigurationError:
        raise
    except pickle.UnpicklingError as error:
        refused = _REFUSED_GLOBAL.search(str(error))
        if refused is None:
            raise ConfigurationError(unreadable(path)) from error
        # torch writes pickles of protocol 2, which use the module names of Python 2.
        name = (refused[1] or refused[2]).replace('__builtin__.', 'builtins.')
        name = name if '.' in name else f'builtins.{name}'
        raise ConfigurationError(
            f'checkpoint "{path}" was refused because reading it would run "{name}"; '
            'if you trust its source, save its state dict alone to a new file and give that one'
        ) from error
    except Exception as error:
        # The type of torch's error depends on where in a damaged file its reader fails.
        raise ConfigurationError(unreadable(path)) from error
    if not isinstance(checkpoint, dict):
        raise ConfigurationError(
            f'checkpoint "{path}" holds a {type(checkpoint).__name__}, but must hold a dict'
        )
    return checkpoint


def _read(path: str) -> object:
    """Read a file by ``torch.load`` without code, with the allow-list only where it is needed."""
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError:
        with harmless_globals():
            return torch.load(path, map_location='cpu', weights_only=True)
