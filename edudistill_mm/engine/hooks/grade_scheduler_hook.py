import copy
import math
from typing import Any, Dict, List, Optional, Sequence

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator

from edudistill_mm.curriculum import Curriculum, Grade
from edudistill_mm.datasets import GradeSampler
from edudistill_mm.engine.schedule import epochs_to_iters
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.evaluation import GradeAccuracy
from edudistill_mm.registry import HOOKS, MODELS, register


@register(HOOKS)
class GradeSchedulerHook(Hook):
    """Takes :class:`EducationDistill` through its grades.

    The grade is a function of the runner's epoch or iteration and of nothing else. At a promotion
    the hook switches the algorithm (and with it student, teachers and losses) and, if the grade
    says so, empties the optimizer's state; the :class:`GradeSampler` finds the grade on its own by
    the same function. Before training the hook hands the curriculum to the sampler and to
    :class:`GradeAccuracy`, sets the train loop's true number of iterations, and rebuilds the
    schedules that MMEngine has converted to iterations as if all epochs were equally long. It
    writes curriculum, teachers and results into the checkpoint's ``meta['education']``, and
    refuses to resume under another curriculum or other teachers.

    Attributes:
        history (dict[str, dict[str, float]]): The last validation of each grade.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.history: Dict[str, Dict[str, float]] = {}
        self._validated = 0
        self._behind = False

    # ---- set-up
    @staticmethod
    def _algorithm(runner: Runner) -> Any:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not isinstance(model, MODELS.get('EducationDistill')):
            raise ConfigurationError(
                f'GradeSchedulerHook needs model.type="EducationDistill", but got "{type(model).__name__}"'
            )
        return model

    def before_run(self, runner: Runner) -> None:
        """Check that everything fits together, then make loop, data and schedules follow the
        curriculum."""
        model = self._algorithm(runner)
        if isinstance(runner._train_loop, (EpochBasedTrainLoop, IterBasedTrainLoop)):
            self._prepare_training(runner, model)

    def _prepare_training(self, runner: Runner, model: Any) -> None:
        curriculum, loop = model.curriculum, runner.train_loop
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        curriculum.check_length(by_epoch, loop.max_epochs if by_epoch else loop.max_iters)
        loader = loop.dataloader
        sampler = self._sampler(loader)
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
            given = type(getattr(loader.batch_sampler, 'sampler', loader.sampler)).__name__
            raise ConfigurationError(
                f'train_dataloader.sampler must be dict(type="GradeSampler"), because the curriculum '
                f'introduces classes grade by grade, but got "{given}"'
            )
        if by_epoch:
            lengths = self._epoch_lengths(curriculum, loader, sampler)
            loop._max_iters = sum(lengths)
            if len(set(lengths)) > 1:
                self._rebuild_schedules(runner, lengths)
        elif sampler is not None:
            # The loop has begun to draw from the whole data set when it was built. A new iterator
            # takes a random number, which must not change the weights that are initialised after
            # this.
            state = torch.get_rng_state()
            loop.dataloader_iterator = _InfiniteDataloaderIterator(loader)
            torch.set_rng_state(state)

    @staticmethod
    def _sampler(loader: Any) -> Optional[GradeSampler]:
        sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
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
        if model.curriculum.grade_at(self._progress(runner, model)).index == model.grade.index:
            self._enter(runner, model, model.grade)

    def _catch_up_validation(self, runner: Runner, model: Any) -> None:
        """Validate a resumed run whose checkpoint was written before the validation that was due
        then.

        MMEngine saves first and validates afterwards, and does not make up for it: best score,
        forgetting and table would not be those of the uninterrupted run.
        """
        if not self._behind:
            return
        self._behind = False
        loop, progress = runner.train_loop, self._progress(runner, model)
        due = progress >= max(loop.val_begin, 1) and (
            progress % loop.val_interval == 0 or progress == model.curriculum.length
        )
        if runner.val_loop is not None and due and self._validated < progress:
            runner.val_loop.run()
            runner.model.train()

    def before_train_epoch(self, runner: Runner) -> None:
        """Promote, if an epoch of a new grade begins."""
        model = self._algorithm(runner)
        if model.curriculum.by_epoch:
            self._catch_up_validation(runner, model)
            sampler = self._sampler(runner.train_dataloader)
            if sampler is not None:
                sampler.set_epoch(runner.epoch)
            self._promote(runner, model)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Promote, if the first iteration of a new grade begins."""
        model = self._algorithm(runner)
        if not model.curriculum.by_epoch:
            self._catch_up_validation(runner, model)
            self._promote(runner, model)
        runner.message_hub.update_scalar('train/grade', model.grade.index + 1)

    @staticmethod
    def _progress(runner: Runner, model: Any) -> int:
        return runner.epoch if model.curriculum.by_epoch else runner.iter

    def _promote(self, runner: Runner, model: Any) -> None:
        grade = model.curriculum.grade_at(self._progress(runner, model))
        if grade.index == model.grade.index:
            return
        if grade.optimizer == 'reset':
            for wrapper in (
                runner.optim_wrapper.values()
                if hasattr(runner.optim_wrapper, 'optim_wrappers')
                else [runner.optim_wrapper]
            ):
                wrapper.optimizer.state.clear()
        if runner.cfg.get('compile'):
            # What torch.compile has made of the last grade's paths need not fit; and it gives a
            # function up that it has translated eight times.
            torch.compiler.reset()
        self._enter(runner, model, grade)

    def _enter(self, runner: Runner, model: Any, grade: Grade) -> None:
        model.set_grade(grade)
        self._announce(runner, model, grade)

    @master_only
    def _announce(self, runner: Runner, model: Any, grade: Grade) -> None:
        rates = runner.optim_wrapper.get_lr()
        rates = sorted({rate for values in rates.values() for rate in values})
        unit = 'epochs' if model.curriculum.by_epoch else 'iterations'
        student = model.student
        running = student.parameters_in_training()
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
                    f'  losses awake: {", ".join(model.losses_awake) or "none"}; '
                    f'asleep: {", ".join(model.losses_asleep) or "none"}',
                    f'  learning rate: {", ".join(f"{rate:.4g}" for rate in rates)}; '
                    f'optimizer state: {"reset" if grade.optimizer == "reset" and grade.index else "kept"}',
                ]
            )
        )

    # ---- evaluation
    def _metrics(self, loop: Any) -> List[GradeAccuracy]:
        metrics = getattr(getattr(loop, 'evaluator', None), 'metrics', ())
        return [metric for metric in metrics if isinstance(metric, GradeAccuracy)]

    def before_val_epoch(self, runner: Runner) -> None:
        """Tell the metrics which classes have been taught."""
        model = self._algorithm(runner)
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

    def after_train(self, runner: Runner) -> None:
        """Log the table of accuracies per grade and class group."""
        model = self._algorithm(runner)
        self._catch_up_validation(runner, model)
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
        """Add curriculum, teachers, grade and results to the checkpoint's meta."""
        model = self._algorithm(runner)
        metrics = self._metrics(getattr(runner, '_val_loop', None))
        checkpoint['meta']['education'] = dict(
            grade=model.grade.name,
            seen=list(model.grade.seen),
            curriculum=model.curriculum.to_dict(),
            teachers=model.faculty.describe(),
            history=copy.deepcopy(self.history),
            validated=self._validated,
            accuracy=[metric.state_dict() for metric in metrics],
        )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take over the checkpoint's grade; when resuming, first refuse another curriculum or
        faculty."""
        model = self._algorithm(runner)
        education = checkpoint.get('meta', {}).get('education')
        if runner._resume:
            self._check_same_school(runner, model, education)
            self.history = copy.deepcopy(education['history'])
            self._validated = education['validated']
            self._behind = True
            for metric, state in zip(
                self._metrics(getattr(runner, '_val_loop', None)), education['accuracy']
            ):
                metric.load_state_dict(state)
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
    def _check_same_school(runner: Runner, model: Any, education: Optional[dict]) -> None:
        where = f'cannot resume from "{runner._load_from or "the last checkpoint"}"'
        if education is None:
            raise ConfigurationError(f'{where}: it is not a checkpoint of an EducationDistill run')
        difference = model.curriculum.difference(education['curriculum'])
        if difference is not None:
            raise ConfigurationError(f'{where}: it belongs to another curriculum: {difference}')
        saved = {teacher['name']: teacher for teacher in education['teachers']}
        given = {teacher['name']: teacher for teacher in model.faculty.describe()}
        if list(saved) != list(given):
            raise ConfigurationError(
                f'{where}: its teachers are {", ".join(saved) or "none"}, those of the config are '
                f'{", ".join(given) or "none"}'
            )
        for name, teacher in given.items():
            for key in ('classes', 'sha256'):
                if teacher[key] != saved[name][key]:
                    raise ConfigurationError(
                        f'{where}: teacher "{name}" has {key} {teacher[key]}, the run began with '
                        f'{saved[name][key]} (from "{saved[name]["source"]}")'
                    )
