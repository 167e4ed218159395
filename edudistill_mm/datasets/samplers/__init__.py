from .grade_sampler import GradeSampler

__all__ = ['GradeSampler']
