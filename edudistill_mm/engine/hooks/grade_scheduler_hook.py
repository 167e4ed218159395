import copy
import itertools
import math
from typing import Any, Dict, List, Optional, Sequence

import torch
from mmengine.dist import master_only
from mmengine.hooks import EMAHook, Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator

from edudistill_mm.config.schedule import epochs_to_iters
from edudistill_mm.curriculum import Curriculum, Grade
from edudistill_mm.datasets import GradeSampler
from edudistill_mm.datasets.channel_order import channel_order
from edudistill_mm.datasets.class_lists import check_class_lists, class_names_of
from edudistill_mm.distributed import check_same_on_all_ranks
from edudistill_mm.engine.early_ends import EarlyEnds
from edudistill_mm.engine.resume_state import ResumeState, optim_wrappers
from edudistill_mm.engine.resumed_config import start_from_student
from edudistill_mm.engine.slow_averages import warn_of_slow_averages
from edudistill_mm.engine.student_record import describe_student, student_difference
from edudistill_mm.engine.switched_recipes import check_switched_recipes
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.evaluation import GradeAccuracy
from edudistill_mm.random_state import random_state_preserved
from edudistill_mm.registry import HOOKS, MODELS, register

from .catch_up_hook import CatchUpHook

LOOPS = (EpochBasedTrainLoop, IterBasedTrainLoop)


