"""Checkpoints that come from somewhere else: found, checked and read without running what is in
them."""

import contextlib
import hashlib
import os
import pickle
import re
from urllib.parse import urlparse

import numpy as np
import torch
from filelock import FileLock
from mmengine.logging import HistoryBuffer
from torch import Tensor

from ..errors import ConfigurationError

# The hash that MM projects and torch put into the names of published files, as in
# "resnet50-67b58a1b.pth".
_HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.[^.]+$')
# How torch's messages spell a global that its unpickler refuses (torch >= 2.4, torch < 2.4).
_REFUSED_GLOBAL = re.compile(r'GLOBAL ([\w.]+) w(?:as|hose)|Unsupported class ([\w.]+)')


def load_checkpoint_file(path: str) -> dict:
    """Read a checkpoint on the CPU without running code from it.

    Files of ``torch.save`` with tensors and plain Python values are read, and the training
    checkpoints that MMEngine's ``Runner`` writes, which hold ``HistoryBuffer`` objects and numpy
    numbers as well.

    Args:
        path (str): A local file; ``~`` is the home directory.

    Returns:
        dict: What was saved.

    Raises:
        ConfigurationError: The file is missing, a directory, empty, truncated or not a checkpoint,
            holds something other than a dict, or asks for code to be run.
    """
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        raise ConfigurationError(f'checkpoint "{path}" is a directory, but must be a file')
    if not os.path.exists(path):
        raise ConfigurationError(f'checkpoint "{path}" does not exist')
    if os.path.getsize(path) == 0:
        raise ConfigurationError(f'checkpoint "{path}" is an empty file')
    try:
        checkpoint = _read(path)
    except pickle.UnpicklingError as error:
        refused = _REFUSED_GLOBAL.search(str(error))
        if refused is None:
            raise ConfigurationError(_unreadable(path)) from error
        name = refused[1] or refused[2]
        name = name if '.' in name else f'builtins.{name}'
        raise ConfigurationError(
            f'checkpoint "{path}" was refused because reading it would run "{name}"; '
            'if you trust its source, save its state dict alone to a new file and give that one'
        ) from error
    except PermissionError as error:
        raise ConfigurationError(
            f'checkpoint "{path}" may not be read: {error.strerror}'
        ) from error
    except Exception as error:
        # torch answers a damaged file with whatever its reader tripped over.
        raise ConfigurationError(_unreadable(path)) from error
    if not isinstance(checkpoint, dict):
        raise ConfigurationError(
            f'checkpoint "{path}" holds a {type(checkpoint).__name__}, but must hold a dict'
        )
    return checkpoint


def resolve_checkpoint(source: str) -> str:
    """Turn what a config names as a checkpoint into a local path, downloading a URL once.

    A download lands in the folder that ``torch.hub`` and MMEngine use. If the file name ends in a
    hash, as published files' names do, it must be the beginning of the file's SHA-256. A file name
    without a hash is prefixed with one of the URL, so that two ``latest.pth`` from different
    places stay apart.

    Args:
        source (str): A local path, returned as it is, or an ``http(s)://`` URL.

    Returns:
        str: A local path.

    Raises:
        ConfigurationError: The download failed, the hash differs, or the URL is of another kind.
    """
    if '://' not in source:
        return source
    url = urlparse(source)
    name = os.path.basename(url.path)
    if url.scheme not in ('http', 'https') or not name:
        raise ConfigurationError(
            f'checkpoint "{source}" is neither a local path nor an http(s) URL of a file'
        )
    in_name = _HASH_IN_NAME.search(name)
    if in_name is None:
        name = f'{hashlib.sha256(source.encode()).hexdigest()[:8]}_{name}'
    folder = os.path.join(torch.hub.get_dir(), 'checkpoints')
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
    # One of the processes of a run downloads, the others wait for it. A lock, not a barrier: what
    # one process alone does, as the export of a student, may come here, too.
    lock = os.path.join(torch.hub.get_dir(), f'{name}.lock')
    with contextlib.nullcontext() if os.path.exists(path) else FileLock(lock):
        _download(source, path, in_name and in_name[1])
    return path


