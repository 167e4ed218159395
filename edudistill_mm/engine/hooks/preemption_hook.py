import os.path as osp
from typing import Any

from mmengine.dist import all_gather_object, barrier, broadcast_object_list, is_main_process
from mmengine.fileio import join_path
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.runner import Runner

from edudistill_mm.checkpoint.atomic_write import atomic_write
from edudistill_mm.checkpoint.safe_local_backend import SafeLocalBackend
from edudistill_mm.engine.preemption import preemption
from edudistill_mm.engine.rest_of_epoch import leave_out_seen
from edudistill_mm.registry import HOOKS, register

from .finite_loss_hook import FiniteLossHook
from .grade_scheduler_hook import GradeSchedulerHook


@register(HOOKS)
class PreemptionHook(Hook):
    """Saves and ends a run that SIGTERM or SIGUSR1 asks to make room for another.

    The hook finishes the step under way, writes ``<work_dir>/preempted.pth``, unless a checkpoint
    of this very state exists, and raises :class:`~edudistill_mm.errors.Preempted`. A run with a
    curriculum ends within a validation as well, which its resumption makes up for. A resumed run
    goes on in the middle of the epoch, one with a curriculum bit for bit as if it had never
    stopped (on a GPU within rounding, if steps are captured). The next checkpoint replaces the
    file, which does not count for ``CheckpointHook``.

    It is enough if one of several ranks gets the signal: all of them reduce one number after each
    step. Only :func:`edudistill_mm.apis.train.train` heeds signals, not ``Runner.train``.
    """

    # After all that changes or reads the state of a step.
    priority = 'LOWEST'
    FILE = 'preempted.pth'

    def __init__(self) -> None:
        self._saved_at: tuple[int, int] | None = None
        self._saving = False
        self._validates_in_step, self._last_val_batch = False, -1

    # ---- the loop
    def before_train(self, runner: Runner) -> None:
        """Keep signals for the loop from here on, and find the place where a run is resumed."""
        if preemption.heeding:
            preemption.in_loop, preemption.work_dir = True, runner.work_dir
        if runner._resume and self._grade_hook(runner) is None:
            leave_out_seen(runner)

    def after_train(self, runner: Runner) -> None:
        """Leave signals to what comes after the loop."""
        preemption.in_loop = False

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save the run and raise Preempted, if a signal has come."""
        if not preemption.in_loop:
            return
        number = preemption.asked()
        if not number:
            return
        for hook in runner.hooks:
            if isinstance(hook, FiniteLossHook):
                hook._check_weights(runner, runner.iter + 1)
        grade_hook = self._grade_hook(runner)
        if grade_hook is not None:
            grade_hook._resume_state.gather(runner)
        self._stop(runner, number, runner.iter + 1)

    # ---- validations
    def before_val_epoch(self, runner: Runner) -> None:
        """Check whether all ranks have as many batches, and may agree after each."""
        if preemption.in_loop and self._grade_hook(runner) is not None:
            lengths = all_gather_object(len(runner.val_dataloader))
            self._validates_in_step = len(set(lengths)) == 1
            self._last_val_batch = -1

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save the run and raise Preempted, if a signal has come; resuming validates again."""
        if not preemption.in_loop or not self._validates_in_step:
            return
        if batch_idx <= self._last_val_batch:
            # MMPretrain's EMAHook validates a second time, with weights that nobody has averaged.
            self._validates_in_step = False
            return
        self._last_val_batch = batch_idx
        number = preemption.asked()
        if number:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook) and getattr(hook, 'evaluate_on_ema', True):
                    # The validation has put the averaged weights into the model.
                    hook._swap_ema_parameters()
            self._stop(runner, number, runner.iter)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Forget what was true of the loader of this validation."""
        self._validates_in_step = False

    # ---- checkpoints
    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note what can be resumed; a regular checkpoint replaces this hook's."""
        if 'optimizer' not in checkpoint:
            return
        self._saved_at = self._place(checkpoint)
        folder, backend_args = self._target(runner)
        if not self._saving and (backend_args or {}).get('backend') == 'safe_local':
            path = osp.join(folder, self.FILE)
            if osp.exists(path):
                SafeLocalBackend().remove(path)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note that the state of a run resumed in its own work dir is saved already."""
        if not runner._resume or runner._load_from is None:
            return
        if osp.abspath(osp.dirname(runner._load_from)) == osp.abspath(runner.work_dir):
            self._saved_at = self._place(checkpoint)

    @staticmethod
    def _place(checkpoint: dict) -> tuple[int, int]:
        return checkpoint['meta'].get('epoch', 0), checkpoint['meta'].get('iter', 0)

    @staticmethod
    def _target(runner: Runner) -> tuple[str, dict | None]:
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook):
                return hook.out_dir, hook.backend_args
        return runner.work_dir, dict(backend='safe_local')

    @staticmethod
    def _grade_hook(runner: Runner) -> GradeSchedulerHook | None:
        return next((h for h in runner.hooks if isinstance(h, GradeSchedulerHook)), None)

    def _stop(self, runner: Runner, number: int, iteration: int) -> None:
        how = ['']
        if is_main_process():
            how = [self._save(runner, iteration)]
        # All ranks wait for the file, because launchers end all processes when one ends.
        broadcast_object_list(how)
        barrier()
        stop = preemption.stop(number, how[0])
        runner.logger.info(f'The run ends {stop}.')
        raise stop

    def _save(self, runner: Runner, iteration: int) -> str:
        """Write the state, unless a file has it; say where the run was."""
        where = f'after iteration {iteration}, '
        if self._saved_at == (runner.epoch, iteration):
            return f'{where}of which there is a checkpoint in "{runner.work_dir}"'
        folder, backend_args = self._target(runner)
        path = join_path(folder, self.FILE, backend_args=backend_args)
        self._saving = True
        runner.save_checkpoint(
            folder,
            self.FILE,
            meta=dict(epoch=runner.epoch, iter=iteration),
            by_epoch=False,
            backend_args=backend_args,
        )
        pointer = osp.join(runner.work_dir, 'last_checkpoint')
        atomic_write(pointer, lambda file: file.write(path.encode()))
        return f'{where}"{path}" was written'
