"""Files for the tests of reading checkpoints, hostile ones among them."""

from pathlib import Path

import pytest
import torch

from edudistill_mm.checkpoint.harmless_globals import READS_BY_NAME
from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.errors import ConfigurationError

needs_allow_list = pytest.mark.skipif(
    not READS_BY_NAME,
    reason='this torch reads tensors and plain values only',
)


class Call:
    """Pickles to a call of ``function(*args)``."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def save(path: Path, value) -> str:
    torch.save(value, path)
    return str(path)


def refusal(path) -> str:
    with pytest.raises(ConfigurationError) as error:
        load_checkpoint_file(str(path))
    assert str(path) in str(error.value)
    assert '\n' not in str(error.value)
    return str(error.value)
