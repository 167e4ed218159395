"""The class that a config names."""

from typing import Any


def type_name(cfg: Any) -> str:
    """The class name in a config's ``type``, without a scope; '' if there is none.

    ``cfg`` is a dict with a ``type``, or the type itself: a name, or a class as in MMEngine's
    Python-style configs.
    """
    kind = cfg.get('type', '') if isinstance(cfg, dict) else cfg
    return (kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))).split('.')[-1]
