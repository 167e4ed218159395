"""Read a config file for a run."""

import os.path as osp

from mmengine.config import Config

from edudistill_mm.checkpoint.files import check_file
from edudistill_mm.compat import modernise, usual_recursion_limit
from edudistill_mm.config.complete import complete_config
from edudistill_mm.config.data import DATALOADERS, root_key
from edudistill_mm.config.overtaken import check_overtaken
from edudistill_mm.config.parts import innermost
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError, reason_of
from edudistill_mm.registration import register_all_modules


def load_config(path: str, options: dict | None = None, work_dir: str | None = None) -> RunConfig:
    """Read a config file for a run.

    Args:
        path (str): The file.
        options (dict, optional): Values by dotted key that override the file's. ``data_root``
            applies to the data sets of all data loaders. Defaults to None.
        work_dir (str, optional): Defaults to None: the config's ``work_dir``, or
            ``work_dirs/<name of the file>``.

    Returns:
        RunConfig: Its ``cfg`` has a ``work_dir`` and is completed by
        :func:`~edudistill_mm.config.complete.complete_config`.

    Raises:
        ConfigurationError: If the file or an option cannot be used.
    """
    # A config may name the classes of this package without custom_imports.
    register_all_modules()
    try:
        check_file(path, 'the config')
        with usual_recursion_limit():
            cfg = modernise(Config.fromfile(path))
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as error:
        # A config file is code: whatever it raises is the user's to mend.
        raise ConfigurationError(
            f'the config "{path}" cannot be read: {reason_of(error)}'
        ) from error
    if 'model' not in cfg:
        raise ConfigurationError(f'the config "{path}" has no "model"')
    options = dict(options or {})
    check_overtaken(path, cfg, options)
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AssertionError, AttributeError) as error:
        reason = reason_of(error)
        inside = [key for key in options if _is_inside_list(key, cfg, options)]
        beyond = next(filter(None, (_beyond_list(key, cfg) for key in options)), None)
        if inside:
            reason = (
                f'{" or ".join(inside)} changes an item of a list that holds plain values or is given by '
                'another option; give the whole list instead'
            )
        elif beyond is not None:
            reason = beyond
        raise ConfigurationError(f'--cfg-options do not fit the config: {reason}') from error
    if 'data_root' in options:
        for loader in DATALOADERS:
            dataset = innermost(cfg.get(loader))
            if root_key(dataset) is not None:
                dataset[root_key(dataset)] = options['data_root']
    name = osp.splitext(osp.basename(path))[0]
    cfg.work_dir = work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)
    return complete_config(cfg)


def _beyond_list(key: str, cfg: Config) -> str | None:
    """Say which list of the config is shorter than an option wants; None if none is."""
    node, place = cfg._cfg_dict, ''
    for part in key.split('.'):
        if isinstance(node, (list, tuple)) and part.isdigit() and int(part) >= len(node):
            return f'{key} is for item {part} of {place}, which has {len(node)}, counted from 0'
        if isinstance(node, dict):
            node = node.get(part)
        elif isinstance(node, (list, tuple)) and part.isdigit():
            node = node[int(part)]
        else:
            return None
        place = f'{place}.{part}' if place else part
    return None


def _is_inside_list(key: str, cfg: Config, options: dict) -> bool:
    """Whether an option changes an item of a list of plain values, or of another option's list."""
    if any(
        key.startswith(f'{other}.') and isinstance(value, (list, tuple))
        for other, value in options.items()
    ):
        return True
    node = cfg._cfg_dict
    for part in key.split('.'):
        if isinstance(node, dict):
            node = node.get(part)
        elif isinstance(node, (list, tuple)) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
            if not isinstance(node, dict):
                return True
    return False
