from . import backbones  # noqa: F401
from .algorithms import EducationDistill
from .students import FragmentedStudent, TeachingReference

__all__ = ['EducationDistill', 'FragmentedStudent', 'TeachingReference']
