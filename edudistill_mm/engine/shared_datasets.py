import contextlib
import copy
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from mmengine.registry import DATASETS

# Data sets for training and for validation; more may not fit into memory.
KEPT = 2

_built: ContextVar[dict[str, Any] | None] = ContextVar('built', default=None)


@contextlib.contextmanager
def shared_datasets() -> Iterator[None]:
    """Let data loaders that are built meanwhile read the data sets of one config once.

    Each gets a copy of its own.
    """
    token = _built.set({})
    try:
        yield
    finally:
        _built.reset(token)


def with_shared_dataset(loader: Any) -> Any:
    """The config of a data loader, with a data set in it if data sets are shared."""
    built = _built.get()
    if built is None or not isinstance(loader, dict) or not isinstance(loader['dataset'], dict):
        return loader
    key = repr(loader['dataset'])
    if key not in built:
        while len(built) >= KEPT:
            del built[next(iter(built))]
        built[key] = DATASETS.build(copy.deepcopy(loader['dataset']))
        if hasattr(built[key], 'full_init'):
            built[key].full_init()
    # MMEngine copies what the config holds.
    return dict(loader, dataset=built[key])
