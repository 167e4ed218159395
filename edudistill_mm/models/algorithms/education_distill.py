import copy
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmpretrain.structures import DataSample
from mmrazor.models.algorithms.base import BaseAlgorithm
from mmrazor.models.utils import add_prefix
from torch import nn

from edudistill_mm.compat import modernise, switch_off_inplace
from edudistill_mm.curriculum import Curriculum, Grade
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.distillers import TeacherView, Temperatures, build_distillers
from edudistill_mm.models.labels import classes_of
from edudistill_mm.models.resize import resize
from edudistill_mm.models.run_labels import RunLabels
from edudistill_mm.models.students import FragmentedStudent, build_student
from edudistill_mm.models.teachers import (
    BaseTeacher,
    Faculty,
    Lesson,
    SelfTeacher,
    TeacherEnsemble,
)
from edudistill_mm.models.teachers.weighting import TeacherWeighting
from edudistill_mm.registry import MODELS, register

from .argument_checks import (
    check_frozen,
    check_keys,
    check_label_mixing,
    check_normalisation,
    check_parts,
    check_switches,
    check_values,
    list_teachers,
)
from .ask_teacher import ask_teacher
from .captured_loss import CapturedLoss
from .loss_dry_run import LossDryRun
from .losses import fill_up, sum_losses, weigh_losses
from .recorders import record_teachers, records_features, restrict_classifiers
from .starting_weights import load_pretrained, name_weights, split_init_cfg
from .student_records import StudentRecords
from .weigh_samples import weigh_samples


