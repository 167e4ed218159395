"""The class that a config names, in whichever way it does."""

from typing import Any


def type_name(cfg: Any) -> str:
    """The class name that a config gives as its ``type``, without a scope; '' if there is none.

    Args:
        cfg (Any): A dict with a ``type``, or the type itself: a name, or the class as MMEngine's
            Python-style configs give it.
    """
    kind = cfg.get('type', '') if isinstance(cfg, dict) else cfg
    return (kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))).split('.')[-1]
