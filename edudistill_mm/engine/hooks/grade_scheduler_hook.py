from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.model import BaseTTAModel
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from edudistill_mm.curriculum import Grade
from edudistill_mm.datasets import GradeSampler
from edudistill_mm.distributed import check_same_on_all_ranks, unwrap_model
from edudistill_mm.engine.begin_momenta import begin_momenta
from edudistill_mm.engine.best_metric import warn_of_easy_classes
from edudistill_mm.engine.captured_steps import capture_steps
from edudistill_mm.engine.early_ends import EarlyEnds
from edudistill_mm.engine.education_record import (
    check_same_education,
    describe_education,
    recorded_grade,
)
from edudistill_mm.engine.epoch_lengths import (
    check_same_lengths,
    epoch_lengths,
    rebuild_schedules,
)
from edudistill_mm.engine.grade_data import (
    any_sampler,
    draw_from_here,
    grade_sampler,
    introduce_data,
)
from edudistill_mm.engine.grade_summary import grade_summary
from edudistill_mm.engine.hooks_of_epochs import check_hooks_of_epochs
from edudistill_mm.engine.rest_of_epoch import leave_out_seen
from edudistill_mm.engine.resume_state import ResumeState, optim_wrappers
from edudistill_mm.engine.slow_averages import warn_of_slow_averages
from edudistill_mm.engine.switched_recipes import check_switched_recipes
from edudistill_mm.engine.validation_record import ValidationRecord
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.evaluation.grade_table import grade_table
from edudistill_mm.registry import HOOKS, MODELS, register

from .catch_up_hook import CatchUpHook

LOOPS = (EpochBasedTrainLoop, IterBasedTrainLoop)


