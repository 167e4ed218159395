"""Find the values of a config that cannot be what they are given for, before anything is built."""

from typing import Any

from mmengine.config import Config
from mmengine.fileio.backends import backends
from mmengine.hooks import CheckpointHook
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    FUNCTIONS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    Registry,
)
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Priority
from torch import nn
from torch.utils.data import DataLoader

from edudistill_mm.config.data import DATALOADERS
from edudistill_mm.config.parts import metrics_of, schedulers_of
from edudistill_mm.config.runtime_settings import check_runtime_settings
from edudistill_mm.errors import ConfigurationError, did_you_mean
from edudistill_mm.validation.arguments import (
    check_arguments,
    check_value,
    class_of,
    parameters_of,
)
from edudistill_mm.validation.values import check_choice, check_keys

# What the sections of a config are.
FORMS = dict(
    model=(dict,),
    data_preprocessor=(dict,),
    train_dataloader=(dict,),
    val_dataloader=(dict,),
    test_dataloader=(dict,),
    train_cfg=(dict,),
    val_cfg=(dict,),
    test_cfg=(dict,),
    custom_hooks=(list, tuple),
    default_hooks=(dict,),
    optim_wrapper=(dict,),
    param_scheduler=(dict, list, tuple),
    val_evaluator=(dict, list, tuple),
    test_evaluator=(dict, list, tuple),
)

# What MMEngine takes from a data loader's config before it builds the rest, and where it is
# registered.
LOADER_PARTS = dict(
    dataset=DATASETS,
    sampler=DATA_SAMPLERS,
    batch_sampler=DATA_SAMPLERS,
    collate_fn=FUNCTIONS,
    worker_init_fn=FUNCTIONS,
    num_batch_per_epoch=None,
)


# Those that MMEngine has by default.
OPTIONAL_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)
# What MMEngine's DefaultOptimWrapperConstructor reads; it does nothing with other keys.
PARAMWISE = (
    'custom_keys',
    'bias_lr_mult',
    'bias_decay_mult',
    'norm_decay_mult',
    'flat_decay_mult',
    'dwconv_decay_mult',
    'dcn_offset_lr_mult',
    'bypass_duplicate',
)


def check_values(cfg: Config) -> None:
    """Find values that cannot be what a config needs there, before anything is built.

    Args:
        cfg (Config): The config.

    Raises:
        ConfigurationError: For the first value of a wrong type, type that is not registered, or
            number that is not finite.
    """
    check_forms(cfg)
    scope = cfg.get('default_scope') or 'mmpretrain'
    check_runtime_settings(cfg, scope)
    _check_typed(cfg.model, 'model', MODELS, scope)
    check_arguments(cfg.get('data_preprocessor'), 'data_preprocessor', MODELS, scope)
    for key in DATALOADERS:
        _check_loader(cfg.get(key), key, scope)
    for index, hook in enumerate(cfg.get('custom_hooks') or []):
        _check_hook(hook, f'custom_hooks[{index}]', scope)
    for name, hook in (cfg.get('default_hooks') or {}).items():
        if hook is not None:
            _check_hook(hook, f'default_hooks.{name}', scope)
        elif name not in OPTIONAL_HOOKS:
            raise ConfigurationError(
                f'default_hooks.{name} is None, but MMEngine leaves out only '
                f'{", ".join(OPTIONAL_HOOKS)}{did_you_mean(name, OPTIONAL_HOOKS)}'
            )
    if cfg.get('train_cfg') is not None:
        _check_loop(cfg.train_cfg, scope)
    for key in ('val_evaluator', 'test_evaluator'):
        for index, metric in enumerate(metrics_of(cfg.get(key))):
            _check_typed(metric, f'{key}[{index}]', METRICS, scope)
    for index, scheduler in enumerate(schedulers_of(cfg)):
        _check_typed(scheduler, f'param_scheduler[{index}]', PARAM_SCHEDULERS, scope)
    for key in ('custom_hooks', 'param_scheduler', 'val_evaluator', 'test_evaluator'):
        _check_repetition(cfg.get(key), key)
    if cfg.get('optim_wrapper') is not None:
        _check_optimizer(cfg.optim_wrapper, scope)


def check_forms(cfg: Config) -> None:
    """See that each section is a dict, or a list, or is not there."""
    for key, kinds in FORMS.items():
        value = cfg.get(key)
        if not isinstance(value, kinds) and not (value is None and key != 'model'):
            raise ConfigurationError(
                f'{key} must be a {" or a ".join(kind.__name__ for kind in kinds)}, but got {value!r}'
            )


