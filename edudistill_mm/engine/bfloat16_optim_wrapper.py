from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from edudistill_mm.registry import OPTIM_WRAPPERS, register


@register(OPTIM_WRAPPERS)
class BFloat16OptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16 on any device, a CPU included, where MMEngine's
    ``AmpOptimWrapper`` refuses to work.

    Forward passes run under autocast. bfloat16 has the range of float32, so that there is no loss
    scale, and the state is that of an ``OptimWrapper``: a run may go on in another precision. It
    takes the arguments of ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass, and hold back the synchronisation of gradients that are
        accumulated.

        Args:
            model (nn.Module): The model.
        """
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
