"""Importing this module registers all of MMRazor.

MMEngine does so by itself for registries that name no modules.
"""

from mmrazor.utils import register_all_modules

register_all_modules(init_default_scope=False)
