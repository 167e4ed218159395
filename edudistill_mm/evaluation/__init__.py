from .grade_accuracy import GradeAccuracy

__all__ = ['GradeAccuracy']
