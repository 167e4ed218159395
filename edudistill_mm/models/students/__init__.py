from .fragmented_student import FragmentedStudent
from .teaching_reference import TeachingReference

__all__ = ['FragmentedStudent', 'TeachingReference']
