"""Importing this module registers all of MMRazor."""

from mmrazor.utils import register_all_modules

register_all_modules(init_default_scope=False)
