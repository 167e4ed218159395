import json
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from edudistill_mm.config.networks import network_config


def networks_in_files(cfg: Config) -> dict[str, Any]:
    """The networks of which a config names the file alone, as plain JSON-able data.

    What stands in such a file decides the result as much as the config that names it.

    Args:
        cfg (Config): The config of a training.

    Returns:
        dict[str, Any]: The model config of each, by the dotted key of its place.

    Raises:
        ConfigurationError: If a file cannot be read.
    """
    found = {key: network_config(spec, key).to_dict() for key, spec in _named(cfg.model, 'model')}
    return json.loads(json.dumps(found, default=str, sort_keys=True))


def _named(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    name = key.rsplit('.', 1)[-1]
    if name in ('architecture', 'student') and (
        isinstance(node, str) or (isinstance(node, dict) and 'cfg_path' in node)
    ):
        yield key, node
    elif isinstance(node, dict):
        for child, value in node.items():
            yield from _named(value, f'{key}.{child}')
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _named(value, f'{key}.{index}')
