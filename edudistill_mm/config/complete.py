"""Complete a config with what its run takes, and check it."""

from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, Registry

from edudistill_mm.config.check_values import check_forms, check_values
from edudistill_mm.config.classes import fill_in_classes
from edudistill_mm.config.count_iterations import count_iterations
from edudistill_mm.config.hold_out import hold_out
from edudistill_mm.config.parts import hooks_of
from edudistill_mm.config.plain_distillation import (
    PLAIN_DISTILLATIONS,
    follow_loop,
    run_as_one_grade,
)
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.algorithms import EducationDistill
from edudistill_mm.models.teachers import Faculty
from edudistill_mm.settings import SAFETY_HOOKS
from edudistill_mm.type_name import type_name

LOOPS_OF_MMRAZOR = ('SingleTeacherDistillValLoop', 'SelfDistillValLoop')


def complete_config(cfg: Config) -> RunConfig:
    """Complete a config with what its run takes, and check its values.

    It gets the hooks that keep checkpoints free of code and of numbers that are not finite and
    leave plain students beside them, logs and checkpoints in iterations where the loop counts those, the
    two parts of the training data that ``hold_out`` asks for,
    a curriculum of one grade in the place of MMRazor's plain distillation, the number of classes of
    the data in the place of each ``num_classes='auto'``, and ``dataset_name`` in the place of each
    ``{dataset}`` in the path of a teacher's checkpoint. A config that is complete stays as it is.

    Args:
        cfg (Config): The config, with a ``model``; changed in place.

    Returns:
        RunConfig: The config with what it says of the run.

    Raises:
        ConfigurationError: If a value cannot be used.
    """
    check_forms(cfg)
    hold_out(cfg)
    for split in ('train', 'val', 'test'):
        _name_scope(cfg.get(f'{split}_dataloader'), DATASETS)
        collate = (cfg.get(f'{split}_dataloader') or {}).get('collate_fn')
        if isinstance(collate, dict):
            # MMEngine notes it in what is inherited by ``package::``, and hands it to the function.
            collate.pop('_scope_', None)
        _name_scope(cfg.get(f'{split}_evaluator'), METRICS)
    if type_name(cfg.model) in PLAIN_DISTILLATIONS:
        run_as_one_grade(cfg, type_name(cfg.model))
    follow_loop(cfg)
    count_iterations(cfg)
    run = RunConfig(cfg)
    if run.is_education:
        EducationDistill.check_keys(cfg.model)
        Faculty.names(cfg.model.get('teachers'))
    fill_in_classes(cfg)
    _name_checkpoints(cfg)
    check_values(cfg)
    if run.is_education and type_name(cfg.get('val_cfg') or {}) in LOOPS_OF_MMRAZOR:
        # They read a teacher that is part of the model, or put 'student.' before all metrics.
        cfg.val_cfg = {k: v for k, v in cfg.val_cfg.items() if k not in ('type', '_scope_')}
    # The default hooks of the bases that users bring (MMPretrain's, MMRazor's) do not have them.
    for kind in (*SAFETY_HOOKS, 'StudentCheckpointHook') if run.is_education else SAFETY_HOOKS:
        if not any(type_name(hook) == kind for hook in hooks_of(cfg)):
            cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type=kind)]
    return run


def _name_checkpoints(cfg: Config) -> None:
    """Put ``dataset_name`` into the paths of teachers' checkpoints that say ``{dataset}``."""
    named = [(teacher, 'ckpt') for teacher in cfg.model.get('teachers') or []]
    named.append((cfg.model, 'teacher_ckpt'))
    for owner, key in named:
        ckpt = owner.get(key) if isinstance(owner, dict) else None
        if not isinstance(ckpt, str) or '{dataset}' not in ckpt:
            continue
        if not isinstance(cfg.get('dataset_name'), str):
            raise ConfigurationError(
                f'the checkpoint "{ckpt}" of a teacher takes the name of the data set from '
                f'dataset_name, which the config must give, but it is {cfg.get("dataset_name")!r}'
            )
        owner[key] = ckpt.replace('{dataset}', cfg.dataset_name)


def _name_scope(node: Any, registry: Registry) -> None:
    """Look for a data set or a metric in MMPretrain if MMRazor does not have it.

    MMEngine takes what a config inherits by ``mmrazor::`` for MMRazor's, but MMRazor's own bases
    name data sets and metrics of MMPretrain.
    """
    if not isinstance(node, dict):
        return
    if node.get('_scope_') == 'mmrazor' and isinstance(node.get('type'), str):
        with registry.switch_scope_and_registry('mmrazor') as own:
            if own.get(node['type']) is None:
                node['_scope_'] = 'mmpretrain'
    _name_scope(node.get('dataset'), registry)
