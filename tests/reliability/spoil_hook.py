"""A hook that makes numbers of a run infinite or NaN."""

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module(force=True)
class SpoilHook(Hook):
    """Multiplies the output of a module, or the gradient of its weights, by ``factor`` in one
    iteration, counted from 1, of one process."""

    def __init__(self, module, iteration, factor='nan', gradient=False, rank=0):
        self.module, self.iteration, self.rank = module, iteration, rank
        # A string, because NaN cannot be written in a config file.
        self.factor, self.gradient = float(factor), gradient

    def before_run(self, runner):
        model = getattr(runner.model, 'module', runner.model)
        module = model.get_submodule(self.module)

        def due():
            train = runner.train_loop
            return module.training and train.iter + 1 == self.iteration and get_rank() == self.rank

        if self.gradient:
            module.weight.register_hook(
                lambda gradient: gradient * self.factor if due() else gradient
            )
        else:
            module.register_forward_hook(
                lambda _, inputs, output: output * self.factor if due() else None
            )
