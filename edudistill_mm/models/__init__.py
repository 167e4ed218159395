from . import backbones  # noqa: F401
from .algorithms import EducationDistill
from .connectors import LogitStandardization
from .students import FragmentedStudent, TeachingReference, TokenTeachingReference

__all__ = [
    'EducationDistill',
    'FragmentedStudent',
    'LogitStandardization',
    'TeachingReference',
    'TokenTeachingReference',
]
