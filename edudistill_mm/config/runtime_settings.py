"""The settings of a config that are about the runner itself, and the packages that they need."""

import logging
import multiprocessing
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config
from mmengine.registry import LOG_PROCESSORS
from mmengine.runner import LogProcessor, Runner
from mmengine.utils.dl_utils import set_multi_processing

from edudistill_mm.errors import ConfigurationError, did_you_mean
from edudistill_mm.type_name import type_name
from edudistill_mm.validation.arguments import check_arguments, check_scope, parameters_of
from edudistill_mm.validation.values import check_choice, check_keys, check_positive

# What each setting must be, and in words.
KINDS: dict[str, tuple[Any, str]] = dict(
    randomness=(dict, 'a dict'),
    env_cfg=(dict, 'a dict'),
    log_processor=(dict, 'a dict'),
    visualizer=(dict, 'a dict'),
    load_from=((str, os.PathLike), 'the path or URL of a checkpoint'),
    work_dir=((str, os.PathLike), 'the path of a folder'),
    experiment_name=(str, 'a name'),
    log_level=((str, int), 'the name of a level, such as "INFO"'),
)
ENVIRONMENT = ('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit')
# What MMEngine's backends import when the first line is written.
PACKAGES = dict(
    TensorboardVisBackend='tensorboard',
    WandbVisBackend='wandb',
    MLflowVisBackend='mlflow',
    ClearMLVisBackend='clearml',
    NeptuneVisBackend='neptune',
    DVCLiveVisBackend='dvclive',
    AimVisBackend='aim',
)


def check_runtime_settings(cfg: Config, scope: str | None) -> None:
    """Find values that the runner would only trip over while it is built.

    Args:
        cfg (Config): The config.
        scope (str, optional): Scope in which bare names of types are looked up.

    Raises:
        ConfigurationError: For the first of them.
    """
    for key, (kinds, words) in KINDS.items():
        value = cfg.get(key)
        # MMEngine has no default for a given None of these.
        needed = key == 'env_cfg' and key in cfg
        if (needed or value is not None) and (
            not isinstance(value, kinds) or isinstance(value, bool)
        ):
            raise ConfigurationError(f'{key} must be {words}, but got {value!r}')
    check_scope(cfg.get('default_scope'), 'default_scope', LOG_PROCESSORS)
    resume = cfg.get('resume', False)
    if not isinstance(resume, bool):
        raise ConfigurationError(
            f'resume must be True or False, but got {resume!r}; the checkpoint to go on from is named '
            'by --resume FILE, or by load_from beside resume=True'
        )
    if 'randomness' in cfg:
        _check_call(cfg.randomness, 'randomness', Runner.set_randomness, scope)
        seed = cfg.randomness.get('seed')
        if seed is not None and not (type(seed) is int and 0 <= seed < 2**32):
            raise ConfigurationError(
                f'randomness.seed must be an integer from 0 to 2**32 - 1, but got {seed!r}'
            )
    environment = cfg.get('env_cfg', {})
    check_keys(environment, ENVIRONMENT, 'env_cfg')
    for key in ('mp_cfg', 'dist_cfg'):
        part = environment.get(key, {})
        if not isinstance(part, dict):
            raise ConfigurationError(f'env_cfg.{key} must be a dict, but got {part!r}')
    processes = environment.get('mp_cfg', {})
    _check_call(processes, 'env_cfg.mp_cfg', set_multi_processing, scope)
    method, methods = processes.get('mp_start_method'), multiprocessing.get_all_start_methods()
    if method is not None:
        check_choice(method, methods, 'env_cfg.mp_cfg.mp_start_method')
    scaling = cfg.get('auto_scale_lr')
    if isinstance(scaling, dict) and scaling.get('base_batch_size') is not None:
        check_positive(scaling['base_batch_size'], 'auto_scale_lr.base_batch_size')
    level = cfg.get('log_level')
    levels = ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')
    if isinstance(level, str) and not isinstance(logging.getLevelName(level.upper()), int):
        raise ConfigurationError(
            f'log_level must be one of {", ".join(levels)}, but got {level!r}'
            f'{did_you_mean(level.upper(), levels)}'
        )
    check_arguments(
        cfg.get('log_processor'), 'log_processor', LOG_PROCESSORS, scope, default=LogProcessor
    )


def _check_call(arguments: Any, key: str, function: Callable, scope: str | None) -> None:
    """See that a dict can be the arguments of a function."""
    if not isinstance(arguments, dict):
        raise ConfigurationError(f'{key} must be a dict, but got {arguments!r}')
    known = [name for name in parameters_of(function) if name not in ('self', 'distributed')]
    check_keys(arguments, known, key)
    check_arguments(arguments, key, LOG_PROCESSORS, scope, default=function)


def check_packages(cfg: Config) -> None:
    """See that the packages are there into which a run shall log.

    Args:
        cfg (Config): The config of a run that is about to begin.

    Raises:
        ConfigurationError: One is not; the sentence says how to get it.
    """
    backends = (cfg.get('visualizer') or {}).get('vis_backends')
    for index, backend in enumerate(backends if isinstance(backends, (list, tuple)) else ()):
        package = PACKAGES.get(type_name(backend))
        if package is not None and find_spec(package) is None:
            raise ConfigurationError(
                f'visualizer.vis_backends[{index}] of type {type_name(backend)} needs {package}, which '
                f'is not there: run `pip install {package}`, or leave it out'
            )
