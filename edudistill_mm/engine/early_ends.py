import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.hooks import CheckpointHook, EarlyStoppingHook, IterTimerHook, ParamSchedulerHook
from mmengine.optim.scheduler import ReduceOnPlateauParamScheduler
from mmengine.runner import Runner
from mmpretrain.engine.hooks import SwitchRecipeHook

from edudistill_mm.curriculum import Curriculum, Grade

from .resume_state import optim_wrappers

# The scalar of the epoch (or iteration) to which progress has jumped.
JUMP = 'grade/jumps_to'


class EarlyEnds:
    """Ends the grade where early stopping would end the run.

    If a validation leads to a stop, by MMEngine's ``EarlyStoppingHook`` or any other hook, epoch,
    iteration and all schedules jump to the beginning of the next grade, as if the steps between
    had been taken. A stop in the last grade, or outside of a validation, ends the run.

    An ``EarlyStoppingHook``, and a schedule that waits for a metric, start anew with each grade,
    because the classes, and so the meaning of the metric, change. This class saves the counts of the
    former, which MMEngine does not. Accumulated gradients are counted by trained batches, so that a
    jump neither loses nor doubles any.

    Attributes:
        at (dict[str, int]): The progress at which a grade ended early, by its name.
    """

    def __init__(self) -> None:
        self.at: dict[str, int] = {}
        self._judged = 0
        self._stopped = self._finished = False

    @staticmethod
    def _hooks(runner: Runner) -> list[EarlyStoppingHook]:
        return [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]

    def check(self, runner: Runner, curriculum: Curriculum) -> None:
        """Warn of a metric that unseen classes hold down."""
        if len(curriculum.grades[0].seen) == curriculum.num_classes:
            return
        for hook in self._hooks(runner):
            if hook.monitor.startswith('accuracy/'):
                runner.logger.warning(
                    f'EarlyStoppingHook.monitor is "{hook.monitor}", for which classes that are not '
                    f'taught yet count as wrong; "{hook.monitor.replace("accuracy/", "seen/")}" of '
                    'GradeAccuracy is over those that are'
                )

    # ---- validations
    def before_validation(self, runner: Runner) -> None:
        """Remember whether the run stops in any case."""
        self._stopped = runner.train_loop.stop_training

    def after_validation(
        self, runner: Runner, curriculum: Curriculum, grade: Grade, lengths: Sequence[int]
    ) -> int:
        """End the grade, if the validation has led to a stop. To be called after all other hooks.

        ``lengths`` are the batches of each epoch (or iteration) of the run. Returns the number of
        batches that are left out, 0 without an early end.
        """
        loop = runner.train_loop
        progress = self._judged = runner.epoch if curriculum.by_epoch else runner.iter
        if not loop.stop_training or self._stopped:
            return 0
        last = grade is curriculum.grades[-1]
        loop.stop_training = last
        if progress >= grade.end:
            return 0
        self.at[grade.name] = progress
        runner.visualizer.add_scalars({JUMP: grade.end}, step=progress)
        unit = 'epoch' if curriculum.by_epoch else 'iteration'
        then = (
            'this was the last grade'
            if last
            else f'the run goes on with {unit} {grade.end + 1}, and all schedules with it'
        )
        runner.logger.info(
            f'Early stopping ends grade {grade.index + 1} of {len(curriculum.grades)} "{grade.name}" '
            f'after {progress - grade.begin} of its {grade.length} {unit}s: {then}.'
        )
        if last:
            return 0
        self._judged = grade.end
        return self._jump(runner, curriculum, grade, lengths[progress : grade.end])

    @staticmethod
    def _jump(runner: Runner, curriculum: Curriculum, grade: Grade, lengths: Sequence[int]) -> int:
        """Set progress to the end of a grade; returns the number of batches between."""
        loop, batches = runner.train_loop, sum(lengths)
        begin = runner.epoch
        if curriculum.by_epoch:
            loop._epoch = grade.end
        loop._iter += batches
        for hook in runner.hooks:
            if isinstance(hook, ParamSchedulerHook):
                for length in lengths:
                    for _ in range(length):
                        hook.after_train_iter(runner, batch_idx=0)
                    if curriculum.by_epoch:
                        hook.after_train_epoch(runner)
            elif isinstance(hook, IterTimerHook):
                hook.start_iter += batches
            elif isinstance(hook, SwitchRecipeHook):
                # The hook switches only when its epoch starts.
                for epoch, recipe in hook.schedule.items():
                    if begin < epoch <= runner.epoch:
                        hook._do_switch(runner, recipe, f' (recipe of epoch {epoch})')
        _leave_out(runner, batches)
        return batches

    def begin_grade(self, runner: Runner) -> None:
        """Let early stopping, and schedules that wait for a metric, start anew."""
        for scheduler in _schedulers(runner):
            if isinstance(scheduler, ReduceOnPlateauParamScheduler):
                scheduler._reset()
        for hook in self._hooks(runner):
            hook.wait_count = 0
            hook.best_score = -math.inf if hook.rule == 'greater' else math.inf

    # ---- the end of a run
    def save_last(self, runner: Runner) -> None:
        """Save a run that has ended early, as it would have been saved at its end.

        An existing checkpoint of this progress lacks the validation and what early stopping
        concluded.
        """
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook) and hook.save_last and not self._finished:
                step = runner.epoch if hook.by_epoch else runner.iter
                runner.logger.info(
                    f'Saving checkpoint at {step} {"epochs" if hook.by_epoch else "iterations"}'
                )
                meta = dict(epoch=runner.epoch, iter=runner.iter)
                # A run that is resumed at its end has the same values.
                runner.message_hub.update_info_dict(meta)
                hook._save_checkpoint_with_step(runner, step, meta)

    # ---- checkpoints
    def state_dict(self, runner: Runner) -> dict[str, Any]:
        """The early ends, the progress last judged, and counts and best scores of the hooks."""
        return dict(
            at=dict(self.at),
            judged=self._judged,
            hooks=[
                dict(wait_count=hook.wait_count, best_score=hook.best_score)
                for hook in self._hooks(runner)
            ],
        )

    def load_state_dict(self, runner: Runner, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; hooks new in the config start anew."""
        self.at, self._judged = dict(state['at']), state['judged']
        for hook, saved in zip(self._hooks(runner), state['hooks']):
            hook.wait_count, hook.best_score = saved['wait_count'], saved['best_score']

    def resume(self, runner: Runner, curriculum: Curriculum, lengths: Sequence[int]) -> int:
        """Leave out the batches that the resumed run had left out; returns their number."""
        batches = sum(
            sum(lengths[self.at[grade.name] : grade.end])
            for grade in curriculum.grades[:-1]
            if grade.name in self.at
        )
        for wrapper in optim_wrappers(runner):
            wrapper._inner_count -= batches
        _leave_out(runner, batches)
        return batches

    def judge_again(
        self, runner: Runner, curriculum: Curriculum, validated: int, metrics: Mapping[str, float]
    ) -> bool:
        """Repeat the judgement of the last validation, if the checkpoint was written before it.

        The checkpoint of a new best score is older than the judgement of its validation.
        ``validated`` is the progress of the last validation, ``metrics`` are its results. Returns
        whether a judgement was missing.
        """
        last = curriculum.grades[-1].name
        if last in self.at:
            if self._hooks(runner):
                self._finished = runner.train_loop.stop_training = True
                runner.logger.info(
                    'This run is finished: early stopping has ended its last grade. Without '
                    'EarlyStoppingHook it goes on.'
                )
                return False
            # Without the hook, the grade goes on.
            del self.at[last]
        if self._judged >= validated:
            return False
        for hook in self._hooks(runner):
            hook.after_val_epoch(runner, metrics)
        return True


def _schedulers(runner: Runner) -> Iterator[Any]:
    schedulers: Any = runner.param_schedulers or []
    for each in schedulers.values() if isinstance(schedulers, dict) else [schedulers]:
        yield from each


def _leave_out(runner: Runner, batches: int) -> None:
    """Reduce the number of batches that optimizers expect."""
    for wrapper in optim_wrappers(runner):
        wrapper._max_counts -= batches
        wrapper._remainder_counts = wrapper._max_counts % wrapper._accumulative_counts
