from .average_weighting import AverageWeighting
from .entropy_weighting import EntropyWeighting  # isort: split

from .confidence_weighting import ConfidenceWeighting
from .teacher_weighting import TeacherWeighting

# In this order, in which they are registered, messages name them.
__all__ = ['AverageWeighting', 'EntropyWeighting', 'ConfidenceWeighting', 'TeacherWeighting']
