"""The values of a config that decide the result of a training."""

import inspect
import json
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from .type_name import type_name

# Where and how a run writes, and on which machine it runs.
_OUTER = {
    'self',
    'cfg',
    'work_dir',
    'resume',
    'launcher',
    'env_cfg',
    'log_processor',
    'log_level',
    'visualizer',
    'default_hooks',
    'experiment_name',
}
_MEASURING = {
    f'{split}_{part}' for split in ('val', 'test') for part in ('dataloader', 'evaluator', 'cfg')
}
_OF_MACHINE = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor', 'collate_fn')
# complete_config adds these hooks, the last to educations, where they are missing; they change no
# result.
SAFETY_HOOKS = ('SafeCheckpointHook', 'FiniteLossHook', 'PreemptionHook')
_GUARDS = (*SAFETY_HOOKS, 'StudentCheckpointHook')
# Default hooks that write, or that each run has.
_USUAL_HOOKS = (
    *('IterTimerHook', 'LoggerHook', 'CheckpointHook', 'VisualizationHook', 'RuntimeInfoHook'),
    *('ParamSchedulerHook', 'DistSamplerSeedHook', 'SyncBuffersHook'),
)
_INNER = set(inspect.signature(Runner.__init__).parameters) - _OUTER


def settings(cfg: Config, training_only: bool = False) -> dict[str, Any]:
    """The values of a config that decide the result, except the seed, as plain JSON-able data.

    Helper variables of a config file and what concerns logs and machine are left out, and with
    ``training_only`` how the result is measured.
    """
    keys = _INNER - _MEASURING if training_only else _INNER
    chosen = {
        key: value for key, value in cfg.to_dict().items() if key in keys and value is not None
    }
    if training_only and isinstance(chosen.get('train_cfg'), dict):
        chosen['train_cfg'] = {
            key: value for key, value in chosen['train_cfg'].items() if not key.startswith('val_')
        }
    unusual = {
        name: hook
        for name, hook in (cfg.get('default_hooks') or {}).items()
        if hook is not None and type_name(hook) not in (*_USUAL_HOOKS, *_GUARDS)
    }
    if unusual:
        # Such as MMEngine's EarlyStoppingHook.
        chosen['default_hooks'] = Config(unusual).to_dict()
    for loader in [value for key, value in chosen.items() if key.endswith('_dataloader')]:
        for key in _OF_MACHINE:
            loader.pop(key, None)
        resident = loader.pop('resident', None)
        if isinstance(resident, dict) and resident.get('views_per_image') is not None:
            # Where the images lie changes nothing, but this limits what is seen of them.
            loader['resident'] = dict(views_per_image=resident['views_per_image'])
    chosen['randomness'] = {
        key: value for key, value in (chosen.get('randomness') or {}).items() if key != 'seed'
    }
    # Naming the default scope changes nothing.
    plain = json.loads(json.dumps(chosen, default=str, sort_keys=True))
    return without_guards(_without_scope(plain, cfg.get('default_scope')))


def without_guards(chosen: dict[str, Any]) -> dict[str, Any]:
    """Leave out of settings, maybe those of an earlier version, the hooks that all configs get."""
    hooks = [hook for hook in chosen.get('custom_hooks') or [] if type_name(hook) not in _GUARDS]
    rest = {key: value for key, value in chosen.items() if key != 'custom_hooks'}
    return {**rest, 'custom_hooks': hooks} if hooks else rest


def _without_scope(node: Any, scope: str | None) -> Any:
    if isinstance(node, dict):
        return {
            key: _without_scope(value, scope)
            for key, value in node.items()
            if (key, value) != ('_scope_', scope)
        }
    return [_without_scope(value, scope) for value in node] if isinstance(node, list) else node


def differences(new: Any, old: Any, key: str = '') -> Iterator[tuple[str, Any, Any]]:
    """Dotted key, new and old value (None if absent) of each difference of two settings."""
    if isinstance(new, dict) and isinstance(old, dict):
        for name in sorted({*new, *old}):
            yield from differences(new.get(name), old.get(name), f'{key}.{name}' if key else name)
    elif isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        for index, (one, other) in enumerate(zip(new, old)):
            yield from differences(one, other, f'{key}.{index}')
    elif new != old:
        yield key, new, old


def difference(new: Any, old: Any) -> str | None:
    """The first difference of two settings as 'a.b is X, was Y'; None if they are equal."""
    return next((change(*found) for found in differences(new, old)), None)


def change(key: str, new: Any, old: Any) -> str:
    """Say what has changed, as 'a.b is X, was Y'."""
    return f'{key} is {_short(new)}, was {_short(old)}'


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
