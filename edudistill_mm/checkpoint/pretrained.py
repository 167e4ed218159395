from typing import Any

from mmengine.model import PretrainedInit

from edudistill_mm.errors import ConfigurationError


def pretrained_of(init_cfg: Any) -> dict | None:
    """The first part of type ``Pretrained`` in an ``init_cfg``, a dict or a list of dicts.

    Raises:
        ConfigurationError: It names no checkpoint.
    """
    for cfg in init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]:
        if isinstance(cfg, dict):
            kind = cfg.get('type')
            if kind is PretrainedInit or kind in ('Pretrained', 'mmengine.Pretrained'):
                if 'checkpoint' not in cfg:
                    raise ConfigurationError(
                        f'an init_cfg of type "Pretrained" lacks the key "checkpoint"; it is {dict(cfg)!r}'
                    )
                return cfg
    return None
