from .education_distill import EducationDistill

__all__ = ['EducationDistill']
