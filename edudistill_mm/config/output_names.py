"""Class names of teachers that have not been loaded."""

from typing import Any

from torch import nn

from edudistill_mm.checkpoint.download import resolve_checkpoint
from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.datasets.class_lists import class_names_of
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.class_names import names_in_config, remember_names
from edudistill_mm.models.network import dry_run, read_network_config


def note_output_names(network: nn.Module, teacher: dict, count: int, key: str) -> None:
    """Note on an untrained network the class names of its weights, if names choose its outputs.

    Names do where ``outputs`` are names, or where none are given and the network has more outputs
    than the teacher has classes. The checkpoint is read in no other case.

    Args:
        network (nn.Module): The network.
        teacher (dict): The teacher's config. If its checkpoint is a file, it is there.
        count (int): Number of the teacher's classes.
        key (str): Where the teacher stands in the config, for error messages.

    Raises:
        ConfigurationError: If the checkpoint cannot be read.
    """
    outputs = teacher.get('outputs')
    if outputs is None:
        width = _width(network)
        wanted = width is not None and width > count
    else:
        wanted = isinstance(outputs, (list, tuple)) and isinstance(next(iter(outputs), None), str)
    if not wanted:
        return
    names, spec, ckpt = None, teacher['architecture'], teacher.get('ckpt')
    if not ckpt and isinstance(spec, dict) and isinstance(spec.get('pretrained'), str):
        ckpt = spec['pretrained']
    if ckpt:
        try:
            names = class_names_of(load_checkpoint_file(resolve_checkpoint(str(ckpt))))
        except ConfigurationError as error:
            raise ConfigurationError(f'{key}.ckpt: {error}') from error
    path = spec.get('cfg_path') if isinstance(spec, dict) else str(spec)
    if names is None and path is not None:
        cfg = read_network_config(path, False, f'{key}.architecture')
        names = names_in_config(cfg, published=not ckpt)
    remember_names(network, names)


def _width(network: nn.Module) -> int | None:
    """Number of outputs of a classifier, if it can be run."""

    def width(image: Any) -> int | None:
        scores = network(image, mode='tensor')
        return scores.shape[-1] if hasattr(scores, 'shape') and scores.ndim == 2 else None

    try:
        return dry_run(network, width)
    except RuntimeError:
        return None
