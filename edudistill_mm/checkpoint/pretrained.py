"""The checkpoint that an ``init_cfg`` names."""

from typing import Any

from mmengine.model import PretrainedInit


def pretrained_of(init_cfg: Any) -> dict | None:
    """The part of an ``init_cfg`` that names a checkpoint.

    Args:
        init_cfg (Any): A dict, a list of dicts, or anything else.

    Returns:
        dict | None: The first one of type ``Pretrained``.
    """
    for cfg in init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]:
        if isinstance(cfg, dict):
            kind = cfg.get('type')
            if kind is PretrainedInit or kind in ('Pretrained', 'mmengine.Pretrained'):
                return cfg
    return None
