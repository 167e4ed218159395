from .logit_standardization import LogitStandardization

__all__ = ['LogitStandardization']
