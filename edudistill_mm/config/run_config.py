import copy
from dataclasses import dataclass
from functools import cached_property

from mmengine.config import Config
from torch import nn

from edudistill_mm.config.parts import is_missing
from edudistill_mm.config.without_weights import begin_without_weights
from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.algorithms import EducationDistill
from edudistill_mm.models.network import build_module
from edudistill_mm.models.teachers import Faculty
from edudistill_mm.type_name import type_name


@dataclass(frozen=True, eq=False)
class RunConfig:
    """A complete config with the answers to what all ask of it, each found once.

    What depends on the machine may still be set in ``cfg``. A config with other grades or teachers
    needs a :class:`RunConfig` of its own.

    Args:
        cfg (Config): What :func:`~edudistill_mm.config.complete.complete_config` has completed.
    """

    cfg: Config

    @cached_property
    def is_education(self) -> bool:
        """bool: Whether it trains by :class:`EducationDistill`, as plain distillation does, too."""
        return type_name(self.cfg.model) == 'EducationDistill'

    @cached_property
    def curriculum(self) -> Curriculum:
        """Curriculum: That of an education.

        Raises:
            ConfigurationError: If there is none, or one that is not valid.
        """
        model = self.cfg.model
        if not self.is_education:
            raise ConfigurationError(
                f'model.type must be "EducationDistill" here, but is "{type_name(model)}"'
            )
        EducationDistill.check_keys(model)
        if model.get('curriculum') is None:
            raise ConfigurationError(
                'model.curriculum is missing: EducationDistill needs a dict with "grades"'
            )
        return Curriculum.from_cfg(model.curriculum, teachers=Faculty.names(self.teachers))

    @cached_property
    def teachers(self) -> tuple[dict, ...]:
        """tuple[dict]: The configs of the teachers, in the form of ``model.teachers``."""
        model = self.cfg.model
        if model.get('teacher') is not None:
            ckpt = model.get('teacher_ckpt')
            return (dict(name='teacher', architecture=model.teacher, ckpt=ckpt),)
        Faculty.names(model.get('teachers'))
        return tuple(model.get('teachers') or ())

    @property
    def missing_teachers(self) -> list[dict]:
        """list[dict]: The teachers whose checkpoint is a local file that does not exist."""
        return [teacher for teacher in self.teachers if is_missing(teacher)]

    def build_without_teachers(self) -> nn.Module:
        """Build the algorithm of an education without its teachers."""
        return build_module(self.without_teachers().cfg.model.to_dict(), 'model', 'mmpretrain')

    def without_teachers(self) -> 'RunConfig':
        """Copy an education without its teachers, for work on a trained student only.

        What the student has begun with need not be there any more.
        """
        cfg = copy.deepcopy(self.cfg)
        of_teachers = ('teacher', 'teacher_ckpt', 'teachers', 'distiller', 'keep_answers')
        for key in (*of_teachers, 'teacher_ensemble', 'channels_last'):
            cfg.model.pop(key, None)
        for grade in cfg.model.curriculum.grades:
            for key in ('teachers', 'leave', 'temperature'):
                grade.pop(key, None)
        part = cfg.model
        while isinstance(part, dict):
            begin_without_weights(part)
            part = part.get('architecture') or part.get('student')
        return RunConfig(cfg)
