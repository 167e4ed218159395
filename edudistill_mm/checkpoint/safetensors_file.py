"""Files of safetensors, which hold tensors by name and nothing that could run."""

import os

from torch import Tensor

from ..errors import ConfigurationError, reason_of


def is_safetensors(path: str) -> bool:
    """Whether a file is one of safetensors, by its first bytes or by its name.

    Args:
        path (str): A local file.
    """
    with open(path, 'rb') as file:
        start = file.read(9)
    # The length of a header in JSON, then that header.
    length = int.from_bytes(start[:8], 'little')
    by_content = start[8:] == b'{' and length <= os.path.getsize(path) - 8
    # A download has another suffix until it is known to be good.
    return by_content or path.removesuffix('.part').endswith('.safetensors')


def read_safetensors(path: str) -> dict[str, Tensor]:
    """Read all tensors of a file onto the CPU.

    Args:
        path (str): A local file.

    Returns:
        dict[str, Tensor]: The tensors by name.

    Raises:
        ConfigurationError: The file is truncated or its header damaged (there are no checksums of
            the weights), or the package safetensors is not there.
    """
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
        # The reader in Rust, and torch for a type or a shape that it does not have.
        raise ConfigurationError(
            f'checkpoint "{path}" cannot be read as a file of safetensors: it is truncated or damaged '
            f'({reason_of(error)})'
        ) from error
