from .samplers import GradeSampler

__all__ = ['GradeSampler']
