from collections.abc import Sequence

import numpy as np
import torch

from edudistill_mm.errors import ConfigurationError


def check_room(shape: Sequence[int], device: torch.device) -> None:
    """Raise ConfigurationError if uint8 images [N, C, H, W] do not fit into a device's free memory."""
    size, free = int(np.prod(shape)), free_memory(device)
    if free is not None and size > free:
        raise ConfigurationError(
            f'the {shape[0]} images of a data set take {size / 1e9:.1f} GB as resident data, but '
            f'{device} has {free / 1e9:.1f} GB of free memory; set resident=False of the data loader'
        )


def free_memory(device: torch.device) -> int | None:
    """Free memory of a device in bytes, if it can be known."""
    if device.type == 'cuda':
        return torch.cuda.mem_get_info(device)[0]
    if device.type != 'cpu':
        return None
    try:
        with open('/proc/meminfo') as file:
            lines = dict(line.split(':', 1) for line in file)
        return int(lines['MemAvailable'].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
