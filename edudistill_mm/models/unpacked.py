"""Batches of a pipeline that does not pack its samples."""

from collections.abc import Mapping
from typing import Any

from mmpretrain.models import ClsDataPreprocessor
from torch import nn

from edudistill_mm.errors import ConfigurationError


def refuse_unpacked(preprocessor: nn.Module) -> None:
    """Let a data preprocessor of MMPretrain say what is missing in a batch without ``inputs``."""
    if isinstance(preprocessor, ClsDataPreprocessor):
        preprocessor.register_forward_pre_hook(_check)


def _check(preprocessor: nn.Module, arguments: tuple) -> None:
    data: Any = arguments[0] if arguments else None
    if isinstance(data, Mapping) and 'inputs' not in data:
        raise ConfigurationError(
            f'the samples of a data set have no "inputs" but {", ".join(map(str, data)) or "nothing"}; end '
            f'the pipeline of train_dataloader, val_dataloader and test_dataloader with '
            f'dict(type="PackInputs")'
        )