def file_sha256(path: str) -> str:
    """Hash a file.

    Args:
        path (str): A local file; ``~`` is the home directory.

    Returns:
        str: The SHA-256 of its bytes, 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    with open(os.path.expanduser(path), 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def extract_state_dict(checkpoint: dict) -> dict[str, Tensor]:
    """Take the weights out of a checkpoint.

    Args:
        checkpoint (dict): A checkpoint of MM projects (key ``'state_dict'``), of other code bases
            (key ``'model'``), or a bare state dict.

    Returns:
        dict[str, Tensor]: The tensors by name; the prefix ``module.`` of a DDP wrapper is
        stripped.

    Raises:
        ConfigurationError: There is no tensor in it.
    """
    state_dict = checkpoint
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint.get(key), dict):
            state_dict = checkpoint[key]
            break
    tensors = {
        name.removeprefix('module.'): value
        for name, value in state_dict.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not tensors:
        raise ConfigurationError(
            'the checkpoint holds no weights: they are looked for under "state_dict", under "model" and at '
            f'the top, where it has {sorted(map(str, checkpoint))}'
        )
    return tensors


def mmengine_globals() -> contextlib.AbstractContextManager:
    """Let torch read MMEngine's training checkpoints, with each name bound to something harmless
    of ours.

    The real ``getattr``, ``HistoryBuffer`` and numpy constructors would let a file reach into
    objects, replace the statistics methods of every ``HistoryBuffer`` or build arrays over
    arbitrary memory.

    Returns:
        AbstractContextManager: The allow-list holds while it is open. It needs a torch whose
        allow-list takes names; on an older one it does nothing, or ``torch.load`` raises
        ``AttributeError`` inside of it.
    """
    names = {
        'builtins.getattr': _statistics_method,
        'mmengine.logging.history_buffer.HistoryBuffer': _PlainHistoryBuffer,
        'numpy.ndarray': _PlainArray,
        'numpy.dtype': _PlainDtype,
    }
    for package in ('numpy.core', 'numpy._core'):  # numpy 1 and numpy 2
        names[f'{package}.multiarray._reconstruct'] = _reconstruct
        names[f'{package}.multiarray.scalar'] = _scalar
    if not hasattr(torch.serialization, 'safe_globals'):
        return contextlib.nullcontext()
    return torch.serialization.safe_globals([(value, name) for name, value in names.items()])


def _unreadable(path: str) -> str:
    return (
        f'checkpoint "{path}" cannot be read: it is truncated, damaged or not a file of torch.save'
    )


def _download(url: str, path: str, hash_prefix: str | None) -> None:
    """Download ``url`` to ``path`` unless it is there; check its hash either way."""
    if os.path.exists(path):
        if hash_prefix and not file_sha256(path).startswith(hash_prefix):
            raise ConfigurationError(
                f'checkpoint "{path}", downloaded earlier, does not have the hash {hash_prefix} of its name; '
                'delete it to download it again'
            )
        return
    try:
        torch.hub.download_url_to_file(url, path, hash_prefix, progress=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigurationError(
            f'checkpoint "{url}" could not be downloaded: {error}; a local path works, too'
        ) from error


def _read(path: str) -> object:
    """``torch.load`` without code, and with what MMEngine's training checkpoints need only where
    needed."""
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        refused = error
    try:
        with mmengine_globals():
            return torch.load(path, map_location='cpu', weights_only=True)
    except AttributeError:
        # This torch has no allow-list, or none with names of our choice.
        raise refused from None


class _PlainHistoryBuffer(HistoryBuffer):
    """A ``HistoryBuffer`` that takes its numbers from a file, but not its methods."""

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(
            {
                '_log_history': np.asarray(state['_log_history']),
                '_count_history': np.asarray(state['_count_history']),
                'max_length': int(state['max_length']),
            }
        )


class _PlainDtype:
    """A type of numbers, booleans or text, without the flags that a file may claim for it."""

    def __init__(self, name: str, *_) -> None:
        self.dtype = np.dtype(name)
        if self.dtype.kind not in 'biufcSU':
            raise pickle.UnpicklingError(f'GLOBAL numpy.dtype was asked for {name!r}')

    def __setstate__(self, state: tuple) -> None:
        if state[1] in ('<', '>'):
            self.dtype = self.dtype.newbyteorder(state[1])


class _PlainArray(np.ndarray):
    """An array that starts empty and takes its shape and its bytes from a file."""

    def __new__(cls) -> '_PlainArray':
        return super().__new__(cls, (0,), np.int8)

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, is_fortran, data = state
        super().__setstate__((version, shape, dtype.dtype, is_fortran, data))


def _reconstruct(*_) -> _PlainArray:
    return _PlainArray()


def _scalar(dtype: _PlainDtype, data: bytes) -> np.generic:
    return np.frombuffer(data, dtype.dtype)[0]


def _statistics_method(owner: object, name: str) -> object:
    """The stand-in for ``getattr``, through which ``HistoryBuffer`` pickles its statistics
    methods."""
    if owner is not _PlainHistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise pickle.UnpicklingError(
            'GLOBAL builtins.getattr was asked for more than a HistoryBuffer has'
        )
    return getattr(HistoryBuffer, name)
