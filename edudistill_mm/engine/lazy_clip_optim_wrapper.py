import torch
from mmengine.optim import OptimWrapper

from edudistill_mm.registry import OPTIM_WRAPPERS, register


@register(OPTIM_WRAPPERS)
class LazyClipOptimWrapper(OptimWrapper):
    """MMEngine's ``OptimWrapper``, which does not wait for the device to log a gradient's norm.

    :class:`EducationRunner` takes it for an ``OptimWrapper``. All else is the same, bit for bit.
    """

    def clip(self) -> torch.Tensor | None:
        """Clip the gradients as ``clip_grad`` says; their norm before that, if it is known."""
        parameters = [
            parameter
            for group in self.optimizer.param_groups
            for parameter in group['params']
            if parameter.requires_grad and parameter.grad is not None
        ]
        if not self.clip_grad_kwargs or not parameters:
            return None
        # Clipping by value returns none.
        return self.clip_func(parameters, **self.clip_grad_kwargs)

    def log_norm(self, norm: torch.Tensor | None) -> None:
        """Log what :meth:`clip` has returned."""
        if norm is not None:
            self.message_hub.update_scalar(f'train/{self.grad_name}', norm)

    def _clip_grad(self) -> None:
        self.log_norm(self.clip())
