"""Education distillation for MMRazor: a student that grows grade by grade (arXiv 2311.13811)."""

from edudistill_mm.compat import apply_patches
from edudistill_mm.version import __version__

apply_patches()

from edudistill_mm.registration import offer_modules, register_all_modules  # noqa: E402

offer_modules()

__all__ = ['__version__', 'register_all_modules']
