from .faculty import Faculty
from .lesson import Lesson
from .previous_grade import PreviousGrade
from .self_teacher import SelfTeacher
from .teacher import Teacher

__all__ = ['Faculty', 'Lesson', 'PreviousGrade', 'SelfTeacher', 'Teacher']
