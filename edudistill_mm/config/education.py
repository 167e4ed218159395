"""Whether a config is that of an education, and who teaches what in it."""

import copy
import os.path as osp
from typing import List

from mmengine.config import Config

from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.algorithms import EducationDistill
from edudistill_mm.models.teachers import Faculty
from edudistill_mm.type_name import type_name


def is_missing(teacher: dict) -> bool:
    """Whether a teacher's checkpoint is a local file that does not exist."""
    ckpt = teacher.get('ckpt')
    return bool(ckpt) and '://' not in ckpt and not osp.exists(ckpt)


def is_education(cfg: Config) -> bool:
    """Whether a config trains by :class:`EducationDistill`, as those of plain distillation do once
    they are loaded."""
    return type_name(cfg.model) == 'EducationDistill'


def curriculum_of(cfg: Config) -> Curriculum:
    """The curriculum of a config of :class:`EducationDistill`.

    Raises:
        ConfigurationError: If the config has none, or one that is not valid.
    """
    if not is_education(cfg):
        raise ConfigurationError(
            f'model.type must be "EducationDistill" here, but is "{type_name(cfg.model)}"'
        )
    EducationDistill.check_keys(cfg.model)
    if cfg.model.get('curriculum') is None:
        raise ConfigurationError(
            'model.curriculum is missing: EducationDistill needs a dict with "grades"'
        )
    return Curriculum.from_cfg(cfg.model.curriculum, teachers=Faculty.names(teachers_of(cfg)))


def teachers_of(cfg: Config) -> List[dict]:
    """The configs of a run's teachers, in the form of ``model.teachers``."""
    teacher = cfg.model.get('teacher')
    if teacher is not None:
        return [dict(name='teacher', architecture=teacher, ckpt=cfg.model.get('teacher_ckpt'))]
    Faculty.names(cfg.model.get('teachers'))
    return list(cfg.model.get('teachers') or [])


def strip_teachers(cfg: Config) -> Config:
    """Copy a config without its teachers and what speeds up training, for work that needs the
    student only."""
    cfg = copy.deepcopy(cfg)
    for key in ('teacher', 'teacher_ckpt', 'teachers', 'distiller', 'channels_last'):
        cfg.model.pop(key, None)
    for grade in cfg.model.curriculum.grades:
        grade.pop('teachers', None)
    return cfg
