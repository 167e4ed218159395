"""The names of the classes that a network's outputs stand for."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from mmpretrain.registry import DATASETS
from torch import nn

from edudistill_mm.errors import ConfigurationError


def names_in_config(cfg: Config, published: bool) -> tuple[str, ...] | None:
    """Class names of a config file's network: in ``metainfo``, or those of the data set's type.

    Only weights that were ``published`` with the config are sure to know the type's classes.
    """
    for split in ('test', 'val', 'train'):
        dataset = (cfg.get(f'{split}_dataloader') or {}).get('dataset') or {}
        names = as_names((dataset.get('metainfo') or {}).get('classes'))
        if names is None and published and 'type' in dataset:
            kind = dataset['type']
            cls = DATASETS.get(kind) if isinstance(kind, str) else kind
            names = as_names(getattr(cls, 'METAINFO', {}).get('classes'))
        if names is not None:
            return names
    return None


def remember_names(network: nn.Module, names: Sequence[str] | None) -> None:
    """Note the class names of a network's outputs where MMPretrain's ``get_model`` notes them."""
    if names is not None:
        network._dataset_meta = dict(classes=tuple(names))


def names_of(network: nn.Module) -> tuple[str, ...] | None:
    """The class names noted by :func:`remember_names` or by MMPretrain's ``get_model``."""
    return as_names((getattr(network, '_dataset_meta', None) or {}).get('classes'))


def as_names(value: Any) -> tuple[str, ...] | None:
    """A list of class names as a tuple; None for anything else."""
    if isinstance(value, (list, tuple)) and value and all(isinstance(x, str) for x in value):
        return tuple(value)
    return None


def find_names(wanted: Sequence[str], names: Sequence[str]) -> list[int | None]:
    """The place of each wanted name in another list, whatever case, "_", "-" or blanks; else None.

    Raises:
        ConfigurationError: If a name is there more often than it is wanted, or if several names
            differ only in their spelling and some are wanted in another spelling.
    """
    places: list[int | None] = [None] * len(wanted)
    # First as they are spelt: "cat" may stand beside "Cat". Then in any spelling.
    for spelt in (str, plain_name):
        asked, there = defaultdict(list), defaultdict(list)
        for index, name in enumerate(wanted):
            if places[index] is None:
                asked[spelt(name)].append(index)
        for place, name in enumerate(names):
            if place not in places:
                there[spelt(name)].append(place)
        for name, indices in asked.items():
            found = there[name]
            # Some lists of ImageNet's classes have one name for two of them.
            alike = len({wanted[i] for i in indices}) == len({names[i] for i in found}) == 1
            if len(found) == 1 or (len(found) == len(indices) and alike):
                for index, place in zip(indices, found):
                    places[index] = place
            elif spelt is plain_name and found:
                raise ConfigurationError(f'{len(found)} of them are called "{name}"')
    return places


def plain_name(name: str) -> str:
    """A class name without what its spellings differ in."""
    return ' '.join(name.casefold().replace('_', ' ').replace('-', ' ').split())
