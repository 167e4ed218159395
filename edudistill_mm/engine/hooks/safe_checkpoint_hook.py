import contextlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner, find_latest_checkpoint

from ...errors import ConfigurationError
from ...registry import HOOKS, register
from ..agreement import check_agreement
from ..checkpoint import file_sha256, load_checkpoint_file, mmengine_globals, resolve_checkpoint


@register(HOOKS)
class SafeCheckpointHook(Hook):
    """Write checkpoints of tensors and plain Python values, and check a checkpoint before it is
    loaded.

    MMEngine's training checkpoints hold pickled ``HistoryBuffer`` objects and numpy numbers, which
    ``torch.load(weights_only=True)``, the default since torch 2.6, refuses. With this hook the log
    history is written as tensors, and numpy numbers as Python's; when the ``Runner`` resumes, the
    history is back before the ``Runner`` asks for it. A value that has no plain form is left out
    with a warning that names it.

    A file that the ``Runner`` is told to load or to resume from is read by
    :func:`~edudistill_mm.engine.checkpoint.load_checkpoint_file` before training begins, and a URL
    is downloaded first, because MMEngine lets downloaded files run code. ``meta['config']`` of a
    file is dropped, because ``Runner.resume`` executes it.

    The hook has the lowest priority: what other hooks put into a checkpoint is there when it makes
    the checkpoint plain. For the same reason other hooks see the log history in its plain form in
    ``after_load_checkpoint``.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._allowed = contextlib.ExitStack()
        self._left_out: set[str] = set()

    def before_run(self, runner: Runner) -> None:
        """Check the file that the runner is about to load.

        Raises:
            ConfigurationError: The file is missing, damaged or wants to run code.
        """
        # MMEngine writes the config into each checkpoint, formatted by yapf, which takes seconds
        # every time for a config with several networks; the log and the dumped file have been
        # formatted already.
        object.__setattr__(runner.cfg, '_format_python_code', False)
        if runner._has_loaded:
            return
        if runner._load_from is not None:
            path = runner._load_from = resolve_checkpoint(runner._load_from)
        else:
            path = find_latest_checkpoint(runner.work_dir) if runner._resume else None
        if get_world_size() > 1:
            readable = path is not None and os.path.isfile(path)
            check_agreement(
                {'checkpoint to load': file_sha256(path) if readable else 'none'},
                'all must see the same files',
            )
        if path is not None:
            load_checkpoint_file(path)
            # A training checkpoint that was written without this hook needs these when the runner
            # reads it.
            self._allowed.enter_context(mmengine_globals())

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Make everything in ``checkpoint`` plain but the weights, which are tensors already."""
        weights = {
            key: checkpoint[key] for key in ('state_dict', 'ema_state_dict') if key in checkpoint
        }
        rest = {key: value for key, value in checkpoint.items() if key not in weights}
        checkpoint.update(self._plain_dict(runner, rest, path=''))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn the log history back into ``HistoryBuffer`` objects and drop what would be
        executed."""
        self._allowed.close()
        checkpoint.get('meta', {}).pop('config', None)
        scalars = checkpoint.get('message_hub', {}).get('log_scalars', {})
        for name, value in scalars.items():
            if isinstance(value, dict):
                scalars[name] = _history_of(name, value)

    def _plain_dict(self, runner: Runner, values: Mapping, path: str) -> dict:
        """Copy ``values`` in plain form without the entries that have none."""
        plain = {}
        for key, value in values.items():
            where = f'{path}.{key}' if path else str(key)
            try:
                plain[self._plain(runner, key, where)] = self._plain(runner, value, where)
            except TypeError as error:
                if where not in self._left_out:
                    self._left_out.add(where)
                    runner.logger.warning(f'checkpoints are written without "{where}": {error}')
        return plain

    def _plain(self, runner: Runner, value: Any, path: str) -> Any:
        """The plain form of ``value``; ``TypeError`` if it has none."""
        if isinstance(value, HistoryBuffer):
            log_history, count_history = (
                torch.from_numpy(np.array(numbers)) for numbers in value.data
            )
            return dict(
                log_history=log_history, count_history=count_history, max_length=value.max_length
            )
        if isinstance(value, (np.generic, np.ndarray)):
            return self._plain(runner, value.tolist(), path)
        if isinstance(value, Mapping):
            return self._plain_dict(runner, value, path)
        if isinstance(value, (list, tuple)):
            items = [self._plain(runner, item, path) for item in value]
            return items if isinstance(value, list) else tuple(items)
        if value is None or isinstance(value, (torch.Tensor, torch.dtype, torch.device)):
            return value
        if type(value) in (bool, int, float, str, bytes):
            return value
        raise TypeError(f'a {type(value).__name__} is neither a tensor nor a plain Python value')


def _history_of(name: str, plain: dict) -> HistoryBuffer:
    """Undo the plain form of the log history ``name``."""
    try:
        return HistoryBuffer(
            plain['log_history'].cpu().numpy(),
            plain['count_history'].cpu().numpy(),
            plain['max_length'],
        )
    except (KeyError, AttributeError, AssertionError, TypeError) as error:
        raise ConfigurationError(
            f'the checkpoint to load holds a log history "{name}" that this package did not write: {error}'
        ) from error
