from .faculty import Faculty
from .lesson import Lesson
from .self_teacher import SelfTeacher
from .teacher import Teacher

__all__ = ['Faculty', 'Lesson', 'SelfTeacher', 'Teacher']