@register(HOOKS)
class GradeSchedulerHook(Hook):
    """Takes :class:`EducationDistill` through its grades.

    The grade is a function of the runner's epoch or iteration and of nothing else; where early
    stopping ends a grade, they jump to the next one (see :class:`EarlyEnds`). At a promotion the
    hook switches the algorithm (and with it student, teachers and losses) and, if the grade
    says so, empties the optimizer's state; the :class:`GradeSampler` finds the grade on its own by
    the same function. Before training the hook hands the curriculum to the sampler and to
    :class:`GradeAccuracy`, sets the train loop's true number of iterations, and rebuilds the
    schedules that MMEngine has converted to iterations as if all epochs were equally long.

    It writes curriculum, student, teachers, results and the run's :class:`ResumeState` into the
    checkpoint's ``meta['education']``, and refuses to resume with another curriculum, student or
    faculty. A run that is resumed with the same configuration, number of processes and number of
    workers goes on bit for bit as if it had never stopped. Gradients that are being accumulated
    at a promotion are kept, whatever becomes of the optimizer's state.

    Attributes:
        history (dict[str, dict[str, float]]): The last validation of each grade.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.history: Dict[str, Dict[str, float]] = {}
        self._validated = 0
        self._behind = False
        self._lengths: List[int] = []
        self._begun = False
        self._resume_state = ResumeState()
        self._ends = EarlyEnds()

    # ---- set-up
    @staticmethod
    def _algorithm(runner: Runner) -> Any:
        model = runner.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        if not isinstance(model, MODELS.get('EducationDistill')):
            raise ConfigurationError(
                f'GradeSchedulerHook needs model.type="EducationDistill", but got "{type(model).__name__}"'
            )
        return model

    def before_run(self, runner: Runner) -> None:
        """Check that everything fits together, then make loop, data and schedules follow the
        curriculum."""
        model = self._algorithm(runner)
        if isinstance(runner._train_loop, LOOPS):
            self._prepare_training(runner, model)

    def _prepare_training(self, runner: Runner, model: Any) -> None:
        curriculum, loop = model.curriculum, runner.train_loop
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        curriculum.check_length(by_epoch, loop.max_epochs if by_epoch else loop.max_iters)
        loader = loop.dataloader
        sampler = self._sampler(loader)
        check_class_lists(
            _class_names(loader),
            'train_dataloader.dataset',
            _class_names(getattr(runner._val_loop, 'dataloader', None)),
            'val_dataloader.dataset',
        )
        model.introduce_data(_class_names(loader), channel_order(loader.dataset))
        check_same_on_all_ranks(
            {
                **{
                    f'checkpoint of teacher "{teacher.name}"': teacher.sha256
                    for teacher in model.faculty.teachers
                },
                'number of training images': len(loader.dataset),
                **{
                    f'choice of classes in grade "{grade.name}"': list(grade.classes)
                    for grade in curriculum.grades
                },
            },
            'all must see the same files',
        )
        if sampler is not None:
            sampler.attach(
                curriculum,
                {teacher.name: teacher.classes.classes for teacher in model.faculty.teachers},
                loader.batch_sampler.batch_size,
            )
        elif any(
            len(grade.seen) < curriculum.num_classes or grade.samples != 'mixed'
            for grade in curriculum.grades
        ):
            given = type(self._any_sampler(loader)).__name__
            raise ConfigurationError(
                f'train_dataloader.sampler must be dict(type="GradeSampler"), because the curriculum '
                f'introduces classes grade by grade, but got "{given}"'
            )
        if by_epoch:
            lengths = self._lengths = self._epoch_lengths(curriculum, loader, sampler)
            check_same_on_all_ranks(
                {
                    f'number of batches in grade "{grade.name}"': lengths[grade.begin]
                    for grade in curriculum.grades
                },
                'leave out train_dataloader.sampler.round_up',
            )
            loop._max_iters = sum(lengths)
            if len(set(lengths)) > 1:
                self._rebuild_schedules(runner, lengths)
        else:
            self._lengths = [1] * curriculum.length
        self._ends.check(runner, curriculum)
        check_switched_recipes(runner, model)
        self._begun = False
        if not any(isinstance(hook, CatchUpHook) for hook in runner.hooks):
            runner.register_hook(CatchUpHook(self._catch_up))

    @staticmethod
    def _any_sampler(loader: Any) -> Any:
        return getattr(loader.batch_sampler, 'sampler', loader.sampler)

    @classmethod
    def _sampler(cls, loader: Any) -> Optional[GradeSampler]:
        sampler = cls._any_sampler(loader)
        return sampler if isinstance(sampler, GradeSampler) else None

    @staticmethod
    def _epoch_lengths(
        curriculum: Curriculum, loader: Any, sampler: Optional[GradeSampler]
    ) -> List[int]:
        """Number of batches of each epoch."""
        lengths: List[int] = []
        for grade in curriculum.grades:
            if sampler is None:
                batches = len(loader)
            else:
                batches = sampler.num_samples(grade) / loader.batch_sampler.batch_size
                batches = (
                    math.floor(batches) if loader.batch_sampler.drop_last else math.ceil(batches)
                )
            if batches == 0:
                raise ConfigurationError(
                    f'train_dataloader.drop_last=True leaves grade "{grade.name}" without a batch: it has '
                    f'{sampler.num_samples(grade)} images, batch_size is {loader.batch_sampler.batch_size}'
                )
            lengths += [batches] * grade.length
        return lengths

    @staticmethod
    def _rebuild_schedules(runner: Runner, lengths: Sequence[int]) -> None:
        configs = runner.cfg.get('param_scheduler')
        configs = [configs] if isinstance(configs, dict) else configs
        if not isinstance(configs, (list, tuple)) or not any(
            isinstance(cfg, dict) and cfg.get('convert_to_iter_based') for cfg in configs
        ):
            return
        configs = [epochs_to_iters(cfg, lengths) for cfg in copy.deepcopy(list(configs))]
        for group in runner.optim_wrapper.param_groups:
            # The first set of schedulers has taken its first step already.
            for name in [key for key in group if key.startswith('initial_')]:
                group[name.removeprefix('initial_')] = group[name]
        runner.param_schedulers = runner.build_param_scheduler(configs)

    # ---- grades
    def before_train(self, runner: Runner) -> None:
        """Enter the grade in which a new or a resumed run begins.

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
        left_out = self._ends.resume(runner, model.curriculum, self._lengths)
        self._resume_state.put_back_buffers(runner)
        self._resume_state.put_back_gradients(runner)
        sampler = self._sampler(runner.train_dataloader)
        if sampler is None:
            if self._resume_state.pending:
                runner.logger.warning(
                    'train_dataloader.sampler is no GradeSampler: where the data are augmented at '
                    'random, the resumed run may differ from the uninterrupted one'
                )
        if not model.curriculum.by_epoch:
            self._begin_data(runner.train_loop, sampler, left_out)

    def _begin_data(
        self, loop: IterBasedTrainLoop, sampler: Optional[GradeSampler], left_out: int = 0
    ) -> None:
        """Draw the data by the curriculum, from where the run goes on.

        The loop has begun to draw from the whole data set when it was built; and when it is
        resumed it takes as many batches as it had, to pass over them, which need not be loaded.
        Another sampler than ours goes on where it is, whatever early ends have left out.
        """
        if sampler is None:
            if not self._begun:
                nothing = itertools.repeat(None, left_out)
                loop.dataloader_iterator = itertools.chain(nothing, loop.dataloader_iterator)
            return
        loader = loop.dataloader
        sampler.skip(loop.iter * loader.batch_sampler.batch_size)
        # A new iterator takes a random number, which must not change the training of a new run.
        with random_state_preserved():
            iterator = _InfiniteDataloaderIterator(loader)
        passed_over = 0 if self._begun else loop.iter
        loop.dataloader_iterator = itertools.chain(itertools.repeat(None, passed_over), iterator)

    def _catch_up(self, runner: Runner) -> None:
        """Validate a resumed run whose checkpoint was written before the validation that was due
        then, or let early stopping judge the one in which it was written.

        MMEngine saves first and validates afterwards, and does not make up for it: best score,
        forgetting and table would not be those of the uninterrupted run. If early stopping ends
        the grade or the run, that must be known before the next epoch begins.
        """
        if not self._behind:
            return
        self._behind = False
        model, loop = self._algorithm(runner), runner.train_loop
        progress = self._progress(runner, model)
        due = progress >= max(loop.val_begin, 1) and (
            progress % loop.val_interval == 0 or progress == model.curriculum.length
        )
        if runner.val_loop is None or self._batches_since(runner, progress):
            return
        if due and self._validated < progress:
            self._resume_state.start_workers(runner, self._validated > 0)
            self._resume_state.put_back_random_state()
            runner.val_loop.run()
            return
        self.before_val(runner)
        metrics = self.history.get(model.grade.name, {})
        if self._ends.judge_again(runner, model.curriculum, self._validated, metrics):
            self.after_val(runner)

    def _batches_since(self, runner: Runner, progress: int) -> int:
        """Number of batches that a run has trained of an epoch."""
        return runner.iter - sum(self._lengths[:progress])

    def before_train_epoch(self, runner: Runner) -> None:
        """Promote, if an epoch of a new grade begins."""
        self._begun = True
        model = self._algorithm(runner)
        if model.curriculum.by_epoch:
            sampler = self._sampler(runner.train_dataloader)
            if sampler is not None:
                sampler.set_epoch(runner.epoch)
            if self._resume_state.pending:
                self._go_on(runner, sampler)
            self._promote(runner, model)

    def _go_on(self, runner: Runner, sampler: Optional[GradeSampler]) -> None:
        """Enter the epoch at whose beginning, or in which, a run is resumed."""
        self._resume_state.start_workers(runner, self._validated > 0)
        batches = self._batches_since(runner, runner.epoch)
        if batches == 0:
            self._resume_state.put_back_random_state()
        elif sampler is not None:
            # The uninterrupted run had begun to load the epoch before the random state was read:
            # it is put back when this run has done so as well.
            sampler.skip(batches * runner.train_dataloader.batch_sampler.batch_size)
        else:
            runner.logger.warning(
                f'The checkpoint was written after {batches} batches of epoch {runner.epoch + 1}, '
                'which begins anew, because train_dataloader.sampler is no GradeSampler'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Promote, if the first iteration of a new grade begins."""
        model = self._algorithm(runner)
        if not model.curriculum.by_epoch:
            if self._resume_state.pending:
                self._resume_state.start_workers(runner, self._validated > 0)
                self._resume_state.put_back_random_state()
            self._promote(runner, model)
        self._resume_state.put_back_random_state()
        runner.message_hub.update_scalar('train/grade', model.grade.index + 1)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Gather what a checkpoint after this iteration would hold of all processes."""
        if self._resume_state.saves_after_iteration(runner):
            self._resume_state.gather(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Gather what a checkpoint after this epoch would hold of all processes."""
        # Where a run was resumed right at the end of an epoch.
        self._resume_state.put_back_random_state()
        self._resume_state.gather(runner)

    @staticmethod
    def _progress(runner: Runner, model: Any) -> int:
        return runner.epoch if model.curriculum.by_epoch else runner.iter

    def _promote(self, runner: Runner, model: Any) -> None:
        grade = model.curriculum.grade_at(self._progress(runner, model))
        if grade.index == model.grade.index:
            return
        if grade.optimizer == 'reset':
            for wrapper in optim_wrappers(runner):
                wrapper.optimizer.state.clear()
        self._ends.begin_grade(runner)
        if runner.cfg.get('compile'):
            # What torch.compile has made of the last grade's paths need not fit; and it gives a
            # function up that it has translated eight times.
            torch.compiler.reset()
        self._enter(runner, model, grade)

    def _enter(self, runner: Runner, model: Any, grade: Grade) -> None:
        model.set_grade(grade)
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                hook.ema_model.module.set_grade(grade)
        self._announce(runner, model, grade)

    @master_only
    def _announce(self, runner: Runner, model: Any, grade: Grade) -> None:
        rates = runner.optim_wrapper.get_lr()
        rates = sorted({rate for values in rates.values() for rate in values})
        unit = 'epochs' if model.curriculum.by_epoch else 'iterations'
        student = model.student
        running = student.parameters_in_training()
        awake, asleep = model.losses_awake, model.losses_asleep
        losses = []
        if awake or asleep:
            losses = [
                f'  losses awake: {", ".join(awake) or "none"}; asleep: {", ".join(asleep) or "none"}'
            ]
        runner.logger.info(
            '\n'.join(
                [
                    f'Grade {grade.index + 1} of {len(model.curriculum.grades)}: {grade.name}',
                    f'  {unit}: {grade.begin + 1}-{grade.end}',
                    f'  classes: {len(grade.seen)} of {model.curriculum.num_classes} '
                    f'({len(grade.classes)} new)',
                    f'  fragments: {grade.fragments} of {student.num_fragments}, '
                    f'up to {student.cuts[grade.fragments - 1]}',
                    f'  parameters in training: {running:,}',
                    f'  teachers: {", ".join(teacher.name for teacher in model.active_teachers) or "none"}',
                    *losses,
                    f'  learning rate: {", ".join(f"{rate:.4g}" for rate in rates)}; '
                    f'optimizer state: {"reset" if grade.optimizer == "reset" and grade.index else "kept"}',
                ]
            )
        )

    # ---- evaluation
    def _metrics(self, loop: Any) -> List[GradeAccuracy]:
        metrics = getattr(getattr(loop, 'evaluator', None), 'metrics', ())
        return [metric for metric in metrics if isinstance(metric, GradeAccuracy)]

    def before_val(self, runner: Runner) -> None:
        """See whether the training is to stop without a validation."""
        if isinstance(runner._train_loop, LOOPS):
            self._ends.before_validation(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Tell the metrics which classes have been taught."""
        model = self._algorithm(runner)
        if isinstance(runner._train_loop, BaseLoop):
            self._resume_state.hold(runner)
        for metric in self._metrics(runner.val_loop):
            metric.set_grade(model.curriculum, model.grade)

    def before_test_epoch(self, runner: Runner) -> None:
        """Tell the metrics which classes have been taught."""
        model = self._algorithm(runner)
        for metric in self._metrics(runner.test_loop):
            metric.set_grade(model.curriculum, model.grade)

    def after_val_epoch(self, runner: Runner, metrics: Optional[Dict[str, float]] = None) -> None:
        """Remember the grade's result."""
        model = self._algorithm(runner)
        self._validated = self._progress(runner, model)
        self.history[model.grade.name] = {
            key: float(value)
            for key, value in (metrics or {}).items()
            if isinstance(value, (int, float))
        }
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
            # At the progress to which the run has jumped no validation is due.
            self._validated = self._progress(runner, model)
            if not model.curriculum.by_epoch:
                self._begin_data(loop, self._sampler(loop.dataloader), left_out)

    def after_train(self, runner: Runner) -> None:
        """Save a run that was stopped; log the table of accuracies per grade and class group."""
        model = self._algorithm(runner)
        if self._progress(runner, model) < model.curriculum.length:
            self._resume_state.gather(runner)
            self._ends.save_last(runner)
        table = self.table(model.curriculum)
        if table:
            runner.logger.info(f'Accuracy (%) at the end of each grade, by class group:\n{table}')

    def table(self, curriculum: Curriculum) -> str:
        """Accuracies at the end of each grade.

        Args:
            curriculum (Curriculum): Gives the grades and the class groups.

        Returns:
            str: A Markdown table, one row a grade, one column a class group; empty without
            results.
        """
        prefix = GradeAccuracy.default_prefix
        groups = [grade for grade in curriculum.grades if grade.classes]
        rows = [['grade', 'classes', 'seen', *(group.name for group in groups), 'forgetting']]
        for grade in curriculum.grades:
            result = self.history.get(grade.name)
            if result is None or f'{prefix}/top1' not in result:
                continue
            keys = [
                f'{prefix}/top1',
                *(f'{prefix}/top1_{group.name}' for group in groups),
                f'{prefix}/forgetting',
            ]
            rows.append(
                [
                    grade.name,
                    str(len(grade.seen)),
                    *(f'{result[key]:.2f}' if key in result else '-' for key in keys),
                ]
            )
        if len(rows) == 1:
            return ''
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            '| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths)) + ' |'
            for row in rows
        ]
        lines.insert(1, '|' + '|'.join('-' * (width + 2) for width in widths) + '|')
        return '\n'.join(lines)

    # ---- checkpoints
    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add curriculum, student, teachers, grade, results and continuation to the checkpoint's
        meta."""
        model = self._algorithm(runner)
        metrics = self._metrics(getattr(runner, '_val_loop', None))
        checkpoint['meta']['education'] = dict(
            grade=model.grade.name,
            seen=list(model.grade.seen),
            curriculum=model.curriculum.to_dict(),
            student=describe_student(model.student),
            teachers=model.faculty.describe(),
            history=copy.deepcopy(self.history),
            validated=self._validated,
            early_ends=self._ends.state_dict(runner),
            accuracy=[metric.state_dict() for metric in metrics],
            sampler_seed=getattr(self._any_sampler(runner.train_dataloader), 'seed', None),
            continuation=self._resume_state.state_dict(runner, 'optimizer' in checkpoint),
        )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take over the checkpoint's grade; when resuming, first refuse another curriculum,
        student or faculty."""
        model = self._algorithm(runner)
        education = checkpoint.get('meta', {}).get('education')
        if runner._resume:
            self._check_same_school(runner, model, checkpoint)
            self.history = copy.deepcopy(education['history'])
            self._validated = education['validated']
            # Checkpoints of earlier versions have none.
            none = dict(at={}, judged=self._validated, hooks=[])
            self._ends.load_state_dict(runner, education.get('early_ends', none))
            self._behind = True
            for metric, state in zip(
                self._metrics(getattr(runner, '_val_loop', None)), education['accuracy']
            ):
                metric.load_state_dict(state)
            self._resume_state.load_state_dict(runner, education['continuation'])
            sampler = self._any_sampler(runner.train_dataloader)
            if hasattr(sampler, 'seed'):
                # Without randomness.seed in the config, each process draws one.
                sampler.seed = education['sampler_seed']
        elif isinstance(runner._train_loop, BaseLoop) or education is None:
            # A new training takes over the weights only; a plain student is complete.
            if education is None and not isinstance(runner._train_loop, BaseLoop):
                model.set_grade(model.curriculum.grades[-1])
            return
        model.set_grade(self._grade_of(model, education))

    @staticmethod
    def _grade_of(model: Any, education: dict) -> Grade:
        for grade in model.curriculum.grades:
            if grade.name == education['grade'] and list(grade.seen) == education['seen']:
                return grade
        raise ConfigurationError(
            f'the checkpoint was saved in grade "{education["grade"]}" '
            f'with {len(education["seen"])} classes seen, but the curriculum has '
            f'{", ".join(f"{g.name} ({len(g.seen)})" for g in model.curriculum.grades)} with '
            f'other classes; test it with the config of its run'
        )

    @staticmethod
    def _check_same_school(runner: Runner, model: Any, checkpoint: dict) -> None:
        education = checkpoint.get('meta', {}).get('education')
        where = f'cannot resume from "{runner._load_from or "the last checkpoint"}"'
        if education is None:
            if any(name.startswith('teacher.') for name in checkpoint['state_dict']):
                raise ConfigurationError(
                    f'{where}: it was written by a distillation class of MMRazor, and the tools run plain '
                    'distillation as a curriculum of one grade; load_from=FILE begins a new run with its '
                    'student'
                )
            raise ConfigurationError(f'{where}: it is not a checkpoint of an EducationDistill run')
        check_class_lists(
            class_names_of(checkpoint),
            f'"{runner._load_from}"',
            _class_names(runner.train_dataloader),
            'train_dataloader.dataset',
        )
        difference = model.curriculum.difference(education['curriculum'])
        if difference is not None:
            raise ConfigurationError(
                f'{where}: it belongs to another curriculum: {difference}; to train longer or '
                f'otherwise, {start_from_student(runner._load_from)}'
            )
        difference = student_difference(model, checkpoint['state_dict'], education['student'])
        if difference is not None:
            raise ConfigurationError(f'{where}: it belongs to another student: {difference}')
        saved = {teacher['name']: teacher for teacher in education['teachers']}
        given = {teacher['name']: teacher for teacher in model.faculty.describe()}
        if list(saved) != list(given):
            raise ConfigurationError(
                f'{where}: its teachers are {", ".join(saved) or "none"}, those of the config are '
                f'{", ".join(given) or "none"}'
            )
        for name, teacher in given.items():
            for key in ('classes', 'outputs', 'sha256'):
                own, was = teacher.get(key), saved[name].get(key)
                if own != was:
                    if key == 'outputs':
                        own, was = own or 'all in order', was or 'all in order'
                    raise ConfigurationError(
                        f'{where}: teacher "{name}" has {key} {own}, the run began with '
                        f'{was} (from "{saved[name]["source"]}")'
                    )


def _class_names(loader: Any) -> Optional[Sequence[str]]:
    """The names of the classes of a data loader's data set, if it has any."""
    dataset = getattr(loader, 'dataset', None)
    while not hasattr(dataset, 'metainfo') and hasattr(dataset, 'dataset'):
        # A wrapper that adds something to each sample, such as MMRazor's CRDDataset.
        dataset = dataset.dataset
    return getattr(dataset, 'metainfo', {}).get('classes')
