"""Checkpoints that come from somewhere else: found, checked and read without running what is in
them."""

import contextlib
import hashlib
import http.client
import os
import pickle
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from typing import BinaryIO
from urllib.parse import urlparse

import torch
from filelock import FileLock
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from ..errors import ConfigurationError, full_disk_error, reason_of
from .foreign_weights import PLAIN_KEYS, choose_weights, say, without_wrappers
from .harmless_globals import harmless_globals
from .safetensors_file import is_safetensors, read_safetensors

# The hash that MM projects and torch put into the names of published files, as in
# "resnet50-67b58a1b.pth".
_HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.[^.]+$')
# Before a path, it lets MMEngine's functions read the file as read_weights does.
SCHEME = 'edudistill_mm:'
# What hooks look at in a checkpoint that a run starts from.
_CARRIED = ('meta', 'message_hub')
# How torch's messages spell a global that its unpickler refuses (torch >= 2.4, torch < 2.4).
_REFUSED_GLOBAL = re.compile(r'GLOBAL ([\w.]+) w(?:as|hose)|Unsupported class ([\w.]+)')


# Bytes of an element of the storages that torch's pickles name.
_ITEMSIZES = {
    f'{kind}Storage': size
    for size, kinds in {
        1: 'Untyped Byte Char Bool QInt8 QUInt8 QUInt4x2 QUInt2x4',
        2: 'Half BFloat16 Short',
        4: 'Float Int QInt32',
        8: 'Double Long ComplexFloat',
        16: 'ComplexDouble',
    }.items()
    for kind in kinds.split()
}


def load_checkpoint_file(path: str) -> dict:
    """Read a checkpoint on the CPU without running code from it.

    Files of ``torch.save`` with tensors and plain Python values are read, those with the few other
    things that trainings put beside their weights (see :mod:`.harmless_globals`), and files of
    safetensors.

    Args:
        path (str): A local file; ``~`` is the home directory.

    Returns:
        dict: What was saved.

    Raises:
        ConfigurationError: The file is missing, a directory or a device, empty, truncated, damaged
            (a single changed bit is found by the checksums of torch's archives, which torch itself
            does not look at) or not a checkpoint, holds something other than a dict, or asks for
            code to be run.
    """
    path = os.path.expanduser(path)
    check_file(path, 'checkpoint')
    try:
        if is_safetensors(path):
            return read_safetensors(path)
        _check_archive(path)
        checkpoint = _read(path)
    except ConfigurationError:
        raise
    except pickle.UnpicklingError as error:
        refused = _REFUSED_GLOBAL.search(str(error))
        if refused is None:
            raise ConfigurationError(_unreadable(path)) from error
        # Pickles of the second protocol, which torch writes, name it as Python 2 did.
        name = (refused[1] or refused[2]).replace('__builtin__.', 'builtins.')
        name = name if '.' in name else f'builtins.{name}'
        raise ConfigurationError(
            f'checkpoint "{path}" was refused because reading it would run "{name}"; '
            'if you trust its source, save its state dict alone to a new file and give that one'
        ) from error
    except Exception as error:
        # torch answers a damaged file with whatever its reader tripped over.
        raise ConfigurationError(_unreadable(path)) from error
    if not isinstance(checkpoint, dict):
        raise ConfigurationError(
            f'checkpoint "{path}" holds a {type(checkpoint).__name__}, but must hold a dict'
        )
    return checkpoint


def check_file(path: str, what: str) -> None:
    """Refuse a path that cannot be read to its end.

    Args:
        path (str): What should be a file.
        what (str): What it is for, the first words of the message.

    Raises:
        ConfigurationError: There is nothing, or a directory, a device, a pipe, an empty file or one
            that this user may not read.
    """
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


def find_checkpoint_to_resume(
    work_dir: str, folder: str, template: str, warn: Callable[[str], None]
) -> str | None:
    """Find the last checkpoint of a run that was stopped, at whatever moment.

    It is the one that ``last_checkpoint`` in ``work_dir`` names, or a later one, if the run was
    killed before it could write that name. If it is missing or cannot be read, it is the newest
    one that can. A run that has been moved is found where it is now.

    Args:
        work_dir (str): Folder of the run.
        folder (str): Folder of its checkpoints.
        template (str): Their name, with ``{}`` for the epoch or iteration.
        warn (Callable[[str], None]): Gets a sentence for each file that is passed over.

    Returns:
        str | None: Path of the checkpoint; None if there is none at all.

    Raises:
        ConfigurationError: There are checkpoints, and none of them can be read.
    """
    pattern = re.compile(re.escape(template).replace(r'\{\}', r'(\d+)'))
    steps = {}
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        match = pattern.fullmatch(name)
        if match:
            steps[os.path.join(folder, name)] = int(match[1])

    def age(path: str) -> tuple[int, int]:
        return os.stat(path).st_mtime_ns, steps[path]

    candidates = sorted(steps, key=age, reverse=True)
    pointer, named = os.path.join(work_dir, 'last_checkpoint'), None
    if os.path.isfile(pointer):
        with open(pointer, errors='replace') as file:
            named = file.read().strip()
        here = os.path.join(folder, os.path.basename(named))
        # Also under the path that it has now.
        last = here if os.path.isfile(here) else named
        if os.path.isfile(last):
            written = os.stat(pointer).st_mtime_ns
            later = [
                path
                for path in candidates
                if steps[path] > steps.get(last, 0) and age(path)[0] >= written
            ]
            others = [path for path in candidates if path not in (last, *later)]
            candidates = [*later, last, *others]
        else:
            warn(f'"{pointer}" names "{named}", which is not there')
    refusals = []
    for path in candidates:
        try:
            load_checkpoint_file(path)
        except ConfigurationError as error:
            refusals.append(error)
            warn(f'passed over: {error}')
            continue
        return path
    if refusals:
        raise ConfigurationError(
            f'there is no checkpoint in "{folder}" to resume from: {refusals[0]}'
        )
    return None


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
    source = os.fspath(source).removeprefix(SCHEME)
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


