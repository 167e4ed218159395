"""Parts of a config in one form, however it gives them."""

from typing import Any, List

from mmengine.config import Config


def type_name(cfg: Any) -> str:
    """The class name that a config gives as its ``type``, without a scope; '' if there is none.

    Args:
        cfg (Any): A dict with a ``type``, or the type itself, a name or a class.
    """
    kind = cfg.get('type', '') if isinstance(cfg, dict) else cfg
    return (kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))).split('.')[-1]


def schedulers_of(cfg: Config) -> List[dict]:
    """The schedulers of the one optimizer of a config; those of several are given as a dict by
    name, and are none of these."""
    schedulers = cfg.get('param_scheduler')
    if isinstance(schedulers, dict):
        several = len(schedulers) > 0 and all(
            isinstance(value, (list, tuple, dict)) for value in schedulers.values()
        )
        return [] if several else [schedulers]
    return list(schedulers or [])
