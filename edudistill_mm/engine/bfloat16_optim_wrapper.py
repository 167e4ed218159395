from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from edudistill_mm.registry import OPTIM_WRAPPERS, register

from .lazy_clip_optim_wrapper import LazyClipOptimWrapper


@register(OPTIM_WRAPPERS)
class BFloat16OptimWrapper(LazyClipOptimWrapper):
    """Mixed precision in bfloat16 on any device, also on a CPU, which ``AmpOptimWrapper`` refuses.

    Forward passes run under autocast. bfloat16 has the range of float32: there is no loss scale,
    and the state is that of an ``OptimWrapper``, so that a run may go on in another precision. It
    takes the arguments of MMEngine's ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass; delay the synchronisation of gradients that accumulate."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
