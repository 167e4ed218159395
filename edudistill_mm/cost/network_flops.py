from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edudistill_mm.errors import ConfigurationError, reason_of
from edudistill_mm.models.network import dry_run


def network_flops(network: nn.Module, shape: tuple[int, int, int] | None = None) -> int:
    """FLOPs of the forward pass of one image, two for a multiply-add.

    Args:
        network (nn.Module): A classifier; of a :class:`FragmentedStudent` what its current grade
            runs.
        shape (tuple[int, int, int], optional): (C, H, W). Defaults to None; see :func:`dry_run`.

    Raises:
        ConfigurationError: If the network cannot be run on such an image.
    """
    counter = FlopCounterMode(display=False)

    def forward(image: torch.Tensor) -> int:
        with _plain_attention(), counter:
            network(image, mode='tensor')
        return counter.get_total_flops() // len(image)

    try:
        return dry_run(network, forward, shape)
    except RuntimeError as error:
        raise ConfigurationError(
            f'the network "{type(network).__name__}" cannot be run on an image of shape {shape}: '
            f'{reason_of(error)}'
        ) from error


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Compute attention by matrix products: PyTorch counts no fused kernel of a CPU."""
    kernels = torch.backends.cuda
    before = kernels.flash_sdp_enabled(), kernels.mem_efficient_sdp_enabled()
    kernels.enable_flash_sdp(False)
    kernels.enable_mem_efficient_sdp(False)
    try:
        yield
    finally:
        kernels.enable_flash_sdp(before[0])
        kernels.enable_mem_efficient_sdp(before[1])