@register(HOOKS)
class GradeSchedulerHook(Hook):
    """Takes :class:`EducationDistill` through its grades.

    The grade is a function of the runner's epoch or iteration only; where early stopping ends a
    grade, these jump to the next one (see :class:`EarlyEnds`). At a promotion the hook switches
    the algorithm (and with it student, teachers and losses) and, if the grade says so, empties the
    optimizer's state; the :class:`GradeSampler` computes the grade by the same function. Before
    training the hook gives the curriculum to the sampler and to :class:`GradeAccuracy`, sets the
    train loop's true number of iterations, and rebuilds the schedules that MMEngine has converted
    to iterations as if all epochs were equally long.

    It writes curriculum, student, teachers, results and the run's :class:`ResumeState` into the
    checkpoint's ``meta['education']``, and refuses to resume with another curriculum, student or
    faculty. A run that is resumed with the same configuration, number of processes and number of
    workers goes on bit for bit as if it had never stopped (on a GPU within rounding, if steps are
    captured). Gradients that are being accumulated at a promotion are kept, whatever becomes of the
    optimizer's state.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._behind = False
        self._lengths: list[int] = []
        self._begun = False
        self._resume_state = ResumeState()
        self._ends = EarlyEnds()
        self._of_model: Any = None
        self._validations = ValidationRecord()

    @property
    def history(self) -> dict[str, dict[str, float]]:
        """dict[str, dict[str, float]]: Results of the last validation of each grade, by its name."""
        return self._validations.history

    # ---- set-up
    def _algorithm(self, runner: Runner) -> Any:
        # MMEngine's registries are slow, and each iteration asks.
        if self._of_model is not runner.model:
            self._model = self._unwrapped(runner)
            self._of_model = runner.model
        return self._model

    @staticmethod
    def _unwrapped(runner: Runner) -> Any:
        model = unwrap_model(runner.model)
        if isinstance(model, BaseTTAModel):
            model = unwrap_model(model.module)
        if not isinstance(model, MODELS.get('EducationDistill')):
            raise ConfigurationError(
                f'GradeSchedulerHook needs model.type="EducationDistill", but got "{type(model).__name__}"'
            )
        return model

    def before_run(self, runner: Runner) -> None:
        """Check that everything fits; make loop, data and schedules follow the curriculum."""
        model = self._algorithm(runner)
        if not isinstance(runner._train_loop, LOOPS):
            return
        curriculum, loop = model.curriculum, runner.train_loop
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        curriculum.check_length(by_epoch, loop.max_epochs if by_epoch else loop.max_iters)
        introduce_data(model, loop, getattr(runner._val_loop, 'dataloader', None))
        if by_epoch:
            sampler = grade_sampler(loop.dataloader)
            lengths = self._lengths = epoch_lengths(curriculum, loop.dataloader, sampler)
            check_same_on_all_ranks(
                {
                    f'number of batches in grade "{grade.name}"': lengths[grade.begin]
                    for grade in curriculum.grades
                },
                'leave out train_dataloader.sampler.round_up',
            )
            loop._max_iters = sum(lengths)
            if len(set(lengths)) > 1:
                rebuild_schedules(runner, lengths)
        else:
            self._lengths = [1] * curriculum.length
        self._ends.check(runner, curriculum)
        warn_of_easy_classes(runner, curriculum)
        check_hooks_of_epochs(runner, curriculum)
        check_switched_recipes(runner, model)
        self._begun = False
        if not any(isinstance(hook, CatchUpHook) for hook in runner.hooks):
            runner.register_hook(CatchUpHook(self._catch_up))

    # ---- grades
    def before_train(self, runner: Runner) -> None:
        """Enter the grade in which a new or a resumed run starts.

        A run that is resumed from the last checkpoint of a grade is still in that grade: it is
        promoted like the uninterrupted run, with all that the promotion does to the optimizer.
        """
        model = self._algorithm(runner)
        progress = self._progress(runner, model)
        if progress >= model.curriculum.length:
            unit = 'epochs' if model.curriculum.by_epoch else 'iterations'
            runner.logger.info(
                f'This run is finished: the checkpoint is that of the last of its {progress} {unit}.'
            )
        elif model.curriculum.grade_at(progress).index == model.grade.index:
            self._enter(runner, model, model.grade)
        warn_of_slow_averages(runner, model.curriculum, self._lengths)
        capture_steps(runner, model)
        left_out = self._ends.resume(runner, model.curriculum, self._lengths)
        self._resume_state.put_back_buffers(runner)
        self._resume_state.put_back_gradients(runner)
        if self._resume_state.pending and grade_sampler(runner.train_dataloader) is None:
            runner.logger.warning(
                'train_dataloader.sampler is no GradeSampler: where the data are augmented at '
                'random, the resumed run may differ from the uninterrupted one'
            )
        if not model.curriculum.by_epoch:
            draw_from_here(runner.train_loop, self._begun, left_out)

    def _catch_up(self, runner: Runner) -> None:
        """Make up for the validation, or early stopping's judgement, after a resumed checkpoint.

        MMEngine saves first and validates afterwards, and does not make up for it: best score,
        forgetting and table would not be those of the uninterrupted run. An early end of the grade
        or the run must be known before the next epoch starts.
        """
        if not self._behind:
            return
        self._behind = False
        model = self._algorithm(runner)
        progress = self._progress(runner, model)
        if runner.val_loop is None or self._batches_since(runner, progress):
            return
        # A loop decides about its dynamic_intervals only after it has trained.
        runner.train_loop._decide_current_val_interval()
        if self._validations.is_missing(runner.train_loop, progress, model.curriculum.length):
            self._resume_state.start_workers(runner, self._validations.progress > 0)
            self._resume_state.put_back_random_state()
            runner.val_loop.run()
            return
        self.before_val(runner)
        metrics = self.history.get(model.grade.name, {})
        validated = self._validations.progress
        if self._ends.judge_again(runner, model.curriculum, validated, metrics):
            self.after_val(runner)

    def _batches_since(self, runner: Runner, progress: int) -> int:
        """Number of batches that a run has trained of an epoch."""
        return runner.iter - sum(self._lengths[:progress])

    def before_train_epoch(self, runner: Runner) -> None:
        """Promote, if an epoch of a new grade starts."""
        self._begun = True
        model = self._algorithm(runner)
        if model.curriculum.by_epoch:
            sampler = grade_sampler(runner.train_dataloader)
            if sampler is not None:
                sampler.set_epoch(runner.epoch)
            if self._resume_state.pending:
                self._go_on(runner, sampler)
            self._promote(runner, model)

    def _go_on(self, runner: Runner, sampler: GradeSampler | None) -> None:
        """Enter the epoch at whose start, or in which, a run is resumed."""
        self._resume_state.start_workers(runner, self._validations.progress > 0)
        batches = self._batches_since(runner, runner.epoch)
        if batches == 0:
            self._resume_state.put_back_random_state()
        elif sampler is not None:
            # The uninterrupted run had started to load the epoch before it read the random state:
            # this run restores the state after it has done the same.
            sampler.skip(batches * runner.train_dataloader.batch_sampler.batch_size)
        else:
            leave_out_seen(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Promote, if the first iteration of a new grade starts."""
        model = self._algorithm(runner)
        if not model.curriculum.by_epoch:
            if self._resume_state.pending:
                self._resume_state.start_workers(runner, self._validations.progress > 0)
                self._resume_state.put_back_random_state()
            self._promote(runner, model)
        self._resume_state.put_back_random_state()
        runner.message_hub.update_scalar('train/grade', model.grade.index + 1)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Gather the states of all ranks, if a checkpoint follows this iteration."""
        if self._resume_state.saves_after_iteration(runner):
            self._resume_state.gather(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Gather the states of all ranks, since a checkpoint may follow this epoch."""
        # If the run was resumed right at the end of an epoch.
        self._resume_state.put_back_random_state()
        self._resume_state.gather(runner)

    @staticmethod
    def _progress(runner: Runner, model: Any) -> int:
        return runner.epoch if model.curriculum.by_epoch else runner.iter

    def _promote(self, runner: Runner, model: Any) -> None:
        grade = model.curriculum.grade_at(self._progress(runner, model))
        if grade.index == model.grade.index:
            return
        for wrapper in optim_wrappers(runner):
            if grade.optimizer == 'reset':
                wrapper.optimizer.state.clear()
            begin_momenta(wrapper.optimizer)
        self._ends.begin_grade(runner)
        if runner.cfg.get('compile'):
            # Compiled paths of the last grade need not fit, and torch.compile gives a function up
            # after eight recompilations.
            torch.compiler.reset()
        for network in self._networks(runner, model):
            # A resumed average may still be at the first grade's depth.
            network.student.prepare_promotion(model.grade.fragments, grade.fragments)
        self._enter(runner, model, grade)

    @staticmethod
    def _networks(runner: Runner, model: Any) -> list[Any]:
        """The algorithm and its averaged copies."""
        averages = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
        return [model, *(hook.ema_model.module for hook in averages)]

    def _enter(self, runner: Runner, model: Any, grade: Grade) -> None:
        for network in self._networks(runner, model):
            network.set_grade(grade)
        if is_main_process():
            rates = [rate for rates in runner.optim_wrapper.get_lr().values() for rate in rates]
            runner.logger.info(grade_summary(model, rates))

    # ---- evaluation
    def _set_grade(self, runner: Runner, loop: Any) -> None:
        model = self._algorithm(runner)
        self._validations.set_grade(loop, model.curriculum, model.grade)

    def before_val(self, runner: Runner) -> None:
        """Let :class:`EarlyEnds` note a stop that is older than the validation."""
        if isinstance(runner._train_loop, LOOPS):
            self._ends.before_validation(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Set the grade of the metrics."""
        if isinstance(runner._train_loop, BaseLoop):
            self._resume_state.hold(runner)
        self._set_grade(runner, runner.val_loop)

    def before_test_epoch(self, runner: Runner) -> None:
        """Set the grade of the metrics."""
        self._set_grade(runner, runner.test_loop)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Remember the grade's result."""
        model = self._algorithm(runner)
        self._validations.add(model.grade, self._progress(runner, model), metrics)
        self._resume_state.gather(runner)

    def after_val(self, runner: Runner) -> None:
        """End the grade, if the validation has led to a stop."""
        if not isinstance(runner._train_loop, LOOPS):
            return
        model, loop = self._algorithm(runner), runner.train_loop
        left_out = self._ends.after_validation(
            runner, model.curriculum, model.grade, self._lengths
        )
        if left_out:
            # No validation is due at the progress to which the run has jumped.
            self._validations.progress = self._progress(runner, model)
            if not model.curriculum.by_epoch:
                draw_from_here(loop, self._begun, left_out)

    def after_train(self, runner: Runner) -> None:
        """Save a run that was stopped; log the table of accuracies per grade and class group."""
        model = self._algorithm(runner)
        if self._progress(runner, model) < model.curriculum.length:
            self._resume_state.gather(runner)
            self._ends.save_last(runner)
        table = grade_table(model.curriculum, self.history)
        if table:
            runner.logger.info(f'Accuracy (%) at the end of each grade, by class group:\n{table}')

    # ---- checkpoints
    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add ``meta['education']`` to the checkpoint."""
        model = self._algorithm(runner)
        checkpoint['meta']['education'] = dict(
            **describe_education(model),
            **self._validations.state_dict(runner),
            early_ends=self._ends.state_dict(runner),
            batches=self._batches(model),
            sampler_seed=getattr(any_sampler(runner.train_dataloader), 'seed', None),
            continuation=self._resume_state.state_dict(runner, 'optimizer' in checkpoint),
        )

    def _batches(self, model: Any) -> dict[str, int]:
        """How many batches an epoch (or iteration: 1) of each grade has, by its name."""
        return {grade.name: self._lengths[grade.begin] for grade in model.curriculum.grades}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take over the checkpoint's grade and, when resuming, check and restore the education."""
        model = self._algorithm(runner)
        education = checkpoint.get('meta', {}).get('education')
        if runner._resume:
            check_same_education(runner, model, checkpoint)
            if model.curriculum.by_epoch:
                check_same_lengths(
                    model.curriculum, self._lengths, checkpoint['meta'], runner._load_from
                )
            self._validations.load_state_dict(runner, education)
            # Checkpoints of earlier versions have none.
            none = dict(at={}, judged=education['validated'], hooks=[])
            self._ends.load_state_dict(runner, education.get('early_ends', none))
            self._behind = True
            self._resume_state.load_state_dict(runner, education['continuation'])
            sampler = any_sampler(runner.train_dataloader)
            if hasattr(sampler, 'seed'):
                # Without randomness.seed in the config, each process draws one.
                sampler.seed = education['sampler_seed']
        elif isinstance(runner._train_loop, BaseLoop) or education is None:
            # A new training takes over the weights only; a plain student is complete.
            if education is None and not isinstance(runner._train_loop, BaseLoop):
                model.set_grade(model.curriculum.grades[-1])
            return
        model.set_grade(recorded_grade(model.curriculum, education))
