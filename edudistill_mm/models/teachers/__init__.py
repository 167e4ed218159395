from .faculty import Faculty
from .lesson import Lesson
from .teacher import Teacher

__all__ = ['Faculty', 'Lesson', 'Teacher']
