from .distiller_config import check_distiller_config, check_loss_arguments
from .loss_checks import count_weights, reads_labels, warn_of_reductions
from .teacher_view import TeacherView

__all__ = [
    'TeacherView',
    'check_distiller_config',
    'check_loss_arguments',
    'count_weights',
    'reads_labels',
    'warn_of_reductions',
]