def _check_repetition(items: Any, key: str) -> None:
    for index, item in enumerate(items if isinstance(items, (list, tuple)) else []):
        if isinstance(item, dict) and item in items[:index]:
            raise ConfigurationError(
                f'{key}[{index}] is the same as {key}[{items.index(item)}], {dict(item)!r}, and '
                f'would act twice'
            )


def _check_typed(value: Any, key: str, registry: Registry, scope: str | None) -> None:
    if not isinstance(value, dict):
        # Objects that are built already, as in configs written in pure Python.
        if isinstance(value, (str, int, float, list, tuple, type(None))):
            raise ConfigurationError(f'{key} must be a dict with a "type", but got {value!r}')
        return
    if 'type' not in value:
        raise ConfigurationError(f'{key} lacks the key "type"; it is {dict(value)!r}')
    check_arguments(value, key, registry, scope, registered=True)


def _check_hook(hook: Any, key: str, scope: str | None) -> None:
    _check_typed(hook, key, HOOKS, scope)
    if not isinstance(hook, dict):
        return
    if isinstance(hook.get('priority'), str):
        check_choice(hook['priority'].upper(), Priority.__members__, f'{key}.priority')
    if class_of(hook['type'], HOOKS, scope) is not CheckpointHook:
        return
    # The hook hands other keys to Runner.save_checkpoint, which refuses them after an epoch.
    check_keys(hook, ['type', 'priority', '_scope_', *parameters_of(CheckpointHook)], key)
    given = hook.get('backend_args')
    if isinstance(given, dict) and 'backend' in given:
        check_choice(given['backend'], backends, f'{key}.backend_args.backend')


def _check_loader(loader: dict | None, key: str, scope: str | None) -> None:
    if not loader:
        return
    own = {name: value for name, value in loader.items() if name not in LOADER_PARTS}
    check_arguments(own, key, DATASETS, scope, default=DataLoader)
    if 'batch_sampler' not in loader and 'batch_size' not in loader:
        raise ConfigurationError(f'{key} lacks the key "batch_size"')
    if 'batch_size' in own and own['batch_size'] is None:
        raise ConfigurationError(f'{key}.batch_size must be a positive integer, but got None')
    for name, registry in LOADER_PARTS.items():
        if name not in loader and name in ('dataset', 'sampler'):
            raise ConfigurationError(f'{key} lacks the key "{name}"')
        if name in loader and registry is not None:
            _check_typed(loader[name], f'{key}.{name}', registry, scope)


def _check_loop(loop: dict, scope: str | None) -> None:
    if 'type' in loop:
        _check_typed(loop, 'train_cfg', LOOPS, scope)
        return
    if not isinstance(loop.get('by_epoch'), bool):
        raise ConfigurationError(
            f'train_cfg.by_epoch must be True or False, but got {loop.get("by_epoch")!r}'
        )
    cls = EpochBasedTrainLoop if loop['by_epoch'] else IterBasedTrainLoop
    check_arguments(loop, 'train_cfg', LOOPS, scope, default=cls)


def _check_optimizer(wrapper: dict, scope: str | None) -> None:
    # With a constructor, or one dict for each of several optimizers, it may have any keys.
    if 'type' in wrapper:
        _check_typed(wrapper, 'optim_wrapper', OPTIM_WRAPPERS, scope)
    if not any(isinstance(value, dict) for value in wrapper.values()):
        raise ConfigurationError(
            f'optim_wrapper lacks the key "optimizer"; it is {dict(wrapper)!r}'
        )
    if 'optimizer' in wrapper:
        _check_typed(wrapper['optimizer'], 'optim_wrapper.optimizer', OPTIMIZERS, scope)
    if wrapper.get('paramwise_cfg') is not None and 'constructor' not in wrapper:
        check_keys(wrapper['paramwise_cfg'], PARAMWISE, 'optim_wrapper.paramwise_cfg')
    clip = wrapper.get('clip_grad')
    if isinstance(clip, dict):
        by_value = clip.get('type') == 'value'
        function = nn.utils.clip_grad_value_ if by_value else nn.utils.clip_grad_norm_
        known = parameters_of(function)
        own = {name: value for name, value in clip.items() if name != 'type'}
        check_keys(own, list(known)[1:], 'optim_wrapper.clip_grad')
        for name, value in own.items():
            check_value(value, known[name], f'optim_wrapper.clip_grad.{name}')
