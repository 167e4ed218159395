from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.hooks import CheckpointHook, Hook

from ..errors import ConfigurationError, did_you_mean


def check_best_metric(hooks: Iterable[Hook], metrics: Mapping[str, Any]) -> None:
    """Refuse a ``CheckpointHook`` whose ``save_best`` is none of a validation's results.

    A validation without any result is left to the hook, which warns of it.

    Raises:
        ConfigurationError: For the first such name.
    """
    for hook in hooks:
        if not isinstance(hook, CheckpointHook) or hook.save_best is None or not metrics:
            continue
        for name in hook.key_indicators:
            if name not in ('auto', *metrics):
                raise ConfigurationError(
                    f'CheckpointHook.save_best is "{name}", which no metric of val_evaluator gives'
                    f'{did_you_mean(name, metrics)}; possible are {", ".join(metrics)}'
                )
