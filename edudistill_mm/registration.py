"""How the classes of this package get into the registries."""

import sys
from importlib import import_module

from mmengine.registry import DefaultScope, Registry

from edudistill_mm import registry

NODES = (
    'MODELS',
    'DATASETS',
    'DATA_SAMPLERS',
    'FUNCTIONS',
    'HOOKS',
    'METRICS',
    'OPTIM_WRAPPERS',
    'RUNNERS',
)
PACKAGES = ('mmengine', 'mmpretrain', 'mmrazor')
# MMEngine imports all of MMRazor for registries that name no modules: with the modules of this
# package, they have to name MMRazor's as well.
MMRAZOR = 'edudistill_mm.mmrazor_modules'


def register_all_modules(init_default_scope: bool = False) -> None:
    """Import every module of this package that registers a class.

    Args:
        init_default_scope (bool): Whether to set the default scope, too: to ``mmpretrain``, from
            which the bare names of this package, MMPretrain and MMEngine are found. Defaults to
            False.
    """
    for name in NODES:
        for location in getattr(registry, name)._locations:
            import_module(location)
    if init_default_scope and DefaultScope.get_current_instance() is None:
        DefaultScope.get_instance('edudistill_mm', scope_name='mmpretrain')


def offer_modules() -> None:
    """Let the registries of MMEngine, MMPretrain and MMRazor find the names of this package, too.

    Their modules are imported when one of the registries looks for a name. MMPretrain's registries
    get them once they exist.
    """
    for package in PACKAGES:
        module = sys.modules.get(f'{package}.registry')
        for name in NODES if module is not None else ():
            node: Registry | None = getattr(module, name, None)
            if node is None:
                continue  # MMRazor has no FUNCTIONS
            wanted = getattr(registry, name)._locations
            if not node._locations and package == 'mmrazor':
                wanted = [MMRAZOR, *wanted]
            missing = [location for location in wanted if location not in node._locations]
            if missing:
                # A new list: MMEngine gives all registries without locations one and the same.
                node._locations = [*node._locations, *missing]
                node._imported = False
