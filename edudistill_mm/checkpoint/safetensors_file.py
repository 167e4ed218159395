import os

from torch import Tensor

from ..errors import ConfigurationError, reason_of


def is_safetensors(path: str) -> bool:
    """Whether a local file is one of safetensors, by its first bytes or by its name."""
    with open(path, 'rb') as file:
        start = file.read(9)
    # Eight bytes with the length of a header in JSON, then the header.
    length = int.from_bytes(start[:8], 'little')
    by_content = start[8:] == b'{' and length <= os.path.getsize(path) - 8
    # A download has another suffix until it is known to be good.
    return by_content or path.removesuffix('.part').endswith('.safetensors')


def read_safetensors(path: str) -> dict[str, Tensor]:
    """Read all tensors of a local file onto the CPU, by name; the weights have no checksums."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError as error:
        raise ConfigurationError(
            f'checkpoint "{path}" is a file of safetensors, and that package is not there: run '
            '`pip install safetensors`'
        ) from error
    with open(path, 'rb') as file:
        data = file.read()
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        # From the reader in Rust, or from torch for a type or a shape unknown to it.
        raise ConfigurationError(
            f'checkpoint "{path}" cannot be read as a file of safetensors: it is truncated or damaged '
            f'({reason_of(error)})'
        ) from error
