"""Checkpoints that a config names by a URL."""

import contextlib
import hashlib
import http.client
import os
import re
from urllib.parse import urlparse

import torch
from filelock import FileLock

from ..errors import ConfigurationError, reason_of
from .files import file_sha256
from .load import load_checkpoint_file

# The hash in names of published files of MM projects and torch: "resnet50-67b58a1b.pth".
_HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,64})\.[^.]+$')

# A path with this prefix is read by load_from_edudistill_mm when MMEngine loads it.
SCHEME = 'edudistill_mm:'


def resolve_checkpoint(source: str) -> str:
    """Turn a local path or an ``http(s)://`` URL into a local path, downloading the URL once.

    A download lands in the folder of ``torch.hub`` and MMEngine. A hash at the end of the file
    name, as published files have it, must begin the file's SHA-256. A name without a hash gets one
    of the URL as prefix, which keeps two ``latest.pth`` from different places apart.
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
    # One rank downloads, the others wait. A barrier, unlike a lock, would hang where one process
    # alone calls this function, for instance to export a student.
    lock = os.path.join(torch.hub.get_dir(), f'{name}.lock')
    with contextlib.nullcontext() if os.path.exists(path) else FileLock(lock):
        _download(source, path, in_name and in_name[1])
    return path


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
        # torch reports no error for a transfer that ends early.
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
