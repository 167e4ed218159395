"""What a config says of several ranks."""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from edudistill_mm.errors import ConfigurationError, did_you_mean


def wrap_for_ranks(cfg: Config) -> None:
    """Complete ``model_wrapper_cfg``; what the user has set stays.

    Args:
        cfg (Config): The config, changed in place.
    """
    if cfg.get('model_wrapper_cfg') is None:
        # What MMEngine takes without a model_wrapper_cfg.
        cfg.model_wrapper_cfg = ConfigDict(broadcast_buffers=False)
    wrapper = cfg.model_wrapper_cfg
    wrapper.setdefault('type', 'MMDistributedDataParallel')
    # The references of other grades get no gradient, nor do connectors to a teacher without rows.
    wrapper.setdefault('find_unused_parameters', cfg.get('find_unused_parameters', True))
    if not torch.cuda.is_available():
        wrapper.setdefault('device_ids', None)


def check_ranks(cfg: Config, algorithm: nn.Module) -> None:
    """Refuse what several processes, or other runners, cannot do with a curriculum.

    Args:
        cfg (Config): Config of a run, completed by :func:`wrap_for_ranks`.
        algorithm (nn.Module): Its :class:`EducationDistill`.

    Raises:
        ConfigurationError: For the first setting that cannot work.
    """
    runner = cfg.get('runner_type', 'EducationRunner')
    if runner not in ('Runner', 'EducationRunner'):
        hint = '' if runner == 'FlexibleRunner' else did_you_mean(runner, ['EducationRunner'])
        raise ConfigurationError(
            f'runner_type is "{runner}"{hint}, but EducationDistill needs "EducationRunner": a '
            'FlexibleRunner loads checkpoints before hooks can check them and cannot rebuild schedules, and '
            'its FSDP lets weight decay change what a grade does not train; several processes work by '
            '--launcher'
        )
    if cfg.get('launcher', 'none') == 'none':
        return
    _check_wrapper(cfg.model_wrapper_cfg, algorithm)
    sync_bn = cfg.get('sync_bn')
    if sync_bn not in (None, 'torch', 'mmcv'):
        raise ConfigurationError(
            f'sync_bn must be "torch" or "mmcv", but got {sync_bn!r}'
            f'{did_you_mean(sync_bn, ("torch", "mmcv"))}'
        )
    if not torch.cuda.is_available():
        where = 'sync_bn' if sync_bn else next(_synchronised(algorithm), None)
        if where is not None:
            raise ConfigurationError(
                f'{where} asks for synchronised BatchNorm, which torch computes on GPUs only, and there '
                f'is none; leave it out'
            )


def _synchronised(algorithm: nn.Module) -> Iterator[str]:
    for name, module in algorithm.named_modules():
        if isinstance(module, nn.SyncBatchNorm):
            yield f'model.{name}'


def _check_wrapper(wrapper: ConfigDict, algorithm: nn.Module) -> None:
    kind = wrapper.type
    cls = MODEL_WRAPPERS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(cls, type) and issubclass(cls, MMDistributedDataParallel)):
        raise ConfigurationError(
            f'model_wrapper_cfg.type must be "MMDistributedDataParallel" or a class derived from it, '
            f'because a grade trains a part of the parameters, but got "{kind}"'
        )
    reason = _why_use_changes(algorithm)
    for key, needed in (('static_graph', False), ('find_unused_parameters', True)):
        given = wrapper.get(key, False)
        if reason is not None and bool(given) != needed:
            raise ConfigurationError(
                f'model_wrapper_cfg.{key} must be {needed}, because {reason}, but got {given!r}'
            )


def _why_use_changes(algorithm: nn.Module) -> Any:
    """Why some parameters get a gradient in some steps only; None if they do not."""
    if algorithm.curriculum.fragments > 1:
        return 'each grade trains the fragments and the reference of its depth only'
    connected = any(
        parameter.requires_grad
        for distiller in algorithm.distillers.values()
        for parameter in distiller.parameters()
    )
    teachers = algorithm.faculty.teachers
    changes = any(g.new_teachers or g.leaving for g in algorithm.curriculum.grades[1:])
    if connected and (changes or not all(teacher.is_generalist for teacher in teachers)):
        return 'the connectors to a teacher are trained when it has samples only'
    return None
