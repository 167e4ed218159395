import os
import pickle
import tarfile
import zipfile

from ..errors import ConfigurationError
from .storage_reader import StorageReader


def check_archive(path: str) -> None:
    """Check an archive of ``torch.save`` before torch unpacks it.

    Bare pickles, which torch wrote before 1.6, pass.
    """
    with open(path, 'rb') as file:
        start = file.read(4)
    if start.startswith(pickle.PROTO) and not tarfile.is_tarfile(path):
        return
    if start != b'PK\x03\x04':
        # torch before 2.4 executes the words of a text file as pickle commands; torch before 2.6
        # unpacks the tar files that its first releases wrote.
        raise ConfigurationError(unreadable(path))
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise ConfigurationError(
                f'checkpoint "{path}" is a compressed archive, as TorchScript writes them and torch.save '
                'never does; it may unpack to any size'
            )
        names = {record.filename for record in records}
        total = sum(record.file_size for record in records)
        # torch reads no bytes of a record marked as a folder: the tensor would show old memory.
        folders = any(record.is_dir() or record.external_attr & 0x10 for record in records)
        if (
            len(names) < len(records)
            or folders
            or total > os.path.getsize(path)
            or archive.testzip()
            or _declares_too_much(archive)
        ):
            raise ConfigurationError(unreadable(path))


def unreadable(path: str) -> str:
    """The sentence for a file that is no whole archive of ``torch.save``."""
    return (
        f'checkpoint "{path}" cannot be read: it is truncated, damaged or not a file of torch.save'
    )


def _declares_too_much(archive: zipfile.ZipFile) -> bool:
    """Whether a tensor claims more bytes than its record has.

    Older releases of torch (2.1, for one) fill such a tensor from the memory behind the record.
    """
    records = {record.filename: record.file_size for record in archive.infolist()}
    folder = next(iter(records)).partition('/')[0]
    if f'{folder}/data.pkl' not in records:
        return True
    with archive.open(f'{folder}/data.pkl') as file:
        reader = StorageReader(file)
        reader.load()
    return any(size > records.get(f'{folder}/data/{key}', 0) for key, size in reader.sizes.items())
