"""Errors that all ranks of a run meet."""

import contextlib
import hashlib
import os
import sys
import time

from mmengine.dist import get_rank, get_world_size, is_distributed
from torch import distributed

from edudistill_mm.engine.join_ranks import VARIABLES

FAILED = 'edudistill_mm/failed'

PATIENCE = 5  # seconds


def print_error_once(message: str, kind: str = 'error') -> None:
    """Print a sentence that ends the run, once in all.

    Before the process group exists, rank 0 of each machine prints it; afterwards, the first rank
    that meets this very error.
    """
    if not is_distributed():
        places = [variables['LOCAL_RANK'] for variables in VARIABLES.values()]
        first = all(os.environ.get(place, '0') == '0' for place in places)
    else:
        first = _is_first(message)
    if first:
        print(f'{kind}: {message}', file=sys.stderr, flush=True)
    if is_distributed():
        _wait_for_others()


def _is_first(message: str) -> bool:
    key = f'edudistill_mm/{hashlib.sha256(message.encode()).hexdigest()}'
    store = _store()
    try:
        first = store.add(key, 1) == 1
    except RuntimeError:
        # Rank 0, which keeps the store, has ended.
        return True
    # Last: rank 0 keeps the store until all have come this far.
    with contextlib.suppress(RuntimeError):
        store.add(FAILED, 1)
    return first


def _wait_for_others() -> None:
    """Keep the store on rank 0 for ranks that meet an error at the same time.

    The store ends with rank 0 unless torchrun keeps it.
    """
    if get_rank() or os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True':
        return
    end = time.monotonic() + PATIENCE
    while _store().add(FAILED, 0) < get_world_size() and time.monotonic() < end:
        time.sleep(0.05)


def _store() -> distributed.Store:
    return distributed.distributed_c10d._get_default_store()


def another_has_failed() -> bool:
    """Whether another rank has met, and printed, an error of the user."""
    if not is_distributed():
        return False
    try:
        return _store().check([FAILED])
    except RuntimeError:
        return False