def write_aside(path: str, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that a kill, of the process or of the machine, leaves the whole new one or
    what was there before.

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
        # The new name, too, must reach the disk, where the system has that.
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_weights(
    source: str, averaged: bool | None = None
) -> tuple[str, dict[str, Tensor], str | None]:
    """Find a checkpoint, read it and take the weights out of it.

    Args:
        source (str): Path or URL.
        averaged (bool, optional): See :func:`extract_state_dict`. Defaults to None.

    Returns:
        tuple[str, dict[str, Tensor], str | None]: Path of the local file, the tensors by name,
            and, if the file holds others as well, which of them these are, a part of a sentence.

    Raises:
        ConfigurationError: There is no such file, or it cannot be used.
    """
    path = resolve_checkpoint(source)
    return path, *weights_in(load_checkpoint_file(path), f'checkpoint "{source}"', averaged)


@CheckpointLoader.register_scheme(prefixes=SCHEME)
def load_from_edudistill_mm(filename: str, map_location: object = None) -> dict:
    """Read a checkpoint for MMEngine, with the weights as ``'state_dict'`` wherever they were.

    Args:
        filename (str): The path behind ``'edudistill_mm:'``.
        map_location (object): Without effect: the tensors are on the CPU.

    Returns:
        dict: ``'state_dict'``, and what else a training takes over.

    Raises:
        ConfigurationError: The file cannot be used.
    """
    path = resolve_checkpoint(filename)
    checkpoint = load_checkpoint_file(path)
    state, note = weights_in(checkpoint, f'checkpoint "{path}"', None)
    if note is not None:
        say(f'Of "{path}", {note}')
    return {**{key: checkpoint[key] for key in _CARRIED if key in checkpoint}, 'state_dict': state}


def extract_state_dict(
    checkpoint: dict, source: str = 'the checkpoint', averaged: bool | None = None
) -> dict[str, Tensor]:
    """Take the weights out of a checkpoint.

    Args:
        checkpoint (dict): A checkpoint of MM projects (key ``'state_dict'``), of other code bases
            (key ``'model'`` and others), or a bare state dict.
        source (str): What to call it in the message. Defaults to 'the checkpoint'.
        averaged (bool, optional): Whether to take the weights that are averaged over the training,
            if there are others too. Defaults to None: they are taken where there are any.

    Returns:
        dict[str, Tensor]: The tensors by name, without the parts of the names that DDP,
            ``torch.compile`` and FSDP add.

    Raises:
        ConfigurationError: There is no tensor in it, or not what ``averaged`` asks for.
    """
    return weights_in(checkpoint, source, averaged)[0]


def weights_in(
    checkpoint: dict, source: str, averaged: bool | None
) -> tuple[dict[str, Tensor], str | None]:
    """What :func:`extract_state_dict` returns, and, if the checkpoint holds other weights as well,
    which of them these are, a part of a sentence."""
    state_dict, note = choose_weights(checkpoint, source, averaged)
    tensors = {
        without_wrappers(name): value
        for name, value in state_dict.items()
        if isinstance(name, str) and _is_plain(value)
    }
    if not tensors:
        raise ConfigurationError(
            f'{source} holds no weights: they are looked for under {", ".join(PLAIN_KEYS)} and at '
            f'the top, where it has {", ".join(sorted(map(str, checkpoint))[:10]) or "nothing"}'
        )
    return tensors, note


def _is_plain(value: object) -> bool:
    """Whether a value is a tensor that has all of its numbers in memory."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and not (value.is_meta or value.is_quantized)
    )


def misfit(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str | None:
    """Say in which way weights do not fit a network.

    Args:
        expected (Mapping[str, Tensor]): The network's own tensors, or some of them.
        state (Mapping[str, Tensor]): The weights; more than those expected are no misfit.

    Returns:
        str | None: The first difference, a part of a sentence; None if there is none.
    """
    for name, tensor in expected.items():
        if name in state and state[name].shape != tensor.shape:
            found, wanted = tuple(state[name].shape), tuple(tensor.shape)
            return f'"{name}" is {found}, the network wants {wanted}'
        if name in state and state[name].is_floating_point() != tensor.is_floating_point():
            found = str(state[name].dtype).removeprefix('torch.')
            return f'"{name}" holds {found}, the network wants {str(tensor.dtype).removeprefix("torch.")}'
    missing = [
        name for name in expected if name not in state and not name.endswith('num_batches_tracked')
    ]
    if missing:
        return (
            f'it lacks {len(missing)} of {len(expected)} tensors of the architecture, the first is '
            f'"{missing[0]}"'
        )
    return None


def not_finite(state: Mapping[str, Tensor], network: nn.Module) -> str | None:
    """Find weights that are no numbers.

    Args:
        state (Mapping[str, Tensor]): Weights for a network.
        network (nn.Module): The network. Where its own buffer holds infinities (a mask), those of
            the weights may do so as well.

    Returns:
        str | None: Name of the first tensor of the network with a value that is not finite.
    """
    parameters = dict(network.named_parameters())
    for name, own in network.state_dict().items():
        tensor = state.get(name)
        if tensor is None or not tensor.is_floating_point() or torch.isfinite(tensor).all():
            continue
        if name in parameters or torch.isfinite(own).all():
            return name
    return None


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
    part = f'{path}.part'
    try:
        torch.hub.download_url_to_file(url, part, hash_prefix, progress=True)
        # A transfer that ends early is no error to torch, and the file would be taken for complete
        # ever after.
        load_checkpoint_file(part)
        os.replace(part, path)
    except ConfigurationError as error:
        reason = str(error).replace(part, url)
        raise ConfigurationError(f'what was downloaded is not kept: {reason}') from error
    except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
        raise ConfigurationError(
            f'checkpoint "{url}" could not be downloaded: {reason_of(error)}; a local path works, too'
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(part)


def _check_archive(path: str) -> None:
    """Check the archive that ``torch.save`` makes, before torch unpacks it; files in torch's form
    before 1.6 are none, but bare pickles."""
    with open(path, 'rb') as file:
        start = file.read(4)
    if start.startswith(pickle.PROTO) and not tarfile.is_tarfile(path):
        return
    if start != b'PK\x03\x04':
        # Before torch 2.4 its unpickler takes the words of a text for commands, and before torch 2.6
        # it unpacks the tar files of its very first releases.
        raise ConfigurationError(_unreadable(path))
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise ConfigurationError(
                f'checkpoint "{path}" is a compressed archive, as TorchScript writes them and torch.save '
                'never does; it may unpack to any size'
            )
        names = {record.filename for record in records}
        total = sum(record.file_size for record in records)
        # Of what is marked as a folder, torch reads nothing and returns memory as it finds it.
        folders = any(record.is_dir() or record.external_attr & 0x10 for record in records)
        if (
            len(names) < len(records)
            or folders
            or total > os.path.getsize(path)
            or archive.testzip()
            or _declares_too_much(archive)
        ):
            raise ConfigurationError(_unreadable(path))


def _declares_too_much(archive: zipfile.ZipFile) -> bool:
    """Whether a tensor of the archive has more bytes than its record: older releases of torch
    (2.1 does) give it the memory behind the record."""
    records = {record.filename: record.file_size for record in archive.infolist()}
    folder = next(iter(records)).partition('/')[0]
    if f'{folder}/data.pkl' not in records:
        return True
    with archive.open(f'{folder}/data.pkl') as file:
        reader = _StorageReader(file)
        reader.load()
    return any(size > records.get(f'{folder}/data/{key}', 0) for key, size in reader.sizes.items())


class _StorageReader(pickle._Unpickler):
    """Goes through a pickle of torch and notes its storages; of what the pickle names, nothing is
    imported and nothing is called."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.sizes: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> type:
        return type(name, (_Nothing,), {})

    def get_extension(self, code: int) -> None:
        raise pickle.UnpicklingError('torch writes no extension codes')

    def persistent_load(self, pid: tuple) -> None:
        _, kind, key, _, count = pid
        itemsize = _ITEMSIZES[kind.__name__]
        self.sizes[key] = max(self.sizes.get(key, 0), count * itemsize)


class _Nothing:
    """Stands for whatever a pickle makes."""

    def __new__(cls, *args: object, **kwargs: object) -> '_Nothing':
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def _ignore(self, *args: object, **kwargs: object) -> '_Nothing':
        return self

    __call__ = __setitem__ = __setstate__ = append = extend = add = _ignore


def _read(path: str) -> object:
    """``torch.load`` without code, and with what MMEngine's training checkpoints need only where
    needed."""
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        refused = error
    try:
        with harmless_globals():
            return torch.load(path, map_location='cpu', weights_only=True)
    except AttributeError:
        # This torch has no allow-list, or none with names of our choice.
        raise refused from None
