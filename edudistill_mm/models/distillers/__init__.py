from .loss_checks import check_mappings, warn_of_reductions
from .teacher_view import TeacherView

__all__ = ['TeacherView', 'check_mappings', 'warn_of_reductions']
