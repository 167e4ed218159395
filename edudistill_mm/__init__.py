"""Education distillation for MMRazor: a student that grows grade by grade (arXiv 2311.13811)."""

from edudistill_mm.compat import cure
from edudistill_mm.version import __version__

cure()

__all__ = ['__version__']
