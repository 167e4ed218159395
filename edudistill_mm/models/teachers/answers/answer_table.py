import contextlib
import fcntl
import hashlib
import json
import logging
import os
import os.path as osp
import shutil
from collections.abc import Iterator

import numpy as np
from mmengine.logging import print_log

from .check_values import check_values

# Entries whose check values are computed at once.
CHUNK = 1 << 16
ANSWERS, CHECKS, ABOUT = 'answers.bin', 'checks.bin', 'table.json'


class ForeignTable(Exception):
    """The folder of a table holds another one.

    Args:
        path (str): The folder.
        reason (str): How that is known, a clause.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f'"{path}" holds those of another one: {reason}')


class AnswerTable:
    """A file of class scores by image and view, which processes side by side read and fill.

    Entry ``image * num_views + view`` is one row of scores. Beside the rows stands a check value
    of each, 0 where the row is empty: a row counts only if its check value fits, so that it is
    neither half written nor damaged nor another table's. Rows are written before their check
    values, under a lock, and never twice. A process that was forked opens a table of its own.

    Args:
        folder (str): Folder of the tables, made if missing.
        about (dict): All that the scores depend on; JSON. The table's own folder is called by its
            SHA-256.
        shape (tuple[int, int, int]): Numbers of images, of views and of scores.
        dtype (str): 'float16' or 'float32'.

    Attributes:
        path (str): The table's own folder.
        num_views (int): Number of views of an image.
        dtype (np.dtype): Type of a score.

    Raises:
        ForeignTable: The table's folder holds another one.
        OSError: The table cannot be made, read or locked; for lack of room if it is made: what it
            takes is reserved then.
    """

    def __init__(self, folder: str, about: dict, shape: tuple[int, int, int], dtype: str) -> None:
        images, self.num_views, scores = shape
        self.dtype = np.dtype(dtype)
        self._about = dict(about, images=images, views=self.num_views, scores=scores, dtype=dtype)
        text = json.dumps(self._about, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        self._shape, self._salt = (images * self.num_views, scores), int(key[:8], 16)
        self.path = osp.join(folder, key)
        os.makedirs(folder, exist_ok=True)
        # Open as long as the table: a lock needs the file, whatever becomes of the folder.
        self._lock = open(f'{self.path}.lock', 'a')  # noqa: SIM115
        with self._locked():
            self._make_if_missing()
            self._rows = self._map(ANSWERS, self.dtype, self._shape)
            self._checks = self._map(CHECKS, np.dtype(np.uint32), self._shape[:1])
            self._empty_damaged()

    @property
    def size(self) -> int:
        """int: Bytes of the file of the scores."""
        return self._shape[0] * self._shape[1] * self.dtype.itemsize

    def read(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows [n, C] of entries [n], and which of them are filled, bool [n]."""
        rows = self._rows[entries]
        return rows, self._checks[entries] == check_values(rows, entries, self._salt)

    def write(self, entries: np.ndarray, rows: np.ndarray) -> None:
        """Fill entries [n], each given once, with rows [n, C]; what is filled stays as it is."""
        with self._locked():
            empty = ~self.read(entries)[1]
            new, rows = entries[empty], np.ascontiguousarray(rows[empty], self.dtype)
            self._rows[new] = rows
            # The pages are in memory and may be written from here on, so that the check values of
            # a batch come at once: a process that is killed has left all of them or none.
            self._checks[new] = self._checks[new]
            self._checks[new] = check_values(rows, new, self._salt)

    def filled(self, images: np.ndarray) -> np.ndarray:
        """Which views of images [n] have a check value, bool [n, num_views]."""
        return self._checks.reshape(-1, self.num_views)[images] != 0

    def snapshot(self) -> tuple[np.ndarray, np.ndarray]:
        """All rows, [images * num_views, C], and which are filled by now; others may still change.

        The rows are those of the file and must not be written to.
        """
        return self._rows, self._checks != 0

    # ---- files
    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _map(self, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        # As a plain array, whose rows are taken faster.
        return np.asarray(np.memmap(osp.join(self.path, name), dtype, 'r+', shape=shape))

    def _make_if_missing(self) -> None:
        sizes = {ANSWERS: self.size, CHECKS: 4 * self._shape[0]}
        if osp.exists(self.path):
            try:
                with open(osp.join(self.path, ABOUT)) as file:
                    found = json.load(file)
            except (OSError, ValueError) as error:
                raise ForeignTable(self.path, f'its {ABOUT} cannot be read') from error
            if found != self._about:
                raise ForeignTable(self.path, f'its {ABOUT} says so')
            there = {name: _size(osp.join(self.path, name)) for name in sizes}
            if there == sizes:
                return
            _warn(
                f'The kept answers in "{self.path}" are truncated: {sum(there.values())} of '
                f'{sum(sizes.values())} bytes are there; the table is made anew'
            )
            shutil.rmtree(self.path)
        print_log(
            f'A table of {sum(sizes.values()) / 1e6:.1f} MB is made for kept answers: {self.path}',
            logger='current',
        )
        part = f'{self.path}.part'
        # That of a process that was killed.
        shutil.rmtree(part, ignore_errors=True)
        try:
            os.mkdir(part)
            for name, size in sizes.items():
                with open(osp.join(part, name), 'wb') as file:
                    os.posix_fallocate(file.fileno(), 0, size)
            with open(osp.join(part, ABOUT), 'w') as file:
                json.dump(self._about, file, indent=1)
            os.rename(part, self.path)
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def _empty_damaged(self) -> None:
        """Empty the entries whose check values do not fit."""
        damaged = 0
        for start in range(0, self._shape[0], CHUNK):
            entries = start + np.flatnonzero(self._checks[start : start + CHUNK])
            wrong = entries[~self.read(entries)[1]]
            self._checks[wrong] = 0
            damaged += len(wrong)
        if damaged:
            _warn(
                f'{damaged} of the kept answers in "{self.path}" are damaged; they are asked again'
            )


def _size(path: str) -> int:
    return osp.getsize(path) if osp.exists(path) else 0


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
