from .build_distillers import build_distillers
from .loss_checks import count_weights, reads_labels
from .teacher_view import TeacherView, mean_of
from .temperatures import Temperatures

__all__ = [
    'TeacherView',
    'Temperatures',
    'build_distillers',
    'count_weights',
    'mean_of',
    'reads_labels',
]
