import copy
import inspect
import io
import re
from contextlib import ExitStack, redirect_stdout
from dataclasses import replace
from functools import partial
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import torch
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import MODELS as ROOT_MODELS
from mmpretrain.structures import DataSample
from mmrazor.models.algorithms.base import BaseAlgorithm
from mmrazor.models.distillers import OFDDistiller
from mmrazor.models.task_modules.recorder import ModuleInputsRecorder, ModuleOutputsRecorder
from mmrazor.models.utils import add_prefix
from torch import nn

from edudistill_mm.arguments import class_of
from edudistill_mm.checkpoint.log_once import say
from edudistill_mm.checkpoint.pretrained import pretrained_of
from edudistill_mm.checkpoint.state_dict_checks import not_finite, state_dict_mismatch
from edudistill_mm.checkpoint.state_dict_names import behind, fit_names
from edudistill_mm.checkpoint.weights import read_weights
from edudistill_mm.compat import modernise, switch_off_inplace
from edudistill_mm.curriculum import Curriculum, Grade
from edudistill_mm.errors import ConfigurationError, check_weight, did_you_mean, reason_of
from edudistill_mm.models.distillers import (
    TeacherView,
    check_distiller_config,
    check_loss_arguments,
    count_weights,
    reads_labels,
    warn_of_reductions,
)
from edudistill_mm.models.labels import classes_of
from edudistill_mm.models.network import build_module, dry_run
from edudistill_mm.models.run_labels import RunLabels
from edudistill_mm.models.students import FragmentedStudent
from edudistill_mm.models.teachers import Faculty, Lesson, SelfTeacher, Teacher
from edudistill_mm.models.teachers.weighting import TeacherWeighting
from edudistill_mm.registry import MODELS, register
from edudistill_mm.type_name import type_name

# With what the names of the student's tensors begin.
STUDENT = 'architecture.'
NOT_KEYS = ('self', 'others')
DATA_FREE_KEYS = ('generator', 'generator_distiller', 'student_iter', 'student_train_first')