@register(MODELS)
class EducationDistill(BaseAlgorithm):
    """Education distillation (arXiv 2311.13811): a student that deepens by grades, and teachers.

    It takes every argument of MMRazor's ``SingleTeacherDistill``: a changed ``type`` and a
    ``curriculum`` make an education of an MMRazor config, and with one grade the losses are those
    of ``SingleTeacherDistill`` bit for bit. In each step the student runs once; each teacher gets
    the samples of its own classes, and its distiller rows, classes and labels as it knows them. A
    sample with a ``gt_score`` below 1 for every class is taught by teachers of all classes alone.

    Args:
        architecture (str | dict | BaseModel): The student. A classifier that is not a
            :class:`FragmentedStudent` is wrapped into one with ``fragments='auto'``.
        curriculum (dict): The grades; see :class:`Curriculum`.
        distiller (dict, optional): Config of an MMRazor distiller, needed if there are teachers.
            Each teacher gets its own instance, because connectors and memories belong to one
            teacher's features. Without teachers the student is its own teacher, as in MMRazor's
            ``SelfDistill``: the teacher's recorders record the student, and where the student ends
            at a fragment, that fragment's teaching reference is the deepest classifier.
        teachers (Sequence[dict], optional): ``name``, ``architecture``, ``ckpt``, ``classes``,
            ``weight``, ``outputs``, ``data_preprocessor``, ``channel_order``, ``input_size`` and
            ``averaged`` of each teacher; see :class:`Teacher`. Defaults to None.
        teacher (str | dict | BaseModel, optional): The single generalist of an MMRazor config,
            instead of ``teachers``. Its name is ``'teacher'``. Defaults to None.
        teacher_ckpt (str, optional): Its checkpoint. Defaults to None.
        task_loss_weight (float): Factor of the student's own loss, in each grade that does not give
            another. Defaults to 1.
        distill_loss_weight (float): The same for the distillation losses. Defaults to 1.
        teacher_ensemble (bool): Whether the teachers teach as one: the weighted mean of their
            probabilities makes one loss, instead of a loss for each; see :class:`TeacherEnsemble`.
            Only for teachers of all classes and distillers that read nothing but class scores of
            them. Defaults to False.
        teacher_weighting (str | dict): How teachers that share a sample are weighed on it:
            'average' by their ``weight`` alone, 'entropy' by how sure they are, 'confidence' by
            how right they are, or another :class:`TeacherWeighting`. Losses that are no mean over
            samples take the mean of the weights. Defaults to 'average'.
        keep_answers (bool | dict): That of the teachers without their own; see :class:`Teacher`.
            For resident data and distillers that read class scores alone. Defaults to False.
        cuda_graphs (bool): Whether steps are captured as CUDA graphs on a GPU, where that is
            possible; see :class:`CapturedLoss` and :class:`CapturedStep`. Defaults to True.
        teacher_trainable (bool): Teachers are frozen here: only False. Defaults to False.
        teacher_norm_eval (bool): Teachers run in eval mode here: only True. Defaults to True.
        student_trainable (bool): Whether the student gets gradients (some pretraining stages of
            distillers train connectors only). Defaults to True.
        calculate_student_loss (bool): Whether the student's own loss counts. Defaults to True.
        teacher_module_inplace (bool): Whether teachers' modules may overwrite their inputs even
            where recorders hold features. Defaults to False.
        module_inplace (bool): The same for the student. Defaults to False.
        channels_last (bool): Whether student and teachers keep weights and features in torch's
            memory format ``channels_last``, which suits the tensor cores of GPUs. Losses get
            contiguous features. Defaults to False.
        data_preprocessor (dict | nn.Module, optional): Defaults to None: the student's own.
            Another one applies the student's ``train_cfg.augments``, as MMPretrain's classifiers
            do, unless it has ``batch_augments`` (None switches them off). ``num_classes`` of
            one-hot labels defaults to the curriculum's.
        init_cfg (dict | list[dict], optional): ``dict(type='Pretrained', checkpoint=...)`` starts
            from a plain student, whose head goes to the last grade while the references of lower
            ones start anew, or from the student (and the connectors, if there) of a distiller's
            pretraining stage: a checkpoint of this class or of ``SingleTeacherDistill``. The
            config's ``load_from`` takes the same. Defaults to None.
        others: Refused in one sentence.

    Raises:
        ConfigurationError: For any mistake in these arguments, before a training step.
    """

    def __init__(
        self,
        architecture: str | dict | BaseModel,
        curriculum: dict | None = None,
        distiller: dict | None = None,
        teachers: Sequence[dict] | None = None,
        teacher: str | dict | BaseModel | None = None,
        teacher_ckpt: str | None = None,
        task_loss_weight: float = 1.0,
        distill_loss_weight: float = 1.0,
        teacher_ensemble: bool = False,
        teacher_weighting: str | dict = 'average',
        keep_answers: bool | dict = False,
        cuda_graphs: bool = True,
        teacher_trainable: bool = False,
        teacher_norm_eval: bool = True,
        student_trainable: bool = True,
        calculate_student_loss: bool = True,
        teacher_module_inplace: bool = False,
        module_inplace: bool = False,
        channels_last: bool = False,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | Sequence[dict] | None = None,
        **others: Any,
    ) -> None:
        self.check_keys(others)
        teachers = list_teachers(teachers, teacher, teacher_ckpt)
        check_frozen(teacher_trainable, teacher_norm_eval)
        check_values(task_loss_weight, distill_loss_weight, data_preprocessor)
        check_switches(
            channels_last=channels_last, cuda_graphs=cuda_graphs, teacher_ensemble=teacher_ensemble
        )
        weighting = TeacherWeighting.from_cfg(teacher_weighting)
        names = Faculty.names(teachers)
        check_parts(teachers, distiller, curriculum, keep_answers, teacher_ensemble)
        grades = Curriculum.from_cfg(curriculum or {}, teachers=names)
        student = build_student(architecture, grades)
        if data_preprocessor is None:
            data_preprocessor = student.data_preprocessor
        elif isinstance(data_preprocessor, dict):
            data_preprocessor = modernise(data_preprocessor)
        # MMRazor's own switch does nothing on new torch; ours follows when the recorders are known.
        super().__init__(student, data_preprocessor, init_cfg, module_inplace=True)
        check_normalisation(self.data_preprocessor, student.trace.image_shape)
        self._labels = RunLabels(self.data_preprocessor, data_preprocessor, student)
        self.curriculum, self.teacher_weighting = grades, weighting
        self.task_loss_weight, self.distill_loss_weight = task_loss_weight, distill_loss_weight
        self.student_trainable = student_trainable
        self.calculate_student_loss = calculate_student_loss
        self.channels_last = channels_last
        self.teacher_ensemble = teacher_ensemble
        self.cuda_graphs = cuda_graphs
        # Set by GradeSchedulerHook if steps may be captured.
        self.captured_loss: CapturedLoss | None = None
        # MMRazor's StopDistillHook sets this.
        self.distillation_stopped = False
        # MMRazor's SelfDistill has a distiller, but no teacher.
        alone = distiller is not None and not names
        owners = [TeacherEnsemble.NAME] if teacher_ensemble else names or ['self'] * alone
        self.distillers = build_distillers(distiller, owners)
        self.temperatures = Temperatures(self.distillers, grades)
        # All distillers come from one config.
        first = next(iter(self.distillers.values()), None)
        keep_inplace = first is None or not records_features(first)
        self.module_inplace = module_inplace or keep_inplace
        if not self.module_inplace:
            switch_off_inplace(student)
        # Not in the module tree: no tensor of a teacher is a parameter of this algorithm.
        self.__dict__['faculty'] = Faculty.from_cfg(
            teachers,
            grades,
            self.data_preprocessor,
            keep_inplace=teacher_module_inplace or keep_inplace,
            student=student,
            single=teacher is not None,
            keep_answers=keep_answers,
        )
        self._teachers: list[BaseTeacher] = self.faculty.teachers
        if alone:
            self._teachers = [SelfTeacher(grades.num_classes)]
        elif teacher_ensemble:
            self._teachers = [TeacherEnsemble(self.faculty.teachers, weighting)]
        self._keep_format()
        check_label_mixing(self._labels, self._teachers, weighting)
        record_teachers(self.distillers, self.faculty.teachers, self._labels, teacher_ensemble)
        self._records = StudentRecords(student, first, of_itself=alone)
        for name, own in self.distillers.items():
            restrict_classifiers(own, grades.num_classes, partial(self._select_taught, name))
        self._awake = {
            fragments: self._records.find_awake(fragments, self._labels)
            for fragments in dict.fromkeys(grade.fragments for grade in grades.grades)
        }
        # How many samples of a batch a teacher needs.
        self._min_rows = 1
        # Which losses are means over samples, as far as it is known.
        self._by_sample: dict[str, bool] = {}
        # What must be known of the data before a step, but not before the dry run.
        self._open_question: str | None = None
        dry_run = LossDryRun(self, self._labels)
        dry_run.run()
        self._min_rows = dry_run.rows_needed()
        self.set_grade(grades.grades[0])
        self._open_question = self.faculty.open_question

    @classmethod
    def check_keys(cls, keys: Iterable[str]) -> None:
        """Refuse the first key of a model config that is no argument."""
        known = inspect.signature(cls.__init__).parameters
        check_keys(keys, [name for name in known if name not in ('self', 'others')])

    def _select_taught(self, teacher: str, scores: torch.Tensor) -> torch.Tensor:
        return self.views[teacher].classes.select(scores)

    # ---- grades
    @property
    def student(self) -> FragmentedStudent:
        """Alias for ``architecture``."""
        return self.architecture

    @property
    def losses_awake(self) -> list[str]:
        """list[str]: Names of the distillation losses that are computed at this grade."""
        return self._awake[self.grade.fragments]

    @property
    def losses_asleep(self) -> list[str]:
        """list[str]: Names of the losses whose features do not exist at this grade."""
        return [name for name in self._records.mappings if name not in self.losses_awake]

    def set_grade(self, grade: Grade) -> None:
        """Switch student, active teachers and their views to a grade of :attr:`curriculum`."""
        self.grade = grade
        self._follow_conversion()
        self.temperatures.set(self.distillers, grade)
        self.student.set_grade(grade.fragments, grade.seen)
        views = {
            teacher.name: TeacherView(
                self.distillers[teacher.name],
                teacher,
                self.student,
                self._records.mappings,
                self.losses_awake,
                self._by_sample,
                self.channels_last,
            )
            for teacher in self._teachers
            if teacher.enter(grade) and self.losses_awake
        }
        # A teacher's scores of fewer than two classes say nothing.
        self.views = {name: view for name, view in views.items() if len(view.taught) > 1}
        self.active_teachers = [view.teacher for view in self.views.values()]

    def introduce_data(
        self, class_names: Sequence[str] | None = None, channel_order: str | None = None
    ) -> None:
        """Fit the teachers to the data; see :meth:`Teacher.introduce_data`."""
        self.faculty.introduce_data(class_names, channel_order)
        self._open_question = None
        self.set_grade(self.grade)

    def _follow_conversion(self) -> None:
        """Follow a runner that has replaced BatchNorm by its synchronised form, or the reverse."""
        for teacher in self._teachers:
            if not teacher.is_generalist:
                # A rank whose batch has none of the classes skips the connectors: other ranks would
                # wait for that rank's statistics for ever.
                revert_sync_batchnorm(self.distillers[teacher.name])
        self._records.follow_conversion()

    # ---- training
    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, torch.Tensor]:
        """Train on a batch; on a GPU that may be a captured graph."""
        if self.captured_loss is not None:
            return self.captured_loss.train_step(data, optim_wrapper)
        return super().train_step(data, optim_wrapper)

    # What runs between the networks differs with each batch's rows, and torch.compile would
    # translate that again and again.
    @partial(torch.compiler.disable, recursive=False)
    def loss(
        self,
        batch_inputs: torch.Tensor,
        data_samples: list[DataSample] | None = None,
        answers: Mapping[str, torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Compute the losses of a batch.

        Args:
            batch_inputs (torch.Tensor): Preprocessed images, [B, C, H, W].
            data_samples (list[DataSample]): Their labels, in the data set's numbering: one each,
                or one for the batch, with ``gt_label`` [B].
            answers (Mapping[str, torch.Tensor], optional): What :meth:`Lesson.look_up` returns,
                by the teacher's name. Defaults to None: it is called.

        Returns:
            dict[str, torch.Tensor]: ``student.<loss>`` and ``distill.<loss>``; losses of one name
            are summed over the teachers.
        """
        lessons = self._assign(data_samples, len(batch_inputs))
        labels = self._labels_to_weigh(lessons, data_samples)
        scores = [
            ask_teacher(own, lesson, batch_inputs, data_samples, answers or {}, labels)
            for lesson in lessons
            for own in (self.distillers[lesson.teacher.name],)
        ]
        weighting = self.teacher_weighting
        if weighting.by_sample and len(lessons) > 1:
            count = len(batch_inputs)
            lessons = weigh_samples(weighting, self.views, lessons, scores, labels, count)

        with ExitStack() as stack:
            if lessons:
                stack.enter_context(self._records.recording())
                # Only a single teacher has deliveries.
                stack.enter_context(self.distillers[lessons[0].teacher.name].deliveries)
            stack.enter_context(
                torch.set_grad_enabled(torch.is_grad_enabled() and self.student_trainable)
            )
            images = resize(batch_inputs, self.grade.size_of(*batch_inputs.shape[2:]))
            student_losses = self.student(images, data_samples, mode='loss')
        records = self._records.take()

        weight = self.grade.value('task_loss_weight', self.task_loss_weight)
        own = weigh_losses(student_losses, weight)
        distilled = add_prefix(self._distill_losses(lessons, records, batch_inputs), 'distill')
        return {**(add_prefix(own, 'student') if self.calculate_student_loss else {}), **distilled}

    @torch.compiler.disable
    def _assign(self, data_samples: list[DataSample], batch_size: int) -> list[Lesson]:
        if self.distillation_stopped or not self.active_teachers:
            return []
        if self._open_question is not None:
            raise ConfigurationError(self._open_question)
        labels = None
        if len(self.active_teachers) > 1 or not self.active_teachers[0].is_generalist:
            labels = classes_of(data_samples)
            self._labels.tell_of_mixed(labels, data_samples, self.active_teachers)
        lessons = self.faculty.assign(self.active_teachers, labels)
        return [
            lesson
            for lesson in lessons
            if (batch_size if lesson.rows is None else len(lesson.rows)) >= self._min_rows
        ]

    def _labels_to_weigh(
        self, lessons: list[Lesson], data_samples: list[DataSample]
    ) -> torch.Tensor | None:
        """The classes of a batch, [B], if teachers are weighed by them."""
        members = [member for lesson in lessons for member in lesson.teacher.members]
        if not self.teacher_weighting.needs_labels or len(members) < 2:
            return None
        labels = classes_of(data_samples)
        self._labels.refuse_mixed(labels, data_samples, self.teacher_weighting)
        return labels

    @torch.compiler.disable
    def _distill_losses(
        self, lessons: list[Lesson], records: dict[str, list], inputs: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        total: dict[str, torch.Tensor] = {}
        for lesson in lessons:
            view = self.views[lesson.teacher.name]
            for name, value in view.losses(lesson, records, len(inputs)).items():
                total[name] = total[name] + value if name in total else value
        left = any(grade.leaving for grade in self.curriculum.grades[: self.grade.index + 1])
        if not self.distillation_stopped and (self.active_teachers or left):
            total = fill_up(total, self.losses_awake, inputs, self.parameters())
        weight = self.grade.value('distill_loss_weight', self.distill_loss_weight)
        return weigh_losses(total, weight)

    def parse_losses(
        self, losses: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The total loss, and what the log gets."""
        return sum_losses(losses)

    # ---- weights
    def init_weights(self) -> None:
        """Initialise what is not loaded yet, a ``Pretrained`` ``init_cfg`` included."""
        if self.channels_last:
            # Random numbers fill a tensor in the order of its memory.
            self.to(memory_format=torch.contiguous_format)
        init_cfg: Any = self.init_cfg  # type: ignore[has-type]  # MMEngine's BaseModule sets it
        pretrained, self.init_cfg = split_init_cfg(init_cfg)
        try:
            super().init_weights()
        finally:
            self.init_cfg = init_cfg
        if pretrained is not None:
            load_pretrained(self, pretrained['checkpoint'], pretrained.get('prefix'))
        self._keep_format()

    def _keep_format(self) -> None:
        """Put the weights of student and teachers into ``channels_last``, if wanted."""
        if self.channels_last:
            self.to(memory_format=torch.channels_last)
            # Connectors read contiguous records, and must return such.
            self.distillers.to(memory_format=torch.contiguous_format)

    def start_from(
        self, state: Mapping[str, torch.Tensor]
    ) -> tuple[dict[str, torch.Tensor], list[str]]:
        """Rename the tensors of another checkpoint to those here; see :func:`name_weights`."""
        return name_weights(self.student, state)

    def _apply(
        self, fn: Callable[[torch.Tensor], torch.Tensor], *args: Any, **kwargs: Any
    ) -> 'EducationDistill':
        super()._apply(fn, *args, **kwargs)
        self.faculty.apply_(fn)
        return self

    def __deepcopy__(self, memo: dict) -> 'EducationDistill':
        """Copy what classifies: the student, without teachers and distillers.

        ``EMAHook`` averages such a copy, whose other parameters nobody would use. Its parameters
        and buffers come in the order of the first ones here, as MMEngine's averages expect.
        """
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        memo[id(self.distillers)] = nn.ModuleDict()
        memo[id(self.faculty)] = Faculty()
        memo[id(self._records)] = StudentRecords()
        memo[id(self._teachers)] = []
        memo[id(self.views)] = {}
        memo[id(self.active_teachers)] = []
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin
