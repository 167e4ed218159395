from . import backbones  # noqa: F401
from .algorithms import EducationDistill
from .students import FragmentedStudent, TeachingReference, TokenTeachingReference

__all__ = ['EducationDistill', 'FragmentedStudent', 'TeachingReference', 'TokenTeachingReference']
