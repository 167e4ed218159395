from .build_distiller import build_distiller
from .loss_checks import count_weights, reads_labels, warn_of_reductions
from .teacher_view import TeacherView

__all__ = ['TeacherView', 'build_distiller', 'count_weights', 'reads_labels', 'warn_of_reductions']
