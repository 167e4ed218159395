from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from mmpretrain.engine.hooks import PreciseBNHook, SwitchRecipeHook
from mmrazor.engine import StopDistillHook

from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError


def check_hooks_of_epochs(runner: Runner, curriculum: Curriculum) -> None:
    """Refuse hooks that need epochs, where a curriculum counts iterations.

    MMEngine's loop of iterations has a single epoch. What waits for a later one never acts, and who
    begins to read the data anew gets those of the first grade.

    Raises:
        ConfigurationError: It names the first such hook.
    """
    if curriculum.by_epoch:
        return
    for hook in runner.hooks:
        reason = None
        if isinstance(hook, StopDistillHook):
            reason = f'would never reach epoch {hook.stop_epoch}'
        elif isinstance(hook, SwitchRecipeHook) and max(hook.schedule, default=1) > 1:
            reason = f'would never reach epoch {max(hook.schedule)}'
        elif isinstance(hook, EMAHook) and hook.begin_epoch > 0:
            reason = f'would never reach epoch {hook.begin_epoch} (begin_iter counts iterations)'
        elif isinstance(hook, PreciseBNHook):
            reason = 'would read images of the first grade'
        if reason is not None:
            raise ConfigurationError(
                f'custom_hooks: the {type(hook).__name__} {reason}, as the curriculum counts iterations; '
                f'give grades and train_cfg in epochs, or leave the hook out'
            )
