from edudistill_mm.registry import MODELS, register

from .build_student import build_student
from .fragmented_student import FragmentedStudent
from .grade_student import GradeStudent
from .teaching_reference import TeachingReference
from .token_teaching_reference import TokenTeachingReference

# Registered here, because the file of the class must not import this package.
register(MODELS)(GradeStudent)

__all__ = [
    'FragmentedStudent',
    'GradeStudent',
    'TeachingReference',
    'TokenTeachingReference',
    'build_student',
]
