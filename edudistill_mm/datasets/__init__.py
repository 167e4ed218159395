from .class_subset import ClassSubset
from .digits import Digits
from .samplers import GradeSampler

__all__ = ['ClassSubset', 'Digits', 'GradeSampler']
