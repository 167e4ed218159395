import contextlib
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from packaging.version import Version

READS_BY_NAME = Version(torch.__version__) >= Version('2.6')
# Types that checkpoints hold beside their weights.
_ATTRIBUTES = ('argparse.Namespace', 'types.SimpleNamespace')
_DICTS = (
    'addict.addict.Dict',
    'easydict.EasyDict',
    'lightning.fabric.utilities.data.AttributeDict',
    'lightning_fabric.utilities.data.AttributeDict',
    'mmcv.utils.config.ConfigDict',
    'mmengine.config.config.ConfigDict',
    'pytorch_lightning.utilities.parsing.AttributeDict',
    'yacs.config.CfgNode',
)
_PATHS = tuple(
    f'{module}.{kind}{system}Path'
    for module in ('pathlib', 'pathlib._local')
    for kind in ('', 'Pure')
    for system in ('Posix', 'Windows')
)


def harmless_globals() -> contextlib.AbstractContextManager:
    """Let torch read what trainings save beside weights, with a harmless stand-in for each name.

    The real ``getattr``, ``HistoryBuffer`` and numpy constructors would let a file reach into
    objects, replace the methods of every ``HistoryBuffer`` or build arrays over arbitrary memory.
    Arguments become objects that have nothing but their attributes, configs ``OrderedDict`` and
    paths strings, whether the packages that wrote them are installed or not.

    Before torch 2.6, whose allow-list takes no names, the context does nothing.
    """
    if not READS_BY_NAME:
        return contextlib.nullcontext()
    names: dict[str, Any] = {
        **dict.fromkeys(_ATTRIBUTES, _PlainAttributes),
        **dict.fromkeys(_DICTS, OrderedDict),
        **dict.fromkeys(_PATHS, _plain_path),
        'builtins.getattr': _statistics_method,
        'mmengine.logging.history_buffer.HistoryBuffer': _PlainHistoryBuffer,
        'numpy.ndarray': _PlainArray,
        'numpy.dtype': _PlainDtype,
    }
    for package in ('numpy.core', 'numpy._core'):  # numpy 1 and numpy 2
        names[f'{package}.multiarray._reconstruct'] = _reconstruct
        names[f'{package}.multiarray.scalar'] = _scalar
    return torch.serialization.safe_globals([(value, name) for name, value in names.items()])


class _PlainAttributes:
    """Holds the attributes that a file sets, and nothing else."""

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)


def _plain_path(*parts: str) -> str:
    return '/'.join(map(str, parts)).replace('//', '/')


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
    """Stands in for ``getattr``, by which ``HistoryBuffer`` pickles its statistics methods."""
    if owner is not _PlainHistoryBuffer or name not in ('min', 'max', 'current', 'mean'):
        raise pickle.UnpicklingError(
            'GLOBAL builtins.getattr was asked for more than a HistoryBuffer has'
        )
    return getattr(HistoryBuffer, name)
