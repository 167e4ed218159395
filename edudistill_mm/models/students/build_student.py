from typing import Any

from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.network import build_module
from edudistill_mm.type_name import type_name

from .fragmented_student import FragmentedStudent


def build_student(architecture: Any, curriculum: Curriculum) -> FragmentedStudent:
    """Build a curriculum's student; a plain classifier becomes a :class:`FragmentedStudent`."""
    if isinstance(architecture, dict) and type_name(architecture) == 'FragmentedStudent':
        cfg = dict(architecture)
        if cfg.get('fragments', 'auto') in ('auto', 'blocks'):
            cfg.setdefault('num_fragments', curriculum.fragments)
        student = build_module(cfg, 'architecture', 'mmpretrain')
    elif isinstance(architecture, FragmentedStudent):
        student = architecture
    else:
        student = FragmentedStudent(architecture, num_fragments=curriculum.fragments)
    if student.num_fragments != curriculum.fragments:
        raise ConfigurationError(
            f'architecture.fragments has {student.num_fragments} fragments '
            f'({", ".join(student.cuts) or "of blocks"}), but the last grade of the curriculum has '
            f'fragments={curriculum.fragments}; they must be equal'
        )
    if student.num_classes != curriculum.num_classes:
        raise ConfigurationError(
            f'architecture.student has {student.num_classes} outputs, but curriculum.num_classes is '
            f'{curriculum.num_classes}; they must be equal'
        )
    student.first_depth = curriculum.grades[0].fragments
    return student
