"""The networks that a config names."""

import copy
from typing import Any

from mmengine.config import Config, ConfigDict

from edudistill_mm.models.network import build_network, read_network_config


def network_config(spec: str | dict, key: str) -> ConfigDict:
    """The model config of a network, in whichever way a config names it.

    Args:
        spec (str | dict): What :func:`edudistill_mm.models.network.build_network` takes, except a
            module.
        key (str): Where the spec stands, for the error message.

    Returns:
        ConfigDict: A config with a ``type``.

    Raises:
        ConfigurationError: If the config file that it names cannot be read.
    """
    given = ConfigDict(cfg_path=spec) if isinstance(spec, str) else ConfigDict(copy.deepcopy(spec))
    if 'type' in given:
        return given
    path = given.pop('cfg_path', None)
    given.pop('pretrained', None)
    model = read_network_config(path, False, key).model
    cfg = Config(dict(model=model))
    cfg.merge_from_dict(dict(model=given))
    return cfg.model


def untrained_network(architecture: Any, key: str) -> Any:
    """Build a network without the weights that its config may ask for.

    Args:
        architecture (str | dict): See :func:`network_config`.
        key (str): Where it stands, for the error message.

    Returns:
        nn.Module: The network with random weights.
    """
    config = network_config(architecture, key).to_dict()
    for part in (config, config.get('backbone')):
        if isinstance(part, dict) and 'pretrained' in part:
            part['pretrained'] = False
    return build_network(config, key)
