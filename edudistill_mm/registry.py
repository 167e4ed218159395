"""Registry nodes of edudistill_mm.

Every class of this package is registered twice under one name: in its own node, so that the scope
prefix ``edudistill_mm.`` works like that of any MM package, and in MMEngine's root, so that the
bare name is found from the default scope that users have (``mmpretrain``, ``mmrazor``).
"""

from collections.abc import Callable
from typing import TypeVar

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry

Registered = TypeVar('Registered', bound=Callable)

MODELS = Registry('model', parent=mmengine_registry.MODELS, locations=['edudistill_mm.models'])
DATASETS = Registry(
    'dataset', parent=mmengine_registry.DATASETS, locations=['edudistill_mm.datasets']
)
DATA_SAMPLERS = Registry(
    'data sampler', parent=mmengine_registry.DATA_SAMPLERS, locations=['edudistill_mm.datasets']
)
HOOKS = Registry('hook', parent=mmengine_registry.HOOKS, locations=['edudistill_mm.engine'])
RUNNERS = Registry('runner', parent=mmengine_registry.RUNNERS, locations=['edudistill_mm.engine'])
METRICS = Registry(
    'metric', parent=mmengine_registry.METRICS, locations=['edudistill_mm.evaluation']
)
FUNCTIONS = Registry(
    'function', parent=mmengine_registry.FUNCTIONS, locations=['edudistill_mm.datasets']
)
OPTIM_WRAPPERS = Registry(
    'optim wrapper', parent=mmengine_registry.OPTIM_WRAPPERS, locations=['edudistill_mm.engine']
)


def register(registry: Registry) -> Callable[[Registered], Registered]:
    """A decorator that registers in one of this module's nodes and in MMEngine's root."""

    def decorate(cls: Registered) -> Registered:
        registry.register_module(module=cls)
        registry.root.register_module(module=cls)
        return cls

    return decorate
