"""Images of which there are copies."""

import os.path as osp
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from edudistill_mm.checkpoint.files import file_sha256

# Digests are made outside Python's lock.
THREADS = 8


def find_copies(root: str, paths: Iterable[str]) -> dict[str, str]:
    """Find files that are equal byte for byte.

    Only files of one size are read.

    Args:
        root (str): A folder.
        paths (Iterable[str]): Files, by their paths from it.

    Returns:
        dict[str, str]: For each file that is a copy of one before it, the first of its kind.
    """
    copies: dict[str, str] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        in_root = partial(osp.join, root)
        for same_size in _alike(paths, lambda path: osp.getsize(in_root(path))):
            digests = dict(zip(same_size, pool.map(file_sha256, map(in_root, same_size))))
            for first, *others in _alike(same_size, digests.__getitem__):
                copies.update(dict.fromkeys(others, first))
    return copies


def _alike(paths: Iterable[str], key: Callable[[str], Hashable]) -> list[list[str]]:
    """The groups of two or more paths that have a key in common."""
    groups: dict[Hashable, list[str]] = defaultdict(list)
    for path in paths:
        groups[key(path)].append(path)
    return [group for group in groups.values() if len(group) > 1]
