from .loss_checks import warn_of_reductions
from .teacher_view import TeacherView

__all__ = ['TeacherView', 'warn_of_reductions']
