from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from ..curriculum import Curriculum
from ..errors import ConfigurationError, did_you_mean


def check_best_metric(hooks: Iterable[Hook], metrics: Mapping[str, Any]) -> None:
    """Refuse a ``CheckpointHook`` whose ``save_best`` is none of a validation's results.

    A validation without any result is left to the hook, which warns of it.

    Raises:
        ConfigurationError: For the first such name.
    """
    for name in _indicators(hooks) if metrics else ():
        if name not in ('auto', *metrics):
            raise ConfigurationError(
                f'CheckpointHook.save_best is "{name}", which no metric of val_evaluator gives'
                f'{did_you_mean(name, metrics)}; possible are {", ".join(metrics)}'
            )


def warn_of_easy_classes(runner: Runner, curriculum: Curriculum) -> None:
    """Warn of a best checkpoint that is chosen by a metric of the classes seen so far."""
    if len(curriculum.grades[0].seen) == curriculum.num_classes:
        return
    for name in _indicators(runner.hooks):
        if name.startswith('seen/'):
            runner.logger.warning(
                f'CheckpointHook.save_best is "{name}", which is over fewer classes in the first grades '
                f'and so prefers their students; "{name.replace("seen/", "accuracy/")}" is over all classes'
            )


def _indicators(hooks: Iterable[Hook]) -> list[str]:
    """The names by which checkpoint hooks choose the best checkpoint."""
    writers = [hook for hook in hooks if isinstance(hook, CheckpointHook) and hook.save_best]
    return [name for writer in writers for name in writer.key_indicators]
