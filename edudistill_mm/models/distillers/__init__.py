from .teacher_view import TeacherView

__all__ = ['TeacherView']
