from .base_teacher import BaseTeacher
from .faculty import Faculty
from .lesson import Lesson
from .self_teacher import SelfTeacher
from .teacher import Teacher
from .teacher_ensemble import TeacherEnsemble

__all__ = ['BaseTeacher', 'Faculty', 'Lesson', 'SelfTeacher', 'Teacher', 'TeacherEnsemble']
