"""The curriculum of an education: which grades follow one another and what each teaches."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import class_sets
from .errors import ConfigurationError, did_you_mean
from .grade import Grade
from .grade_teachers import joining, leaving
from .validation.values import (
    check_choice,
    check_keys,
    check_positive,
    check_probability,
    check_size,
    check_weight,
)

__all__ = ['Curriculum', 'Grade']

CURRICULUM_KEYS = ('num_classes', 'class_order', 'grades')
CHOICES = dict(optimizer=('keep', 'reset'), samples=('mixed', 'by_teacher'))
# Keys without a default of their own: a grade that does not give one has that of the model.
OPTIONS = ('task_loss_weight', 'distill_loss_weight', 'temperature')
GRADE_KEYS = (
    *('name', 'epochs', 'iters', 'fragments', 'classes', 'teachers', 'leave'),
    *('image_size', 'augmentation'),
    *CHOICES,
    *OPTIONS,
)


@dataclass(frozen=True)
class Curriculum:
    """The ordered grades of an education, validated once by :meth:`from_cfg`.

    Attributes:
        num_classes (int): Number of classes of the dataset.
        class_order (tuple[int, ...]): Order in which grades that give a number of classes take
            them.
        grades (tuple[Grade, ...]): The grades, each beginning where the one before ends.
        by_epoch (bool): Whether the grades count epochs; iterations otherwise.
    """

    num_classes: int
    class_order: tuple[int, ...]
    grades: tuple[Grade, ...]
    by_epoch: bool

    @property
    def length(self) -> int:
        """Duration of all grades in epochs (or iterations)."""
        return self.grades[-1].end

    @property
    def fragments(self) -> int:
        """Number of fragments that the last grade runs."""
        return self.grades[-1].fragments

    @property
    def needs_sampler(self) -> bool:
        """Whether grades differ in what a ``GradeSampler`` decides about the samples."""
        return any(
            len(grade.seen) < self.num_classes
            or grade.samples != 'mixed'
            or grade.augmentation != 1
            for grade in self.grades
        )

    @classmethod
    def from_cfg(cls, cfg: Mapping, teachers: Sequence[str] = ()) -> 'Curriculum':
        """Build a curriculum from a config.

        Args:
            cfg (Mapping): ``num_classes`` (int), ``grades`` (list of dicts) and optionally
                ``class_order``: None for 0, 1, 2, ..., a list of all classes, or
                ``dict(type='shuffle', seed=0)``. A grade has

                - ``epochs`` or ``iters`` (int): its duration, the same unit in all grades;
                - ``name`` (str): default 'grade1', 'grade2', ...;
                - ``fragments`` (int): fragments of the student that run, never fewer than in the
                  grade before. Default: as many as there, 1 in the first grade;
                - ``classes``: the classes it adds, as a number or a share (a float such as 1/3;
                  both are taken from ``class_order``), a list of indices or 'all' (all that are
                  not taught yet). The shares of several grades are cut at their rounded-down
                  sums: three times 1/3 of 100 classes ends at 33, 66 and 100. Default 0;
                - ``teachers`` (list of str): the teachers that join. If no grade names any, all
                  join at the first;
                - ``leave`` (list of str): the teachers that leave, which have joined at an earlier
                  grade and do not come back. A grade without teachers trains the student alone.
                  Default none;
                - ``optimizer`` ('keep' or 'reset'): what becomes of the optimizer's state at the
                  promotion into the grade. Default 'keep';
                - ``samples`` ('mixed' or 'by_teacher'): the order of the samples. Default 'mixed';
                - ``task_loss_weight``, ``distill_loss_weight`` (float): factors of the student's own
                  loss and of the distillation losses in this grade. Default those of the model;
                - ``temperature`` (float): that of all distillation losses that have one, in this
                  grade. Default each loss's own;
                - ``image_size`` (int, (height, width), or a share of the sides such as 0.75): the
                  size to which the images of a batch are resized for the student, in training
                  alone: teachers see the images as they
                  come or at their own ``input_size``, validations and tests are at full size.
                  Small images first and full ones last is progressive resizing (EfficientNetV2,
                  arXiv 2104.00298). Default None: as they come, always so in the last grade;
                - ``augmentation`` (float): the probability, from 0 to 1, with which an image of
                  resident data passes the random transforms of its pipeline; otherwise all have
                  their neutral outcomes: the crop at the centre, no flip, no rotation, nothing
                  erased. Default 1.
            teachers (Sequence[str]): Names of all teachers. Each joins exactly once.

        Raises:
            ConfigurationError: If anything in ``cfg`` is unknown, of a wrong type or contradicts
                the rest.
        """
        check_keys(cfg, CURRICULUM_KEYS, 'curriculum')
        num_classes = cfg.get('num_classes')
        if num_classes == 'auto':
            raise ConfigurationError(
                'curriculum.num_classes is "auto", which load_config of edudistill_mm.apis (and with it '
                'every tool) and EducationRunner replace by the number of classes of the data set; give '
                'a number here'
            )
        num_classes = check_positive(num_classes, 'curriculum.num_classes')
        class_order = class_sets.class_order(cfg.get('class_order'), num_classes)
        grade_cfgs = cfg.get('grades')
        if not isinstance(grade_cfgs, (list, tuple)) or not grade_cfgs:
            raise ConfigurationError(
                f'curriculum.grades must be a list of at least one grade, not {grade_cfgs!r}'
            )
        for index, grade_cfg in enumerate(grade_cfgs):
            check_keys(grade_cfg, GRADE_KEYS, f'curriculum.grades[{index}]')

        unit = _unit(grade_cfgs)
        joined = joining(grade_cfgs, teachers)
        left = leaving(grade_cfgs, joined)
        grades: list[Grade] = []
        taught_by: dict[int, str] = {}  # class -> name of the grade that adds it
        shared = 0.0  # what the grades so far take as shares
        for index, grade_cfg in enumerate(grade_cfgs):
            key = f'curriculum.grades[{index}]'
            before = grades[-1] if grades else None
            name = _name(f'{key}.name', grade_cfg.get('name', f'grade{index + 1}'), grades)
            begin = before.end if before else 0
            fragments = grade_cfg.get('fragments', before.fragments if before else 1)
            fragments = check_positive(fragments, f'{key}.fragments')
            if before and fragments < before.fragments:
                raise ConfigurationError(
                    f'{key}.fragments is {fragments}, but the grade "{before.name}" before it already runs '
                    f'{before.fragments}: a student only deepens'
                )
            for option, possible in CHOICES.items():
                check_choice(grade_cfg.get(option, possible[0]), possible, f'{key}.{option}')
            options = {k: grade_cfg[k] for k in OPTIONS if grade_cfg.get(k) is not None}
            for option, value in options.items():
                check_weight(value, f'{key}.{option}')
            if options.get('temperature') == 0:
                raise ConfigurationError(f'{key}.temperature must be a number above 0, but got 0')
            image_size = grade_cfg.get('image_size')
            if not isinstance(image_size, float) or not 0 < image_size < 1:
                image_size = check_size(
                    image_size, f'{key}.image_size', 'a share of the sides (a float such as 0.75)'
                )
            if image_size is not None and index + 1 == len(grade_cfgs):
                raise ConfigurationError(
                    f'{key}.image_size is {grade_cfg["image_size"]!r}, but the last grade is the plain '
                    f'student on full images, by which it is validated; leave image_size out there'
                )
            augmentation = grade_cfg.get('augmentation', 1.0)
            augmentation = check_probability(augmentation, f'{key}.augmentation')
            untaught = [c for c in class_order if c not in taught_by]
            given = count = grade_cfg.get('classes', 0)
            if isinstance(given, float) and 0 < given <= 1:
                count = class_sets.share(f'{key}.classes', (shared, shared + given), num_classes)
                shared += given
            classes = class_sets.new_classes(f'{key}.classes', count, untaught, num_classes)
            for c in classes:
                if c in taught_by:
                    raise ConfigurationError(
                        f'{key}.classes of the grade "{name}" holds class {c}, which the grade '
                        f'"{taught_by[c]}" teaches already; each class is added once'
                    )
                taught_by[c] = name
            if not taught_by:
                raise ConfigurationError(
                    f'{key}.classes is {given!r}, but the first grade must teach at least one class'
                )
            staying = [t for t in (before.teachers if before else ()) if t not in left[index]]
            grades.append(
                Grade(
                    index=index,
                    name=name,
                    begin=begin,
                    end=begin + check_positive(grade_cfg[unit], f'{key}.{unit}'),
                    fragments=fragments,
                    classes=tuple(sorted(classes)),
                    seen=tuple(sorted(taught_by)),
                    new_teachers=joined[index],
                    leaving=left[index],
                    teachers=(*staying, *joined[index]),
                    image_size=image_size,
                    augmentation=augmentation,
                    **{option: grade_cfg.get(option, CHOICES[option][0]) for option in CHOICES},
                    **options,
                )
            )

        left_out = [c for c in class_order if c not in taught_by]
        if left_out:
            raise ConfigurationError(
                f'curriculum.grades teach {len(taught_by)} of num_classes={num_classes} classes: '
                f'{class_sets.listing(sorted(left_out))} never taught; classes="all" in the last grade '
                'takes the rest'
            )
        return cls(num_classes, class_order, tuple(grades), by_epoch=unit == 'epochs')

    def grade_at(self, progress: int) -> Grade:
        """The grade of an epoch (or iteration) counted from 0; past the end, the last one."""
        if progress < 0:
            raise ConfigurationError(
                f'progress is {progress}, but {self._unit} are counted from 0'
            )
        return next((grade for grade in self.grades if progress < grade.end), self.grades[-1])

    def classes_of(self, spec: str | Sequence[int] | Sequence[float]) -> tuple[int, ...]:
        """Resolve a set of classes as a teacher's config names it; there is at least one.

        Args:
            spec (str | Sequence[int] | Sequence[float]): 'all'; the name of a grade (the classes
                it adds); a list of class indices, whose order is kept; or two floats, such as
                ``[0.0, 1/3]`` for the first third of ``class_order``, which are its classes in
                ascending order.
        """
        if isinstance(spec, str):
            if spec == 'all':
                return tuple(range(self.num_classes))
            names = [grade.name for grade in self.grades]
            if spec not in names:
                raise ConfigurationError(
                    f'classes="{spec}" is neither "all" nor a grade of the curriculum, which are '
                    f'{_quoted(names)}{did_you_mean(spec, ["all", *names])}'
                )
            classes = self.grades[names.index(spec)].classes
            if not classes:
                raise ConfigurationError(
                    f'classes="{spec}" names a grade that adds no classes; give "all", a grade that adds '
                    'some or a list of classes'
                )
            return classes
        if isinstance(spec, (list, tuple)) and [type(x) for x in spec] == [float, float]:
            count = class_sets.share('classes', spec, self.num_classes)
            begin = class_sets.border(spec[0], self.num_classes)
            return tuple(sorted(self.class_order[begin : begin + count]))
        classes = class_sets.class_list('classes', spec, self.num_classes)
        if not classes:
            raise ConfigurationError(
                'classes=[] is empty; give "all", the name of a grade or a list of classes'
            )
        return classes

    def check_length(self, by_epoch: bool, length: int) -> None:
        """Refuse a training loop whose unit or length is not that of the curriculum."""
        loop_unit = 'epochs' if by_epoch else 'iters'
        if by_epoch != self.by_epoch:
            raise ConfigurationError(
                f'train_cfg counts {loop_unit} (max_{loop_unit}={length}), but the grades of the curriculum '
                f'give {self._unit}; give {loop_unit} in all grades, or max_{self._unit}={self.length} in '
                'train_cfg'
            )
        if length != self.length:
            terms = ' + '.join(str(grade.length) for grade in self.grades)
            total = terms if len(self.grades) == 1 else f'{terms} = {self.length}'
            raise ConfigurationError(
                f'train_cfg.max_{loop_unit} is {length}, but the {loop_unit} of the curriculum add up to '
                f'{total}; both must be the same{" (--epochs N of the tools sets both)" if by_epoch else ""}'
            )

    def to_dict(self) -> dict:
        """A JSON-able config from which :meth:`from_cfg` builds an equal curriculum."""
        return dict(
            num_classes=self.num_classes,
            class_order=list(self.class_order),
            grades=[
                {
                    'name': grade.name,
                    self._unit: grade.length,
                    'fragments': grade.fragments,
                    'classes': list(grade.classes),
                    'teachers': list(grade.new_teachers),
                    'optimizer': grade.optimizer,
                    'samples': grade.samples,
                    # Checkpoints of earlier versions do not have these.
                    **({'leave': list(grade.leaving)} if grade.leaving else {}),
                    **{k: getattr(grade, k) for k in OPTIONS if getattr(grade, k) is not None},
                    **(
                        {}
                        if grade.image_size is None
                        else {'image_size': _plain(grade.image_size)}
                    ),
                    **({'augmentation': grade.augmentation} if grade.augmentation != 1 else {}),
                }
                for grade in self.grades
            ],
        )

    def difference(self, other: Mapping) -> str | None:
        """Name the first difference from what :meth:`to_dict` of another curriculum returned.

        The phrase is such as 'grade 2 "middle": fragments 2, was 3'. ``class_order`` is not
        compared: the classes of the grades show all that it decides.
        """
        own = self.to_dict()
        if own['num_classes'] != other.get('num_classes'):
            return f'num_classes {self.num_classes}, was {other.get("num_classes")}'
        other_grades = other.get('grades', [])
        if len(self.grades) != len(other_grades):
            return f'number of grades {len(self.grades)}, was {len(other_grades)}'
        for index, (grade, old) in enumerate(zip(own['grades'], other_grades), 1):
            where = f'grade {index} "{grade["name"]}"'
            if self._unit not in old:
                return (
                    f'{where}: counts {self._unit}, was {"iters" if self.by_epoch else "epochs"}'
                )
            for key in dict.fromkeys((*grade, *old)):
                value = grade.get(key)
                if value == old.get(key):
                    continue
                if key == 'classes':
                    added, dropped = set(value) - set(old[key]), set(old[key]) - set(value)
                    return (
                        f'{where}: {len(value)} classes, was {len(old[key])} '
                        f'(added {sorted(added)}, dropped {sorted(dropped)})'
                    )
                return f'{where}: {key} {value}, was {old.get(key)}'
        return None

    @property
    def _unit(self) -> str:
        return 'epochs' if self.by_epoch else 'iters'


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _name(key: str, name: Any, grades: Sequence[Grade]) -> str:
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f'{key} must be a non-empty string, not {name!r}')
    if name == 'all':
        raise ConfigurationError(
            f'{key} is "all", which stands for all classes; choose another name'
        )
    if any(name == grade.name for grade in grades):
        raise ConfigurationError(
            f'{key} is "{name}", which an earlier grade is called; names are unique'
        )
    return name


def _unit(grade_cfgs: Sequence[Mapping]) -> str:
    """The unit that all grades count in: 'epochs' or 'iters'."""
    units = set()
    for index, cfg in enumerate(grade_cfgs):
        given = [unit for unit in ('epochs', 'iters') if unit in cfg]
        if len(given) != 1:
            raise ConfigurationError(
                f'curriculum.grades[{index}] gives {"both epochs and iters" if given else "no duration"}; '
                'set either epochs or iters'
            )
        units.update(given)
    if len(units) > 1:
        raise ConfigurationError(
            'curriculum.grades mix epochs and iters; set epochs in all grades or iters in all grades'
        )
    return units.pop()


def _quoted(names: Iterable[str]) -> str:
    return ', '.join(f'"{name}"' for name in names)
