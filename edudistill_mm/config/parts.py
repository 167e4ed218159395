"""Parts of a config in one form, however it gives them."""

import os.path as osp
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from edudistill_mm.type_name import type_name


def schedulers_of(cfg: Config) -> list[dict]:
    """The schedulers of a config with one optimizer; none where a dict has those of several."""
    schedulers = cfg.get('param_scheduler')
    if isinstance(schedulers, dict):
        several = len(schedulers) > 0 and all(
            isinstance(value, (list, tuple, dict)) for value in schedulers.values()
        )
        return [] if several else [schedulers]
    return list(schedulers or [])


def hooks_of(cfg: Config) -> list[dict]:
    """All hooks of a config, the default ones first."""
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    return [hook for hook in hooks if hook is not None]


def without_hook(cfg: Config, name: str) -> list[dict]:
    """The custom hooks of a config, except those of one type."""
    return [hook for hook in cfg.get('custom_hooks') or [] if type_name(hook) != name]


def innermost(loader: dict | None) -> Any:
    """The config of a data loader's data set, below wrappers such as RepeatDataset, if it has one."""
    dataset = (loader or {}).get('dataset')
    while isinstance(dataset, dict) and isinstance(dataset.get('dataset'), dict):
        dataset = dataset['dataset']
    return dataset


def metrics_of(evaluator: Any) -> list:
    """The metrics of an evaluator's config."""
    metrics = evaluator if evaluator is not None else []
    if isinstance(metrics, dict):
        metrics = metrics.get('metrics', [metrics])
    return [metrics] if isinstance(metrics, dict) else list(metrics)


def without_metric(evaluator: Any, name: str) -> list[dict]:
    """The metrics of an evaluator's config, except those of one type."""
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]
    return [metric for metric in metrics if type_name(metric) != name]


def types_in(node: Any) -> Iterator[str]:
    """All class names that a config gives as a ``type``."""
    if isinstance(node, dict):
        if 'type' in node:
            yield type_name(node)
        for value in node.values():
            yield from types_in(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from types_in(value)


def is_missing(teacher: dict) -> bool:
    """Whether a teacher's checkpoint is a local file that does not exist."""
    ckpt = teacher.get('ckpt') or ''
    return bool(ckpt) and '://' not in ckpt and not osp.exists(ckpt)
