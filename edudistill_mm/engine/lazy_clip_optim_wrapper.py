from mmengine.optim import OptimWrapper

from edudistill_mm.registry import OPTIM_WRAPPERS, register


@register(OPTIM_WRAPPERS)
class LazyClipOptimWrapper(OptimWrapper):
    """MMEngine's ``OptimWrapper``, which does not wait for the device to log a gradient's norm.

    :class:`EducationRunner` takes it for an ``OptimWrapper``. All else is the same, bit for bit.
    """

    def _clip_grad(self) -> None:
        parameters = [
            parameter
            for group in self.optimizer.param_groups
            for parameter in group['params']
            if parameter.requires_grad and parameter.grad is not None
        ]
        if parameters:
            norm = self.clip_func(parameters, **self.clip_grad_kwargs)
            # Clipping by value returns none.
            if norm is not None:
                self.message_hub.update_scalar(f'train/{self.grad_name}', norm)