@register(MODELS)
class EducationDistill(BaseAlgorithm):
    """Education distillation (arXiv 2311.13811): a student that deepens grade by grade under its
    teachers.

    It takes every argument of MMRazor's ``SingleTeacherDistill``, so one of MMRazor's configs
    becomes an education run by a changed ``type`` and a ``curriculum``; with a curriculum of one
    grade the losses are those of ``SingleTeacherDistill`` bit for bit. In each step the student
    runs once; each teacher sees the samples of its own classes, and its distiller sees rows,
    classes and labels as that teacher knows them. A sample with a ``gt_score`` below 1 for every
    class is mixed of several, and is taught by teachers of all classes alone.

    Args:
        architecture (str | dict | BaseModel): The student. A classifier that is not a
            :class:`FragmentedStudent` is wrapped into one with ``fragments='auto'``.
        curriculum (dict): The grades; see :class:`Curriculum`.
        distiller (dict, optional): Config of an MMRazor distiller. Each teacher gets its own
            instance, because connectors and memories belong to one teacher's features. Required if
            there are teachers. Without teachers the student is its own teacher, as in MMRazor's
            ``SelfDistill``: the teacher's recorders record the student, and where the student ends
            at a fragment, that fragment's teaching reference is the deepest classifier.
        teachers (Sequence[dict], optional): ``name``, ``architecture``, ``ckpt``, ``classes``,
            ``weight``, ``outputs``, ``data_preprocessor``, ``channel_order``, ``input_size`` of each
            teacher; see :class:`Teacher`. Defaults to None.
        teacher (str | dict | BaseModel, optional): The single generalist of an MMRazor config,
            instead of ``teachers``. Its name is ``'teacher'``. Defaults to None.
        teacher_ckpt (str, optional): Its checkpoint. Defaults to None.
        task_loss_weight (float): Factor of the student's own loss. Defaults to 1.
        distill_loss_weight (float): Factor of the distillation losses. Defaults to 1.
        teacher_weighting (str | dict): How teachers that share a sample are weighed on it:
            'average' by their ``weight`` alone, 'entropy' by how sure they are, 'confidence' by how
            right they are, or another :class:`TeacherWeighting`. Losses that are no mean over
            samples take the mean of the weights. Defaults to 'average'.
        teacher_trainable (bool): Teachers are frozen here: only False. Defaults to False.
        teacher_norm_eval (bool): Teachers run in eval mode here: only True. Defaults to True.
        student_trainable (bool): Whether the student gets gradients (some pretraining stages of
            distillers train connectors only). Defaults to True.
        calculate_student_loss (bool): Whether the student's own loss counts. Defaults to True.
        teacher_module_inplace (bool): Whether teachers' modules may overwrite their inputs even
            where recorders hold features. Defaults to False.
        module_inplace (bool): The same for the student. Defaults to False.
        channels_last (bool): Whether student and teachers keep weights and features in torch's
            memory format ``channels_last``, which suits the tensor cores of GPUs. Losses see
            contiguous features. Defaults to False.
        data_preprocessor (dict | nn.Module, optional): Defaults to None: the student's own. Another
            one applies the student's own ``train_cfg.augments``, as MMPretrain's classifiers do,
            unless it has ``batch_augments`` (None switches them off). Where it makes one-hot
            labels, its ``num_classes`` defaults to the curriculum's.
        init_cfg (dict | list[dict], optional): ``dict(type='Pretrained', checkpoint=...)`` starts
            from a plain student, whose last grade then has its head while the references of lower
            ones start anew, or from the student, and from the connectors if they are in it, of a
            distiller's pretraining stage: a checkpoint of this class or of
            ``SingleTeacherDistill``. The config's ``load_from`` takes the same. Defaults to None.
        others: No other argument is possible; they are here to be refused in one sentence.

    Raises:
        ConfigurationError: For any mistake in these arguments, before a training step.
    """

    def __init__(
        self,
        architecture: Union[str, dict, BaseModel],
        curriculum: Optional[dict] = None,
        distiller: Optional[dict] = None,
        teachers: Optional[Sequence[dict]] = None,
        teacher: Optional[Union[str, dict, BaseModel]] = None,
        teacher_ckpt: Optional[str] = None,
        task_loss_weight: float = 1.0,
        distill_loss_weight: float = 1.0,
        teacher_weighting: Union[str, dict] = 'average',
        teacher_trainable: bool = False,
        teacher_norm_eval: bool = True,
        student_trainable: bool = True,
        calculate_student_loss: bool = True,
        teacher_module_inplace: bool = False,
        module_inplace: bool = False,
        channels_last: bool = False,
        data_preprocessor: Optional[Union[dict, nn.Module]] = None,
        init_cfg: Optional[Union[dict, Sequence[dict]]] = None,
        **others: Any,
    ) -> None:
        self.check_keys(others)
        if teacher is not None:
            if teachers is not None:
                raise ConfigurationError(
                    'model has both "teacher" and "teachers"; give one of them'
                )
            teachers = [dict(name='teacher', architecture=teacher, ckpt=teacher_ckpt)]
        elif teacher_ckpt is not None:
            raise ConfigurationError('model.teacher_ckpt is given without model.teacher')
        if teacher_trainable or not teacher_norm_eval:
            raise ConfigurationError(
                'EducationDistill runs frozen teachers in eval mode: teacher_trainable must be False and '
                f'teacher_norm_eval True, but got {teacher_trainable} and {teacher_norm_eval}'
            )
        check_weight(task_loss_weight, 'model.task_loss_weight')
        check_weight(distill_loss_weight, 'model.distill_loss_weight')
        weighting = TeacherWeighting.from_cfg(teacher_weighting)
        if not isinstance(channels_last, bool):
            raise ConfigurationError(
                f'model.channels_last must be True or False, but got {channels_last!r}'
            )
        names = Faculty.names(teachers)
        if teachers is not None and not names and distiller is not None:
            raise ConfigurationError(
                'model.teachers is an empty list, but there is a model.distiller; leave teachers out '
                'if the student is to be its own teacher'
            )
        if curriculum is None:
            raise ConfigurationError(
                'model.curriculum is missing: EducationDistill needs a dict with "grades"'
            )
        curriculum = Curriculum.from_cfg(curriculum, teachers=names)
        if names and distiller is None:
            raise ConfigurationError(
                'model.distiller is missing: it says what the student learns from its teachers'
            )

        if isinstance(data_preprocessor, dict) and 'type' not in data_preprocessor:
            raise ConfigurationError(
                f'data_preprocessor lacks the key "type", such as "ClsDataPreprocessor"; it is '
                f'{dict(data_preprocessor)!r}'
            )
        student = self._build_student(architecture, curriculum)
        if data_preprocessor is None:
            data_preprocessor = student.data_preprocessor
        super().__init__(
            student,
            modernise(data_preprocessor)
            if isinstance(data_preprocessor, dict)
            else data_preprocessor,
            init_cfg,
            # MMRazor's own switch does nothing on new torch; ours follows when the recorders are known.
            module_inplace=True,
        )
        self._check_normalisation(data_preprocessor)
        self._labels = RunLabels(self.data_preprocessor, data_preprocessor, student)
        self.curriculum = curriculum
        self.teacher_weighting = weighting
        self.task_loss_weight, self.distill_loss_weight = task_loss_weight, distill_loss_weight
        self.student_trainable, self.calculate_student_loss = (
            student_trainable,
            calculate_student_loss,
        )
        # MMRazor's StopDistillHook sets this.
        self.distillation_stopped = False
        # MMRazor's SelfDistill has a distiller, but no teacher.
        self._self_teacher = None
        if distiller is not None and not names:
            self._self_teacher = SelfTeacher(curriculum.num_classes)
            names = [self._self_teacher.name]
        self.distillers = nn.ModuleDict({name: self._build_distiller(distiller) for name in names})
        if self._first_distiller is not None:
            warn_of_reductions(self._first_distiller)
        records_features = self._records_features()
        self.module_inplace = module_inplace or not records_features
        if not self.module_inplace:
            switch_off_inplace(student)
        # In __dict__, not in the module tree: no tensor of a teacher is a parameter of this
        # algorithm.
        self.__dict__['faculty'] = Faculty.from_cfg(
            teachers,
            curriculum,
            self.data_preprocessor,
            keep_inplace=teacher_module_inplace or not records_features,
            student=student,
            single=teacher is not None,
        )
        # Each module of the student that a recorder watches.
        self._recorded: List[Tuple[ModuleOutputsRecorder, nn.Module]] = []
        self.channels_last = channels_last
        self._keep_format()
        self._check_label_mixing()
        self._loss_mappings = (
            dict(self._first_distiller.loss_forward_mappings)
            if self._first_distiller is not None
            else {}
        )
        self._connect_recorders()
        self._awake = {
            grade.fragments: self._find_awake_losses(grade.fragments)
            for grade in curriculum.grades
        }
        self._min_rows = 1
        # Which losses are means over samples, as far as it is known.
        self._by_sample: Dict[str, bool] = {}
        self._open_question: Optional[str] = None
        self._rehearse()
        self.set_grade(curriculum.grades[0])
        self._open_question = self.faculty.open_question

    @classmethod
    def check_keys(cls, keys: Iterable[str]) -> None:
        """Refuse arguments that are none.

        Args:
            keys (Iterable[str]): Keys of a model config.

        Raises:
            ConfigurationError: For the first that is no argument of this class.
        """
        known = [
            name for name in inspect.signature(cls.__init__).parameters if name not in NOT_KEYS
        ]
        for key in keys:
            if key in DATA_FREE_KEYS:
                raise ConfigurationError(
                    f'model.{key} belongs to data-free distillation (DAFL, DFAD, ZSKT), whose images '
                    'come from a generator and have no labels, so that no grade could choose the '
                    'classes to be taught; train it by its own algorithm, without a curriculum'
                )
            if key not in known and key not in ('type', '_scope_'):
                raise ConfigurationError(
                    f'model has the unknown key "{key}"{did_you_mean(key, known)}; possible are '
                    f'{", ".join(known)}'
                )

    # ---- building
    @staticmethod
    def _build_student(architecture: Any, curriculum: Curriculum) -> FragmentedStudent:
        if isinstance(architecture, dict) and type_name(architecture) == 'FragmentedStudent':
            cfg = dict(architecture)
            if cfg.get('fragments', 'auto') == 'auto':
                cfg.setdefault('num_fragments', curriculum.fragments)
            student = build_module(cfg, 'architecture', 'mmpretrain')
        elif isinstance(architecture, FragmentedStudent):
            student = architecture
        else:
            student = FragmentedStudent(architecture, num_fragments=curriculum.fragments)
        if student.num_fragments != curriculum.fragments:
            raise ConfigurationError(
                f'architecture.fragments has {student.num_fragments} fragments '
                f'({", ".join(student.cuts)}), but the last grade of the curriculum has '
                f'fragments={curriculum.fragments}; they must be equal'
            )
        if student.num_classes != curriculum.num_classes:
            raise ConfigurationError(
                f'architecture.student has {student.num_classes} outputs, but curriculum.num_classes is '
                f'{curriculum.num_classes}; they must be equal'
            )
        return student

    @staticmethod
    def _build_distiller(cfg: dict) -> nn.Module:
        check_distiller_config(cfg)
        cfg = modernise(copy.deepcopy(cfg))
        # MMEngine takes all that a config inherits by `package::` for that package's own.
        scope, kind = cfg.get('_scope_'), cfg.get('type')
        if scope and class_of(kind, ROOT_MODELS, scope) is None:
            del cfg['_scope_']
        distiller = build_module(cfg, 'distiller', 'mmrazor')
        check_loss_arguments(distiller.distill_losses, distiller.loss_forward_mappings)
        count_weights(distiller)
        return distiller

    def _check_normalisation(self, cfg: Any) -> None:
        """See that images of the student's channels can be normalised, and are finite then."""
        given = [
            key for key in ('mean', 'std') if isinstance(cfg, dict) and cfg.get(key) is not None
        ]
        if len(given) == 1:
            raise ConfigurationError(
                f'data_preprocessor has "{given[0]}" alone; give both "mean" and "std", or neither'
            )
        if not getattr(self.data_preprocessor, '_enable_normalize', False):
            return
        image = torch.zeros(2, *self.student.trace.image_shape)
        try:
            self.data_preprocessor(dict(inputs=image), False)
        except Exception as error:  # a preprocessor fails in all ways
            raise ConfigurationError(
                f'data_preprocessor, with mean and std, cannot be run on images of '
                f'{image.shape[1]} channels, which the student reads: {reason_of(error)}'
            ) from error

    def _records_features(self) -> bool:
        """Whether a recorder may hold a tensor that a module overwrites in place.

        Scores and labels come after all such modules; not to overwrite costs time and memory.
        """
        if self._first_distiller is None:
            return False
        recorders = [
            *self._first_distiller.student_recorders.recorders.values(),
            *self._first_distiller.teacher_recorders.recorders.values(),
        ]
        return not all(
            isinstance(recorder, ModuleOutputsRecorder)
            and recorder.source in ('head', 'head.fc', 'head.loss_module')
            for recorder in recorders
        )

    def _check_label_mixing(self) -> None:
        experts = [teacher for teacher in self.faculty.teachers if not teacher.is_generalist]
        if self._labels.mixing and experts:
            raise ConfigurationError(
                f'{self._labels.mixing} mixes the images of several classes, but teacher '
                f'"{experts[0].name}" covers a part of the classes only; remove the batch augments'
            )
        if self._labels.mixing and self.teacher_weighting.needs_labels:
            raise ConfigurationError(
                f'{self._labels.mixing} mixes the images of several classes, but '
                f'{self.teacher_weighting.why_labels}; {self.teacher_weighting.advice}, or remove the '
                f'batch augments'
            )

    @property
    def _first_distiller(self) -> Optional[nn.Module]:
        # All distillers come from one config. The student runs once, so the recorders of one
        # distiller record it, and the views of all teachers are made from these records.
        return next(iter(self.distillers.values()), None)

    def _connect_recorders(self) -> None:
        """Attach the recorders to the networks, and to the references for the head."""
        for teacher in self.faculty.teachers:
            distiller = self.distillers[teacher.name]
            recorders, owner = distiller.teacher_recorders.recorders, f'teacher "{teacher.name}"'
            self._initialize(recorders, teacher.network, 'teacher_recorders', owner)
            self._check_teacher_records(distiller, teacher)
            if isinstance(distiller, OFDDistiller):
                _initialize_margins(distiller, teacher)
        if self._first_distiller is None:
            return
        for key in ('student_recorders', 'teacher_recorders')[: 2 if self._self_teacher else 1]:
            recorders = getattr(self._first_distiller, key).recorders
            self._record_student(recorders, key)
        for name, distiller in self.distillers.items():
            self._restrict_connectors(name, distiller)
        if self._first_distiller.deliveries.deliveries and len(self.distillers) > 1:
            raise ConfigurationError(
                'distiller.distill_deliveries hand data of one teacher to the student, but there are '
                f'{len(self.distillers)} teachers'
            )

    def _record_student(self, recorders: Dict[str, Any], key: str) -> None:
        self._initialize(recorders, self.student, key, 'the student')
        for recorder in recorders.values():
            if not isinstance(recorder, ModuleOutputsRecorder):
                continue
            self._recorded.append((recorder, self.student.get_submodule(recorder.source)))
            # The features that the head of a lower grade reads are the reference's own, of another
            # size.
            if isinstance(recorder, ModuleInputsRecorder) and not recorder.source.endswith(
                'loss_module'
            ):
                continue
            for module in self.student.counterparts(recorder.source):
                module.register_forward_hook(recorder.forward_hook)

    def _restrict_connectors(self, name: str, distiller: nn.Module) -> None:
        """Let classifiers in connectors, as BYOT's have, answer for the classes of the view
        only."""

        def select(module: nn.Module, inputs: Any, scores: torch.Tensor) -> torch.Tensor:
            return self._views[name].classes.select(scores)

        for path, module in distiller.connectors.named_modules():
            if path.endswith('.fc') and isinstance(module, nn.Linear):
                if module.out_features == self.curriculum.num_classes:
                    module.register_forward_hook(select)

    @staticmethod
    def _initialize(recorders: Dict[str, Any], network: nn.Module, key: str, owner: str) -> None:
        modules = dict(network.named_modules())
        for name, recorder in recorders.items():
            if isinstance(recorder, ModuleOutputsRecorder) and recorder.source not in modules:
                raise ConfigurationError(
                    f'distiller.{key}.{name} records "{recorder.source}", which is not a module of {owner}'
                    f'{did_you_mean(recorder.source, modules)}'
                )
            try:
                recorder.initialize(network)
            except AssertionError as error:
                raise ConfigurationError(f'distiller.{key}.{name}: {reason_of(error)}') from error

    @staticmethod
    def _check_teacher_records(distiller: nn.Module, teacher: Teacher) -> None:
        with distiller.teacher_recorders:
            teacher.dry_run(lambda image: teacher.network(image, mode='tensor'))
        for name, recorder in distiller.teacher_recorders.recorders.items():
            if not recorder.data_buffer:
                raise ConfigurationError(
                    f'distiller.teacher_recorders.{name} records "{recorder.source}", which never runs when '
                    f'teacher "{teacher.name}" classifies an image'
                )
            recorder.reset_data_buffer()

    def _recorders_of_student(self) -> ExitStack:
        """A context in which the student is recorded."""
        stack = ExitStack()
        stack.enter_context(self._first_distiller.student_recorders)
        if self._self_teacher is not None:
            stack.enter_context(self._first_distiller.teacher_recorders)
        return stack

    def _find_awake_losses(self, fragments: int) -> List[str]:
        """Names of the distillation losses whose records of the student exist at a depth.

        Found by running the student once on a zero image, which holds for recorders of all kinds.
        """
        distiller, mappings = self._first_distiller, self._loss_mappings
        self.student.set_grade(fragments, range(self.curriculum.num_classes))
        if distiller is None:
            self._labels.try_student(self.student)
            return []
        with self._recorders_of_student():
            self._labels.try_student(self.student)
        recorders = {True: distiller.student_recorders.recorders}
        if self._self_teacher is not None:
            recorders[False] = distiller.teacher_recorders.recorders
        empty = {
            (from_student, name): recorder.source
            for from_student in recorders
            for name, recorder in recorders[from_student].items()
            if not recorder.data_buffer
        }
        for group in recorders.values():
            for recorder in group.values():
                recorder.reset_data_buffer()
        awake = []
        for loss, mapping in mappings.items():
            asleep = [
                key
                for key in ((bool(r.get('from_student')), r['recorder']) for r in mapping.values())
                if key in empty
            ]
            if not asleep:
                awake.append(loss)
            elif fragments == self.student.num_fragments:
                raise ConfigurationError(
                    f'distiller.distill_losses.{loss} would never wake up: its recorder '
                    f'"{asleep[0][1]}" (source "{empty[asleep[0]]}") never runs, not even in the '
                    'complete student'
                )
        return awake

    def _rehearse(self) -> None:
        """Compute the losses of every grade once on zero images, so that what does not fit shows
        before training.

        Each teacher gets images of two of its classes, in each grade that is deeper than the one
        before or teaches more of its classes.
        """
        rehearsed = set()
        for grade in self.curriculum.grades:
            self.set_grade(grade)
            new = {(name, grade.fragments, view.taught) for name, view in self._views.items()}
            new -= rehearsed
            rehearsed |= new
            labels = {label for *_, taught in new for label in taught[:2]} or set(grade.seen[:2])
            labels = sorted(labels) * 2
            try:
                # CRDLoss prints what it normalises its memory by.
                with redirect_stdout(io.StringIO()):
                    dry_run(
                        self,
                        lambda image: self.parse_losses(self._rehearsal(image, labels)),
                        self.student.trace.image_shape,
                    )
            except RuntimeError as error:
                self._check_labels_of(grade, error)
                # Each teacher's distiller is a copy of the one in the config.
                reason = re.sub(r'"distillers\.(\w+)\.', r'"distiller.', str(error))
                raise ConfigurationError(
                    f'the losses of grade "{grade.name}" cannot be computed: {reason}; the images '
                    f'had the shape {self.student.trace.image_shape} (see architecture.input_shape, '
                    f'and input_size of a teacher)'
                ) from error
        if self._first_distiller is not None and not self._teaches_a_single_row():
            self._min_rows = 2

    def _rehearsal(self, image: torch.Tensor, labels: List[int]) -> Dict[str, torch.Tensor]:
        inputs = image[:1].expand(len(labels), *image.shape[1:])
        return self.loss(inputs, self._labels.samples(labels, image.device))

    def _check_labels_of(self, grade: Grade, error: RuntimeError) -> None:
        """Say so where a distillation loss has failed because it reads labels that are no
        indices."""
        place = re.search(r'in "distillers\.[\w-]+\.distill_losses\.(\w+)', str(error))
        if place is None or not self._labels.one_hot:
            return
        name, distiller = place[1], self._first_distiller
        if reads_labels(distiller, self._loss_mappings[name]):
            raise ConfigurationError(
                f'the losses of grade "{grade.name}" cannot be computed: '
                f'distiller.distill_losses.{name} of type {type(distiller.distill_losses[name]).__name__} '
                f'needs class indices, but {self._labels.origin}'
            ) from error

    def _teaches_a_single_row(self) -> bool:
        """Whether the losses make sense for one sample: BatchNorm in connectors and relations want
        two."""
        view = next(iter(self._views.values()), None)
        if view is None:
            return True

        def forward(image: torch.Tensor) -> bool:
            self.distillers.train()
            noise = torch.randn(image.shape, device=image.device)
            losses = self._rehearsal(noise, [view.taught[0]])
            return all(
                torch.isfinite(torch.as_tensor(loss)).all()
                for name, loss in losses.items()
                if name.startswith('distill') and isinstance(loss, torch.Tensor)
            )

        try:
            return dry_run(self, forward, self.student.trace.image_shape)
        except RuntimeError:
            return False

    # ---- grades
    @property
    def student(self) -> FragmentedStudent:
        """FragmentedStudent: Alias for ``architecture``."""
        return self.architecture

    @property
    def losses_awake(self) -> List[str]:
        """list[str]: Names of the distillation losses that are computed at this grade."""
        return self._awake[self.grade.fragments]

    @property
    def losses_asleep(self) -> List[str]:
        """list[str]: Names of the distillation losses whose features do not exist yet at this
        grade."""
        return [name for name in self._loss_mappings if name not in self.losses_awake]

    def set_grade(self, grade: Grade) -> None:
        """Switch the student, the active teachers and their views to a grade.

        Args:
            grade (Grade): A grade of :attr:`curriculum`.
        """
        self.grade = grade
        self._follow_conversion()
        self.student.set_grade(grade.fragments, grade.seen)
        if self._self_teacher is not None:
            joined = [self._self_teacher]
        else:
            joined = [
                teacher for teacher in self.faculty.teachers if teacher.name in grade.teachers
            ]
        views = {
            teacher.name: TeacherView(
                self.distillers[teacher.name],
                teacher,
                self.student,
                self._loss_mappings,
                self.losses_awake,
                self._by_sample,
                self.channels_last,
            )
            for teacher in joined
            if self.losses_awake
        }
        # Where a teacher knows no two of the classes taught, its answer says nothing.
        self._views = {name: view for name, view in views.items() if len(view.taught) > 1}
        self.active_teachers = [teacher for teacher in joined if teacher.name in self._views]

    def introduce_data(
        self, class_names: Optional[Sequence[str]] = None, channel_order: Optional[str] = None
    ) -> None:
        """Tell the teachers what the data are, by which their outputs and inputs are chosen; see
        :meth:`Teacher.introduce_data`.

        Args:
            class_names (Sequence[str], optional): Names of the data set's classes.
            channel_order (str, optional): 'rgb' or 'bgr', the order in which images are loaded.

        Raises:
            ConfigurationError: If a teacher does not fit the data.
        """
        self.faculty.introduce_data(class_names, channel_order)
        self._open_question = None
        self.set_grade(self.grade)

    def _follow_conversion(self) -> None:
        """Find the recorded modules again where a runner has replaced them since.

        MMEngine replaces each BatchNorm by a synchronised one (``sync_bn``), or the other way
        round in a single process, after this algorithm has been built.
        """
        for teacher in self.faculty.teachers:
            if not teacher.is_generalist:
                # Its connectors do not run where a batch has none of its classes: to wait for that
                # process would never end.
                revert_sync_batchnorm(self.distillers[teacher.name])
        for index, (recorder, module) in enumerate(self._recorded):
            current = self.student.get_submodule(recorder.source)
            if current is not module:
                current.register_forward_hook(recorder.forward_hook)
                self._recorded[index] = (recorder, current)

    # ---- training
    # torch.compile translates networks. What goes on between them differs with each batch's rows,
    # and would be translated again and again.
    @partial(torch.compiler.disable, recursive=False)
    def loss(
        self, batch_inputs: torch.Tensor, data_samples: Optional[List[DataSample]] = None
    ) -> Dict[str, torch.Tensor]:
        """Compute the losses of a batch.

        Args:
            batch_inputs (torch.Tensor): Preprocessed images, [B, C, H, W].
            data_samples (list[DataSample]): Their labels, in the data set's numbering.

        Returns:
            dict[str, torch.Tensor]: ``student.<loss>`` and ``distill.<loss>``; losses of one name
            are summed over the teachers.
        """
        lessons = self._assign(data_samples)
        scores = []
        for lesson in lessons:
            distiller = self.distillers[lesson.teacher.name]
            distiller.set_deliveries_override(False)
            for delivery in distiller.deliveries.deliveries.values():
                # A lower grade may end before it has asked for what was delivered.
                delivery.data_queue.clear()
            with distiller.teacher_recorders, distiller.deliveries:
                scores.append(lesson.teacher.teach(lesson.select(batch_inputs)))
            distiller.set_deliveries_override(True)
        if self.teacher_weighting.by_sample and len(lessons) > 1:
            lessons = self._weigh_samples(lessons, scores, data_samples)

        records: Dict[str, list] = {}
        with ExitStack() as stack:
            if lessons:
                stack.enter_context(self._recorders_of_student())
                stack.enter_context(self._first_distiller.deliveries)
            stack.enter_context(
                torch.set_grad_enabled(torch.is_grad_enabled() and self.student_trainable)
            )
            student_losses = self.student(batch_inputs, data_samples, mode='loss')
        if lessons:
            for name, recorder in self._first_distiller.student_recorders.recorders.items():
                records[name] = list(recorder.data_buffer)
                recorder.reset_data_buffer()

        losses: Dict[str, torch.Tensor] = {}
        if self.calculate_student_loss:
            losses.update(add_prefix(_weigh(student_losses, self.task_loss_weight), 'student'))
        losses.update(add_prefix(self._distill_losses(lessons, records, batch_inputs), 'distill'))
        return losses

    @torch.compiler.disable
    def _assign(self, data_samples: List[DataSample]) -> List[Lesson]:
        if self.distillation_stopped or not self.active_teachers:
            return []
        if self._open_question is not None:
            raise ConfigurationError(self._open_question)
        if self._self_teacher is not None:
            return [Lesson(self._self_teacher, None, None)]
        labels = None
        if len(self.active_teachers) > 1 or not self.active_teachers[0].is_generalist:
            labels = classes_of(data_samples)
            self._labels.tell_of_mixed(labels, data_samples, self.active_teachers)
        lessons = self.faculty.assign(self.active_teachers, labels)
        batch_size = len(data_samples)
        return [
            lesson
            for lesson in lessons
            if (batch_size if lesson.rows is None else len(lesson.rows)) >= self._min_rows
        ]

    def _weigh_samples(
        self, lessons: List[Lesson], scores: List[torch.Tensor], data_samples: List[DataSample]
    ) -> List[Lesson]:
        """Lessons in which each sample has a weight, by what the teachers make of it."""
        device, size = scores[0].device, len(data_samples)
        labels = None
        if self.teacher_weighting.needs_labels:
            labels = classes_of(data_samples)
            self._labels.refuse_mixed(labels, data_samples, self.teacher_weighting)
        uncertainty = torch.zeros(len(lessons), size, device=device)
        covered = torch.zeros(len(lessons), size, dtype=torch.bool, device=device)
        rows = []
        for index, (lesson, score) in enumerate(zip(lessons, scores)):
            rows.append(torch.arange(size, device=device) if lesson.rows is None else lesson.rows)
            covered[index, rows[index]] = True
            uncertainty[index, rows[index]] = self._views[lesson.teacher.name].uncertainty(
                self.teacher_weighting, score, None if labels is None else labels[rows[index]]
            )
        fixed = uncertainty.new_tensor([lesson.teacher.weight for lesson in lessons])
        weights = self.teacher_weighting.weights(uncertainty, covered, fixed)
        return [
            replace(lesson, share=weight.sum() / size, weights=weight[row])
            for lesson, weight, row in zip(lessons, weights, rows)
        ]

    @torch.compiler.disable
    def _distill_losses(
        self, lessons: List[Lesson], records: Dict[str, list], inputs: torch.Tensor
    ) -> Dict[str, torch.Tensor]:
        total: Dict[str, torch.Tensor] = {}
        for lesson in lessons:
            view = self._views[lesson.teacher.name]
            for name, value in view.losses(lesson, records, len(inputs)).items():
                total[name] = total[name] + value if name in total else value
        if not self.distillation_stopped and self.active_teachers:
            # A batch without a sample for any teacher: the log keeps its columns, and where the
            # student's own loss does not count there is still something to go backward from, which
            # other processes wait for.
            parameter = next((p for p in self.parameters() if p.requires_grad), None)
            for name in self.losses_awake:
                if name not in total:
                    total[name] = _Zero.apply(inputs.new_zeros(()), parameter)
        return _weigh(total, self.distill_loss_weight)

    # ---- weights
    def init_weights(self) -> None:
        """Initialise what is not loaded yet; with ``init_cfg`` of type ``Pretrained``, from its
        checkpoint.

        Raises:
            ConfigurationError: If the checkpoint cannot be used.
        """
        if self.channels_last:
            # Random numbers fill a tensor in the order of its memory.
            self.to(memory_format=torch.contiguous_format)
        init_cfg, pretrained = self.init_cfg, pretrained_of(self.init_cfg)
        if pretrained is not None:
            all_of_it = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
            self.init_cfg = [cfg for cfg in all_of_it if cfg is not pretrained] or None
        try:
            super().init_weights()
        finally:
            self.init_cfg = init_cfg
        if pretrained is not None:
            self._load_pretrained(pretrained['checkpoint'], pretrained.get('prefix'))
        self._keep_format()

    def _keep_format(self) -> None:
        """Put the weights of student and teachers into ``channels_last``, if asked to."""
        if self.channels_last:
            self.to(memory_format=torch.channels_last)
            # Connectors read contiguous records, and must return such.
            self.distillers.to(memory_format=torch.contiguous_format)

    def start_from(
        self, state: Mapping[str, torch.Tensor]
    ) -> Tuple[Dict[str, torch.Tensor], List[str]]:
        """Name the tensors of another checkpoint as they are called here.

        What they lack starts anew: the references of lower grades, and the classifier of a plain
        student for another number of classes.

        Args:
            state (Mapping[str, Tensor]): Weights of a plain student, of this class, or of
                ``SingleTeacherDistill``.

        Returns:
            tuple[dict[str, Tensor], list[str]]: The weights, and what has been done to them, parts
                of a sentence.

        Raises:
            ConfigurationError: If several students fit.
        """
        done = []
        if any(name.startswith(STUDENT) for name in state):
            state = dict(state)
        else:
            student, done = self._from_plain(state)
            state = {f'{STUDENT}{name}': tensor for name, tensor in student.items()}
        references = f'{STUDENT}references.'
        if not any(name.startswith(references) for name in state):
            mine = self.state_dict()
            state.update({name: mine[name] for name in mine if name.startswith(references)})
        return state, done

    def _from_plain(
        self, state: Mapping[str, torch.Tensor]
    ) -> Tuple[Dict[str, torch.Tensor], List[str]]:
        own = self.student.student.state_dict()
        student, renamed = fit_names(own, state)
        done = [] if renamed is None else [renamed]
        for layer in self.student.classifier_names:
            found, mine = student.get(f'{layer}.weight'), own[f'{layer}.weight']
            if found is None or len(found) == len(mine) or found.shape[1:] != mine.shape[1:]:
                continue
            names = [f'{layer}.weight', f'{layer}.bias']
            student.update({name: own[name] for name in names if name in own})
            done.append(f'"{layer}", for {len(found)} classes, starts anew for {len(mine)}')
        return student, done

    def _load_pretrained(self, source: str, prefix: Optional[str]) -> None:
        """Load the student, and what else fits, from a checkpoint."""
        try:
            _, state, note = read_weights(source)
            state, done = self.start_from(behind(prefix, state, f'checkpoint "{source}"'))
        except ConfigurationError as error:
            raise ConfigurationError(f'model.init_cfg: {error}') from error
        for part in [note, *done] if note else done:
            say(f'model.init_cfg: of "{source}", {part}')
        for name in [name for name in state if name.startswith('distiller.')]:
            # MMRazor's algorithm has one distiller.
            for teacher in self.distillers:
                state[f'distillers.{teacher}.{name[len("distiller.") :]}'] = state[name]
        mine = self.state_dict()
        names = [f'{STUDENT}{name}' for name in self.student.student.state_dict()]
        difference = state_dict_mismatch({name: mine[name] for name in names}, state)
        if difference is not None:
            raise ConfigurationError(
                f'model.init_cfg: the checkpoint "{source}" does not fit the student: {difference}'
            )
        fitting = {
            name: tensor
            for name, tensor in state.items()
            if name in mine and tensor.shape == mine[name].shape
        }
        broken = not_finite(fitting, self)
        if broken is not None:
            raise ConfigurationError(
                f'model.init_cfg: the checkpoint "{source}" holds weights that are no numbers (NaN or '
                f'infinite), the first in "{broken}"'
            )
        self.load_state_dict(fitting, strict=False)

    def _apply(
        self, fn: Callable[[torch.Tensor], torch.Tensor], *args: Any, **kwargs: Any
    ) -> 'EducationDistill':
        super()._apply(fn, *args, **kwargs)
        self.faculty.apply_(fn)
        return self

    def __deepcopy__(self, memo: dict) -> 'EducationDistill':
        """Copy what classifies: the student, without teachers and distillers.

        Averages of the weights (``EMAHook``) are made of such a copy, whose other parameters
        nobody would use. Parameters and buffers of the copy come in the order of the first ones
        here, as MMEngine's averages expect.
        """
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        memo[id(self.distillers)] = nn.ModuleDict()
        memo[id(self.faculty)] = Faculty()
        memo[id(self._self_teacher)] = None
        memo[id(self._views)] = {}
        memo[id(self.active_teachers)] = []
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin


class _Zero(torch.autograd.Function):
    """A loss of zero that leads to a parameter, and gives it no gradient, not even zeros, which
    momentum and weight decay would act on."""

    @staticmethod
    def forward(ctx: Any, zero: torch.Tensor, parameter: Optional[nn.Parameter]) -> torch.Tensor:
        return zero.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Tuple[None, None]:
        return None, None


def _initialize_margins(distiller: OFDDistiller, teacher: Teacher) -> None:
    """Compute the margins of overhaul distillation from the teacher's BatchNorm layers."""
    try:
        distiller.init_ofd_connectors(teacher.network)
    except AssertionError as error:
        raise ConfigurationError(f'distiller: {reason_of(error)}') from error


def _weigh(losses: Dict[str, Any], weight: float) -> Dict[str, Any]:
    """Multiply what MMEngine sums up to the total loss, that is all entries with "loss" in their
    names."""
    if weight == 1:
        return losses
    return {
        name: (
            [item * weight for item in value]
            if isinstance(value, (list, tuple))
            else value * weight
        )
        if 'loss' in name
        else value
        for name, value in losses.items()
    }
