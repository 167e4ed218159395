from .fragmented_student import FragmentedStudent
from .teaching_reference import TeachingReference
from .token_teaching_reference import TokenTeachingReference

__all__ = ['FragmentedStudent', 'TeachingReference', 'TokenTeachingReference']
