"""The weights of a checkpoint, for this package and, by a URL scheme, for MMEngine."""

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor

from ..errors import ConfigurationError
from .download import SCHEME, resolve_checkpoint
from .foreign_weights import PLAIN_KEYS, choose_weights
from .load import load_checkpoint_file
from .log_once import log_once
from .state_dict_names import without_wrappers

# Hooks read these keys of a checkpoint from which a run starts.
_CARRIED = ('meta', 'message_hub')


def read_weights(
    source: str, averaged: bool | None = None
) -> tuple[str, dict[str, Tensor], str | None]:
    """Read the weights of a checkpoint at a path or URL.

    Returns:
        tuple[str, dict[str, Tensor], str | None]: Path of the local file, and what
            :func:`weights_in` returns.
    """
    path = resolve_checkpoint(source)
    return path, *weights_in(load_checkpoint_file(path), f'checkpoint "{source}"', averaged)


@CheckpointLoader.register_scheme(prefixes=SCHEME)
def load_from_edudistill_mm(filename: str, map_location: object = None) -> dict:
    """Read a checkpoint for MMEngine, as :func:`to_start_from`, onto the CPU."""
    path = resolve_checkpoint(filename)
    return to_start_from(load_checkpoint_file(path), path)


def to_start_from(checkpoint: dict, path: str) -> dict:
    """Keep of a checkpoint its weights, as ``'state_dict'``, and what hooks of a new run read."""
    state, note = weights_in(checkpoint, f'checkpoint "{path}"', None)
    if note is not None:
        log_once(f'Of "{path}", {note}')
    return {**{key: checkpoint[key] for key in _CARRIED if key in checkpoint}, 'state_dict': state}


def extract_state_dict(
    checkpoint: dict, source: str = 'the checkpoint', averaged: bool | None = None
) -> dict[str, Tensor]:
    """Take the weights out of a checkpoint.

    Args:
        checkpoint (dict): A checkpoint of MM projects (key ``'state_dict'``), of other code bases
            (key ``'model'`` and others), or a bare state dict.
        source (str): What to call the checkpoint in an error message.
        averaged (bool, optional): Whether to take the averaged weights, if there are others too.
            None: where there are any.

    Returns:
        dict[str, Tensor]: The tensors by name, without the parts of the names that DDP,
            ``torch.compile`` and FSDP add.
    """
    return weights_in(checkpoint, source, averaged)[0]


def weights_in(
    checkpoint: dict, source: str, averaged: bool | None
) -> tuple[dict[str, Tensor], str | None]:
    """As :func:`extract_state_dict`, with a clause that says which of several weights they are."""
    state_dict, note = choose_weights(checkpoint, source, averaged)
    tensors = {
        without_wrappers(name): value
        for name, value in state_dict.items()
        if isinstance(name, str) and _is_plain(value)
    }
    if not tensors:
        raise ConfigurationError(
            f'{source} holds no weights: they are looked for under {", ".join(PLAIN_KEYS)} and at '
            f'the top, where it has {", ".join(sorted(map(str, checkpoint))[:10]) or "nothing"}'
        )
    return tensors, note


def _is_plain(value: object) -> bool:
    """Whether a value is a tensor that has all of its numbers in memory."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and not (value.is_meta or value.is_quantized)
    )
