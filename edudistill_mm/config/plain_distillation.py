"""Plain distillation, run as a curriculum of one grade."""

import copy
from typing import Any

from mmengine.config import Config, ConfigDict

from edudistill_mm.config.classes import AUTO
from edudistill_mm.config.networks import network_config
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.type_name import type_name

# MMRazor's algorithms that EducationDistill equals bit for bit where there is one grade.
PLAIN_DISTILLATIONS = ('SingleTeacherDistill', 'OverhaulFeatureDistillation')
# What a config that is run so keeps of itself: the name of MMRazor's class.
MARK = 'plain_distillation'
GRADE = 'whole training'
HOOK = 'GradeSchedulerHook'


def run_as_one_grade(cfg: Config, kind: str) -> None:
    """Let a config of plain distillation train by :class:`EducationDistill`.

    With one grade of all classes its losses are MMRazor's bit for bit; and networks, teachers,
    checkpoints and students are then treated as in any other curriculum. The sampler stays the
    config's.

    Args:
        cfg (Config): A config whose model is one of :data:`PLAIN_DISTILLATIONS`, changed in place.
        kind (str): Name of that class.

    Raises:
        ConfigurationError: If the model has a curriculum already, or no teacher.
    """
    model = cfg.model
    if 'curriculum' in model:
        raise ConfigurationError(
            f'model.curriculum is given, but model.type is "{kind}", which has none; set '
            'model.type="EducationDistill"'
        )
    if model.get('teacher') is None and not model.get('teachers'):
        raise ConfigurationError(f'model.teacher is missing, from which {kind} distils')
    cfg[MARK] = kind
    model.type = 'EducationDistill'
    model.curriculum = ConfigDict(
        num_classes=_outputs(model.get('architecture')),
        grades=[dict(name=GRADE, fragments=1, classes='all')],
    )
    hooks = list(cfg.get('custom_hooks') or [])
    if not any(type_name(hook) == HOOK for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type=HOOK)]


def is_plain(cfg: Config) -> bool:
    """Whether a config is one of plain distillation that is run as a curriculum of one grade."""
    curriculum = cfg.model.get('curriculum')
    return bool(cfg.get(MARK)) and isinstance(curriculum, dict) and len(curriculum['grades']) == 1


def follow_loop(cfg: Config) -> None:
    """Give the one grade of plain distillation the length of the training loop.

    Args:
        cfg (Config): The config, changed in place; without effect for any other.
    """
    if not is_plain(cfg):
        return
    (grade,) = cfg.model.curriculum.grades
    loop = cfg.get('train_cfg') or {}
    by_iter = 'max_iters' in loop and 'max_epochs' not in loop
    unit, other = ('iters', 'epochs') if by_iter else ('epochs', 'iters')
    grade.pop(other, None)
    # A config without a loop can be tested and exported.
    grade[unit] = loop.get(f'max_{unit}', 1)


def as_written(cfg: Config) -> Config:
    """Copy a config of plain distillation with MMRazor's algorithm, as its file has it.

    Args:
        cfg (Config): Any config; others are copied as they are.

    Returns:
        Config: The copy.
    """
    cfg = copy.deepcopy(cfg)
    if is_plain(cfg):
        cfg.model.type = cfg.pop(MARK)
        cfg.model.pop('curriculum')
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if type_name(hook) != HOOK]
    return cfg


def _outputs(architecture: Any) -> Any:
    """Number of classes that a student's config gives its head; otherwise that of the data."""
    if not isinstance(architecture, (str, dict)):
        return AUTO
    network = network_config(architecture, 'model.architecture')
    for part in (network.get('head'), network):
        if isinstance(part, dict) and part.get('num_classes') is not None:
            return part['num_classes']
    return AUTO
