from typing import Any

from mmengine.model import PretrainedInit


def pretrained_of(init_cfg: Any) -> dict | None:
    """The first part of type ``Pretrained`` in an ``init_cfg``, a dict or a list of dicts."""
    for cfg in init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]:
        if isinstance(cfg, dict):
            kind = cfg.get('type')
            if kind is PretrainedInit or kind in ('Pretrained', 'mmengine.Pretrained'):
                return cfg
    return None
