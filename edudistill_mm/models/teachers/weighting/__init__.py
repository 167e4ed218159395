from .average_weighting import AverageWeighting
from .entropy_weighting import EntropyWeighting  # isort: split

from .confidence_weighting import ConfidenceWeighting
from .teacher_weighting import TeacherWeighting

# Messages list the weightings in this order, that of registration.
__all__ = ['AverageWeighting', 'EntropyWeighting', 'ConfidenceWeighting', 'TeacherWeighting']
