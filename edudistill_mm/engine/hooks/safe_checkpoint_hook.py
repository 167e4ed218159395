import os.path as osp

from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import BaseLoop, Runner

from ...checkpoint.download import SCHEME
from ...checkpoint.plain_form import history_of, plain_form
from ...checkpoint.safe_local_backend import SafeLocalBackend  # noqa: F401  registers "safe_local"
from ...distributed import unwrap_model
from ...registry import HOOKS, register
from ..disk_space import check_space
from ..loading import check_loaded, check_pretrained, read_checkpoint
from ..resumed_config import check_resumed_config
from ..runner import EducationRunner


@register(HOOKS)
class SafeCheckpointHook(Hook):
    """Write plain checkpoints, never half of one, and check a checkpoint before it is loaded.

    MMEngine's training checkpoints hold pickled ``HistoryBuffer`` objects and numpy numbers, which
    ``torch.load(weights_only=True)``, the default since torch 2.6, refuses. This hook writes the
    log history as tensors and numpy numbers as Python's, and restores the history when the
    ``Runner`` resumes. It leaves out a value that has no plain form, with a warning that names it.
    It drops ``meta['config']`` of a file, which ``Runner.resume`` would execute, and logs which
    changes of the config a resumed run does not follow.

    ``CheckpointHook`` writes by :class:`SafeLocalBackend`, unless its config names a backend or a
    remote folder: a run that is killed at any moment leaves a whole checkpoint.

    :class:`EducationRunner` reads checkpoints without running code. A plain ``Runner`` reads them
    in its own way, after this hook has read and checked the file.

    The priority is the lowest, so that what other hooks put into a checkpoint becomes plain, too.
    Other hooks therefore see the log history in its plain form in ``after_load_checkpoint``.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._left_out: set[str] = set()

    def before_run(self, runner: Runner) -> None:
        """Check files and room before the runner loads and writes."""
        # MMEngine writes the config into each checkpoint, for which yapf takes seconds; the log
        # and the dumped file are formatted already.
        object.__setattr__(runner.cfg, '_format_python_code', False)
        if isinstance(runner._train_loop, BaseLoop):
            # A test initialises nothing: a checkpoint comes after what the training started from.
            check_pretrained(unwrap_model(runner.model))
        for hook in runner.hooks:
            if (
                isinstance(hook, CheckpointHook)
                and hook.backend_args is hook.file_client_args is None
                and type(get_file_backend(hook.out_dir or runner.work_dir)) is LocalBackend
            ):
                hook.backend_args = dict(backend='safe_local')
        if runner._has_loaded:
            return
        if isinstance(runner._train_loop, BaseLoop):
            check_space(runner)
        if not isinstance(runner, EducationRunner):
            checkpoint = read_checkpoint(runner)
            if checkpoint is not None and not runner._resume:
                runner._load_from = f'{SCHEME}{runner._load_from}'

    def before_train(self, runner: Runner) -> None:
        """Set the last checkpoint of a resumed run's ``CheckpointHook``.

        Otherwise the hook would write it again with the result of a validation that is made up
        for.
        """
        # A run that was preempted before its first regular checkpoint has no last one.
        last = runner.message_hub.runtime_info.get('last_ckpt')
        for hook in runner.hooks if runner._resume and last else ():
            if isinstance(hook, CheckpointHook):
                hook.last_ckpt = hook.last_ckpt or runner._load_from

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Make everything in ``checkpoint`` plain but the weights, which are tensors already."""

        def warn(place: str, error: TypeError) -> None:
            if place not in self._left_out:
                self._left_out.add(place)
                runner.logger.warning(f'checkpoints are written without "{place}": {error}')

        weights = ('state_dict', 'ema_state_dict')
        rest = {key: value for key, value in checkpoint.items() if key not in weights}
        checkpoint.update(plain_form(rest, warn))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights, restore the log history and drop what would be executed."""
        check_loaded(runner, checkpoint)
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
                scalars[name] = history_of(name, value)


def _find_best_where_it_is(checkpoint: dict, folder: str) -> None:
    """Let a moved run replace its best checkpoint, rather than leave it beside the next one."""
    known = checkpoint.get('message_hub', {}).get('runtime_info', {})
    for key, path in known.items():
        if key.startswith('best_ckpt') and isinstance(path, str) and not osp.exists(path):
            here = osp.join(folder, osp.basename(path))
            if osp.exists(here):
                known[key] = here
