import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edudistill_mm.curriculum import Curriculum
from edudistill_mm.datasets.samplers.grade_sampler import labels_of
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.labels import MIXED
from edudistill_mm.models.students import FragmentedStudent
from edudistill_mm.validation.values import check_keys

from .answers import open_answers
from .base_teacher import BaseTeacher
from .lesson import Lesson
from .teacher import Teacher
from .teacher_keys import SINGLE

TEACHER_KEYS = (
    'name',
    'architecture',
    'ckpt',
    'classes',
    'weight',
    'outputs',
    'data_preprocessor',
    'channel_order',
    'input_size',
    'averaged',
    'keep_answers',
)


class Faculty:
    """All teachers of a run, and which of them teaches which sample.

    Not an ``nn.Module``: its tensors must stay out of the parameters, the state dict, the
    optimizer, the copy of EMA and the broadcasts of DDP.
    """

    def __init__(self, teachers: Sequence[Teacher] = ()) -> None:
        self.teachers: list[Teacher] = list(teachers)
        self._known_shares: dict[tuple, torch.Tensor] = {}

    @staticmethod
    def names(configs: Sequence[dict] | None) -> list[str]:
        """The names in ``teachers``, whose outer form is checked before anything is built."""
        if configs is None:
            return []
        if not isinstance(configs, (list, tuple)):
            raise ConfigurationError(f'teachers must be a list of dicts, but got {configs!r}')
        names: list[str] = []
        for index, cfg in enumerate(configs):
            key = f'teachers[{index}]'
            check_keys(cfg, TEACHER_KEYS, key)
            for required in ('name', 'architecture'):
                if required not in cfg:
                    raise ConfigurationError(f'{key} lacks the key "{required}"')
            name = cfg['name']
            if not isinstance(name, str) or not re.fullmatch(r'\w[\w-]*', name):
                raise ConfigurationError(
                    f'{key}.name must consist of letters, digits, "_" and "-", but got {name!r}'
                )
            if name in names:
                raise ConfigurationError(f'{key}.name "{name}" is given twice')
            if not isinstance(cfg['architecture'], (str, Path, dict, nn.Module)):
                raise ConfigurationError(
                    f'{key}.architecture must be a model config, "package::config", the name of a '
                    f'model or the path of a config file, but got {cfg["architecture"]!r}'
                )
            if not isinstance(cfg.get('ckpt'), (str, Path, type(None))) or cfg.get('ckpt') == '':
                raise ConfigurationError(
                    f'{key}.ckpt must be a path or a URL, but got {cfg["ckpt"]!r}'
                )
            names.append(name)
        return names

    @classmethod
    def from_cfg(
        cls,
        configs: Sequence[dict] | None,
        curriculum: Curriculum,
        run_preprocessor: nn.Module | None = None,
        keep_inplace: bool = False,
        student: FragmentedStudent | None = None,
        single: bool = False,
        keep_answers: bool | dict = False,
    ) -> 'Faculty':
        """Build, load and freeze the teachers of a config.

        Each is a dict of arguments of :class:`Teacher`, where ``classes`` is ``'all'``, the name
        of a grade, or a list in the order of the outputs. ``single``: messages name
        ``model.teacher``. ``keep_answers`` is for the teachers that do not say it themselves.
        """
        teachers = []
        for index, cfg in enumerate(configs or ()):
            key = SINGLE if single else f'teachers[{index}]'
            cfg = dict(dict(keep_answers=keep_answers), **cfg)
            try:
                classes = curriculum.classes_of(cfg.pop('classes', 'all'))
            except ConfigurationError as error:
                raise ConfigurationError(f'{key}.classes: {error}') from error
            if len(classes) == 1 and curriculum.num_classes > 1:
                raise ConfigurationError(
                    f'{key}.classes is class {classes[0]} alone, of which no teacher can say more than '
                    f'that it is the one; give {key} two classes or more, or leave it out'
                )
            teacher = Teacher(
                classes=classes,
                num_classes=curriculum.num_classes,
                run_preprocessor=run_preprocessor,
                run_channels=None if student is None else student.trace.image_shape[0],
                keep_inplace=keep_inplace,
                key=key,
                **cfg,
            )
            teacher.check_head()
            teachers.append(teacher)
        return cls(teachers)

    @property
    def open_question(self) -> str | None:
        """The first :attr:`Teacher.open_question` of a teacher that has one."""
        questions = (teacher.open_question for teacher in self.teachers)
        return next((question for question in questions if question is not None), None)

    def introduce_data(
        self, class_names: Sequence[str] | None = None, channel_order: str | None = None
    ) -> None:
        """:meth:`Teacher.introduce_data` of each teacher."""
        for teacher in self.teachers:
            teacher.introduce_data(class_names, channel_order)

    def open_answers(
        self,
        dataset: Any,
        preprocessor: nn.Module,
        folder: str,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """Open the tables of the teachers whose answers are kept, or make them.

        From then on these teachers are asked of images of this data set, whose samples say their
        ``sample_idx`` and ``view``.

        Args:
            dataset (ResidentDataset): The training data, whose views can be counted.
            preprocessor (nn.Module): The data preprocessor of the run.
            folder (str): Folder of the tables of those teachers whose config names none.
            precision (torch.dtype): The type in which teachers compute. Defaults to float32.
        """
        labels = labels_of(dataset)
        for teacher in self.teachers:
            if teacher.keeping is not None:
                teacher.answers = open_answers(
                    teacher, dataset, labels, preprocessor, folder, precision
                )

    def apply_(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Pass ``nn.Module._apply`` (``.to``, ``.cuda``, ``.half``) on to the teachers."""
        for teacher in self.teachers:
            teacher.network._apply(function)
            teacher.inputs._apply(function)

    def describe(self) -> list[dict]:
        """list[dict]: :meth:`Teacher.describe` of each teacher."""
        return [teacher.describe() for teacher in self.teachers]

    def _shares_of(
        self, active: Sequence[BaseTeacher], batch_size: int, device: torch.device
    ) -> torch.Tensor:
        """The shares of teachers that all teach a whole batch, [len(active)]."""
        key = tuple(teacher.name for teacher in active), batch_size, device
        if key not in self._known_shares:
            # Kept: the weights would be copied to the device in each step.
            everything = torch.ones(len(active), batch_size, dtype=torch.bool, device=device)
            self._known_shares[key] = _shares(active, everything)
        return self._known_shares[key]

    def assign(self, active: Sequence[BaseTeacher], labels: torch.Tensor | None) -> list[Lesson]:
        """Send each sample of a batch to the active teachers that cover its class.

        A teacher with n of B samples that it shares with nobody gets a loss weight of n / B;
        samples that several teachers cover are shared out in proportion to the teachers' weights.
        ``labels`` [B] are those of :func:`classes_of`: generalists alone teach :data:`MIXED`
        samples. A single generalist needs none. Teachers without samples have no lesson.
        """
        if len(active) == 1 and active[0].is_generalist:
            return [Lesson(active[0], None, None)]
        if all(teacher.is_generalist for teacher in active):
            shares = self._shares_of(active, len(labels), labels.device)
            return [Lesson(teacher, None, share) for teacher, share in zip(active, shares)]
        covered = torch.stack(
            [
                torch.where(
                    labels.eq(MIXED),
                    teacher.is_generalist,
                    teacher.classes.positions(labels.device)[labels] >= 0,
                )
                for teacher in active
            ]
        )
        shares = _shares(active, covered)
        # Two synchronisations with the device, however many teachers there are.
        counts = covered.sum(1).tolist()
        rows_of = covered.nonzero()[:, 1].split(counts)
        return [
            Lesson(teacher, None if count == len(labels) else rows, share)
            for teacher, count, rows, share in zip(active, counts, rows_of, shares)
            if count
        ]


def _shares(active: Sequence[BaseTeacher], covered: torch.Tensor) -> torch.Tensor:
    """The weight of each teacher's loss, [T]; ``covered`` [T, B]: whom it teaches."""
    weights = torch.tensor([teacher.weight for teacher in active], device=covered.device)
    weights = weights[:, None] * covered
    return (weights / weights.sum(0).clamp_min(torch.finfo(weights.dtype).tiny)).mean(1)
