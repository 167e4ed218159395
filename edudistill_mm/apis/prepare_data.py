"""Download and unpack the data sets of the paper."""

import http.client
import os
import os.path as osp
import shutil
import stat
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from torchvision.datasets.utils import calculate_md5
from tqdm import tqdm

from edudistill_mm.datasets import SOURCES, Source
from edudistill_mm.errors import ConfigurationError, did_you_mean, reason_of

ATTEMPTS = 5
TIMEOUT = 30  # seconds without an answer
CHUNK = 1 << 16


def prepare_data(name: str, root: str = 'data', url: str | None = None) -> str:
    """Download a data set from its official source and unpack it; once.

    A partial download is kept and continued, after a broken connection at once, otherwise by the
    next call. The archive is unpacked aside, so that a folder of the data set's name is always
    complete, and then removed.

    Args:
        name (str): A key of :data:`edudistill_mm.datasets.SOURCES`.
        root (str): The data set goes to ``<root>/<name>``, the ``data_root`` of its configs.
            Defaults to 'data'.
        url (str, optional): A mirror of the same archive. Defaults to None: the official address.

    Returns:
        str: The folder of the data set.

    Raises:
        ConfigurationError: If there is no such data set, the archive cannot be had, is not the
            published one or wants to write outside its folder, or if this Python cannot unpack
            archives safely.
    """
    if name not in SOURCES:
        raise ConfigurationError(
            f'there is no data set "{name}"{did_you_mean(name, SOURCES)}; possible are '
            f'{", ".join(SOURCES)}'
        )
    source = SOURCES[name]
    home = osp.join(root, name)
    folder = osp.join(home, source.folder)
    if osp.isdir(folder):
        return folder
    if not hasattr(tarfile, 'data_filter'):
        raise ConfigurationError(
            f'Python {sys.version.split()[0]} cannot unpack archives safely; update to 3.10.12, 3.11.4 '
            f'or later, or unpack "{url or source.url}" yourself, so that the folder "{folder}" is there'
        )
    os.makedirs(home, exist_ok=True)
    archive = osp.join(home, osp.basename(source.url))
    if not osp.exists(archive):
        part, address = f'{archive}.part', url or source.url
        _download(address, part)
        try:
            _verify(part, source, f'what "{address}" sent')
        except ConfigurationError:
            os.remove(part)
            raise
        os.replace(part, archive)
    else:
        _verify(archive, source, f'"{archive}"')
    aside = osp.join(home, 'unpacking')
    shutil.rmtree(aside, ignore_errors=True)
    try:
        unpack(archive, aside)
        if not osp.isdir(osp.join(aside, source.folder)):
            raise ConfigurationError(
                f'the archive "{archive}" has no folder "{source.folder}"; delete it and try again'
            )
        os.replace(osp.join(aside, source.folder), folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    os.remove(archive)
    return folder


def _download(url: str, part: str) -> None:
    """Download to a file, going on from what is there already."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _continue_download(url, part)
            return
        except (OSError, http.client.HTTPException) as error:
            # Another attempt cannot help: the server has refused the address.
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if refused or attempt == ATTEMPTS:
                kept = osp.getsize(part) if osp.exists(part) else 0
                raise ConfigurationError(
                    f'"{url}" cannot be downloaded: {reason_of(error)}; '
                    + (
                        f'{kept} bytes are there, and the same command goes on from them'
                        if kept
                        else 'a mirror of it is named by --url'
                    )
                ) from error
            time.sleep(2 ** (attempt - 1) - 1)  # 0, 1, 3 and 7 seconds


def _continue_download(url: str, part: str) -> None:
    have = osp.getsize(part) if osp.exists(part) else 0
    headers = {'User-Agent': 'edudistill_mm', **({'Range': f'bytes={have}-'} if have else {})}
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return  # nothing is left to send; the checksum tells whether that is right
        raise
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            have = 0  # the server sends it from the beginning
        left = response.length
        progress = tqdm(
            desc=osp.basename(part).removesuffix('.part'),
            initial=have,
            total=None if left is None else have + left,
            unit='B',
            unit_scale=True,
        )
        with progress, open(part, 'ab' if have else 'wb') as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                progress.update(len(chunk))
                have += len(chunk)
                left = None if left is None else left - len(chunk)
    if left:
        raise OSError(f'the connection broke with {left} bytes left')


def _verify(archive: str, source: Source, what: str) -> None:
    md5 = calculate_md5(archive)
    if md5 != source.md5:
        raise ConfigurationError(
            f'{what} is not the archive of {source.name}: of its {osp.getsize(archive)} bytes the md5 '
            f'is {md5}, not {source.md5}; delete it if it is still there, and try again'
        )


def unpack(archive: str, folder: str) -> None:
    """Unpack a tar or zip archive into a folder.

    Raises:
        ConfigurationError: If the archive is broken or has an entry that would be written outside
            the folder, a link out of it, or a device. What was unpacked before stays.
    """
    os.makedirs(folder, exist_ok=True)
    try:
        opened = zipfile.ZipFile if zipfile.is_zipfile(archive) else tarfile.open
        with opened(archive) as file:
            entries = (
                _zip_entries(file) if isinstance(file, zipfile.ZipFile) else _tar_entries(file)
            )
            for name, extract in tqdm(entries, desc='unpacking', unit=' files'):
                path = PurePosixPath(name.replace('\\', '/'))
                if path.is_absolute() or '..' in path.parts:
                    raise ConfigurationError(
                        f'the archive "{archive}" wants to write "{name}", which is outside its folder'
                    )
                extract(folder)
    except tarfile.FilterError as error:
        raise ConfigurationError(
            f'the archive "{archive}" wants to write outside its folder: {reason_of(error)}'
        ) from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise ConfigurationError(
            f'the archive "{archive}" cannot be unpacked: {reason_of(error)}'
        ) from error


def _tar_entries(file: tarfile.TarFile) -> Iterator[tuple[str, object]]:
    for member in file:
        # The filter refuses links that lead outside, and devices.
        yield member.name, lambda folder, m=member: file.extract(m, folder, filter='data')


def _zip_entries(file: zipfile.ZipFile) -> Iterator[tuple[str, object]]:
    for info in file.infolist():
        if stat.S_ISLNK(info.external_attr >> 16):
            raise ConfigurationError(
                f'the archive "{file.filename}" holds the link "{info.filename}", which could lead '
                'outside its folder'
            )
        yield info.filename, lambda folder, i=info: file.extract(i, folder)
