"""Parts of a config in one form, however it gives them."""

from typing import List

from mmengine.config import Config


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
