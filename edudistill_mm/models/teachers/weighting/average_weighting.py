from edudistill_mm.registry import MODELS, register

from .teacher_weighting import TeacherWeighting


@register(MODELS)
class AverageWeighting(TeacherWeighting):
    """Teachers count by their ``weight`` alone, whatever the sample."""

    by_sample = False
