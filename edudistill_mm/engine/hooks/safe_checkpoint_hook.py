import contextlib
import os.path as osp
from collections.abc import Mapping
from typing import Any, Optional

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint

from ...checkpoint.download import SCHEME, resolve_checkpoint
from ...checkpoint.files import file_sha256
from ...checkpoint.form import check_form
from ...checkpoint.harmless_globals import harmless_globals
from ...checkpoint.load import load_checkpoint_file
from ...checkpoint.load_checks import check_optimizer, check_part, check_weights
from ...checkpoint.pretrained import pretrained_of
from ...checkpoint.safe_local_backend import SafeLocalBackend  # noqa: F401  registers "safe_local"
from ...checkpoint.weights import read_weights
from ...distributed import check_same_on_all_ranks, unwrap_model
from ...errors import ConfigurationError, reason_of
from ...registry import HOOKS, MODELS, register
from .. import education_record
from ..disk_space import check_space
from ..find_checkpoint import find_checkpoint_to_resume
from ..resumed_config import check_resumed_config


@register(HOOKS)
class SafeCheckpointHook(Hook):
    """Write checkpoints of tensors and plain Python values, never half of one, and check a
    checkpoint before it is loaded; say what of a changed config a resumed run does not follow.

    MMEngine's training checkpoints hold pickled ``HistoryBuffer`` objects and numpy numbers, which
    ``torch.load(weights_only=True)``, the default since torch 2.6, refuses. With this hook the log
    history is written as tensors, and numpy numbers as Python's; when the ``Runner`` resumes, the
    history is back before the ``Runner`` asks for it. A value that has no plain form is left out
    with a warning that names it.

    A file that the ``Runner`` is told to load or to resume from is read by
    :func:`~edudistill_mm.checkpoint.load.load_checkpoint_file` before training begins, and a URL
    is downloaded first, because MMEngine lets downloaded files run code. ``meta['config']`` of a
    file is dropped, because ``Runner.resume`` executes it.

    ``CheckpointHook`` writes by :class:`SafeLocalBackend`, unless its config names a backend or a
    remote folder: a run that is killed at any moment leaves a whole checkpoint. Where the
    ``Runner`` is to resume from the last one, the hook looks for it by
    :func:`~edudistill_mm.engine.find_checkpoint.find_checkpoint_to_resume`; if there is none, the
    run begins anew.

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
        self._check_pretrained(runner)
        writers = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
        for hook in writers:
            if hook.backend_args is None and hook.file_client_args is None:
                if type(get_file_backend(hook.out_dir or runner.work_dir)) is LocalBackend:
                    hook.backend_args = dict(backend='safe_local')
        if runner._has_loaded:
            return
        if isinstance(runner._train_loop, BaseLoop):
            check_space(runner)
        if runner._load_from is not None:
            runner._load_from = resolve_checkpoint(runner._load_from)
        elif runner._resume:
            runner._load_from = self._last_checkpoint(runner, writers)
            runner._resume = runner._load_from is not None
        if get_world_size() > 1:
            found = runner._load_from
            readable = found is not None and osp.isfile(found)
            check_same_on_all_ranks(
                {'checkpoint to load': file_sha256(found) if readable else 'none'},
                'all must see the same files',
            )
        if runner._load_from is not None:
            path = runner._load_from
            check_form(load_checkpoint_file(path), path, runner._resume, education_record.FORM)
            self._guard_loading(runner, path)
            if runner._resume:
                # The runner reads it by torch; one that was written without this hook needs these.
                self._allowed.enter_context(harmless_globals())

    @staticmethod
    def _check_pretrained(runner: Runner) -> None:
        """Check the files from which parts of the model are about to be initialised, and have them
        read by :func:`~edudistill_mm.checkpoint.weights.read_weights`."""
        model = unwrap_model(runner.model)
        modules = list(model.modules())
        # The classifier inside of a FragmentedStudent is in no module tree.
        modules += [m.__dict__['student'] for m in modules if 'student' in m.__dict__]
        for module in modules:
            cfg = pretrained_of(getattr(module, 'init_cfg', None))
            # EducationDistill reads its own.
            if cfg is None or module.is_init or isinstance(module, MODELS.get('EducationDistill')):
                continue
            source = cfg.get('checkpoint')
            if not isinstance(source, str):
                continue
            if '://' in source and not source.startswith(('http://', 'https://')):
                continue  # a name that MMEngine knows, such as torchvision://resnet50
            try:
                path, state, note = read_weights(source)
                check_part(module, state, cfg.get('prefix'), f'checkpoint "{source}"')
            except ConfigurationError as error:
                where = f'init_cfg of {type(module).__name__}'
                raise ConfigurationError(f'{where}: {error}') from error
            cfg['checkpoint'] = f'{SCHEME}{path}'

    @staticmethod
    def _guard_loading(runner: Runner, path: str) -> None:
        """Turn whatever goes wrong while the runner takes over a checkpoint into one sentence."""
        load = runner.load_or_resume

        def load_or_refuse() -> None:
            given = runner._load_from
            if given is not None and not runner._resume:
                runner._load_from = f'{SCHEME}{given.removeprefix(SCHEME)}'
            try:
                load()
            except Exception as error:
                if isinstance(error, ConfigurationError) and path in str(error):
                    raise
                # MMEngine, torch and other hooks take what they need for granted.
                reason = ' '.join(str(error).split())[:300] or type(error).__name__
                if isinstance(error, KeyError):
                    reason = f'{reason_of(error)} is missing in it'
                verb = 'resume from' if runner._resume else 'load'
                raise ConfigurationError(f'cannot {verb} "{path}": {reason}') from error
            finally:
                runner._load_from = given

        runner.load_or_resume = load_or_refuse

    @staticmethod
    def _check_weights(runner: Runner, checkpoint: dict) -> None:
        """Refuse weights that the runner would leave out in silence, or that are no numbers."""
        model = unwrap_model(runner.model)
        path = str(runner._load_from or 'the last checkpoint').removeprefix(SCHEME)
        prefix = None
        if runner._resume or not isinstance(runner._train_loop, BaseLoop):
            prefix = ''
        if not runner._resume and isinstance(model, MODELS.get('EducationDistill')):
            # Distillers are of no use to a test, and a new training may have others.
            prefix = 'architecture.'
            if isinstance(runner._train_loop, BaseLoop):
                checkpoint['state_dict'], done = model.start_from(checkpoint['state_dict'])
                for part in done:
                    runner.logger.info(f'load_from: of "{path}", {part}')
        # Other trainings may start from a part of their weights, as MM projects do.
        check_weights(checkpoint, path, model, prefix)
        if runner._resume:
            check_optimizer(checkpoint, path)

    @staticmethod
    def _last_checkpoint(runner: Runner, writers: list) -> Optional[str]:
        """The checkpoint to resume from."""
        folder, template = runner.work_dir, 'epoch_{}.pth'
        if writers:
            template = writers[0].filename_tmpl
            if writers[0].out_dir not in (None, runner.work_dir):
                name = osp.basename(runner.work_dir.rstrip(osp.sep))
                folder = osp.join(writers[0].out_dir, name)
        if '://' in folder:
            return find_latest_checkpoint(runner.work_dir)
        path = find_checkpoint_to_resume(
            runner.work_dir, folder, template, lambda line: runner.logger.warning(line)
        )
        runner.logger.info(
            f'Resuming from "{path}".'
            if path
            else f'There is no checkpoint in "{folder}" to resume from: the run begins anew.'
        )
        return path

    def before_train(self, runner: Runner) -> None:
        """Close what loading has opened: from here on MMEngine's checkpoints are as foreign as any.

        Tell ``CheckpointHook`` of a resumed run which checkpoint is the last, which it would
        have to write again with the result of a validation that is made up for.
        """
        self._allowed.close()
        if runner._resume:
            for hook in runner.hooks:
                # A run that was preempted before its first regular checkpoint has no last one.
                if isinstance(hook, CheckpointHook) and runner.message_hub.runtime_info.get(
                    'last_ckpt'
                ):
                    hook.last_ckpt = hook.last_ckpt or runner._load_from

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Make everything in ``checkpoint`` plain but the weights, which are tensors already."""
        weights = {
            key: checkpoint[key] for key in ('state_dict', 'ema_state_dict') if key in checkpoint
        }
        rest = {key: value for key, value in checkpoint.items() if key not in weights}
        checkpoint.update(self._plain_dict(runner, rest, path=''))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights, turn the log history back into ``HistoryBuffer`` objects and drop
        what would be executed."""
        self._allowed.close()
        self._check_weights(runner, checkpoint)
        checkpoint.get('meta', {}).pop('config', None)
        if runner._resume:
            changed = check_resumed_config(
                checkpoint.get('meta', {}).get('cfg'), runner.cfg.pretty_text, runner._load_from
            )
            if changed is not None:
                runner.logger.warning(changed)
            _find_best_where_it_is(checkpoint, osp.dirname(runner._load_from))
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


def _find_best_where_it_is(checkpoint: dict, folder: str) -> None:
    """Let ``CheckpointHook`` of a run that has been moved replace its best checkpoint, rather than
    leave it beside the next one."""
    known = checkpoint.get('message_hub', {}).get('runtime_info', {})
    for key, path in known.items():
        if key.startswith('best_ckpt') and isinstance(path, str) and not osp.exists(path):
            here = osp.join(folder, osp.basename(path))
            if osp.exists(here):
                known[key] = here


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
