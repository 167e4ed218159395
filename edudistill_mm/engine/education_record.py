"""What a checkpoint records of its education: ``meta['education']``."""

from numbers import Real
from typing import Any

from mmengine.runner import Runner

from ..curriculum import Curriculum, Grade
from ..datasets.class_lists import check_class_lists, class_names_of
from ..errors import ConfigurationError
from .grade_data import class_names
from .resumed_config import start_from_student
from .student_record import describe_student, student_difference

# Types of what a resumed run reads, in the notation of checkpoint.form.
FORM = dict(
    grade=str,
    seen=[int],
    curriculum=dict,
    teachers=[{'name': str, 'classes': [int], 'sha256?': str, 'source?': str, 'outputs?': [int]}],
    history={str: {str: Real}},
    validated=int,
    accuracy=list,
    **{'batches?': {str: int}},
)


def describe_education(model: Any) -> dict:
    """Grade, curriculum, student and teachers of an EducationDistill."""
    return dict(
        grade=model.grade.name,
        seen=list(model.grade.seen),
        curriculum=model.curriculum.to_dict(),
        student=describe_student(model.student),
        teachers=model.faculty.describe(),
    )


def recorded_grade(curriculum: Curriculum, education: dict) -> Grade:
    """Find the grade in which the checkpoint with this ``meta['education']`` was written."""
    for grade in curriculum.grades:
        if grade.name == education['grade'] and list(grade.seen) == education['seen']:
            recorded = education.get('curriculum', {}).get('grades', ())
            grade.check_depth(recorded, 'the checkpoint')
            return grade
    raise ConfigurationError(
        f'the checkpoint was saved in grade "{education["grade"]}" '
        f'with {len(education["seen"])} classes seen, but the curriculum has '
        f'{", ".join(f"{g.name} ({len(g.seen)})" for g in curriculum.grades)} with '
        f'other classes; test it with the config of its run'
    )


def check_same_education(runner: Runner, model: Any, checkpoint: dict) -> None:
    """Refuse to resume a run with other classes, curriculum, student or teachers."""
    where = f'cannot resume from "{runner._load_from or "the last checkpoint"}"'
    education = checkpoint.get('meta', {}).get('education')
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
        class_names(runner.train_dataloader),
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
    difference = _teachers_difference(model.faculty.describe(), education['teachers'])
    if difference is not None:
        raise ConfigurationError(f'{where}: {difference}')


def _teachers_difference(given: list[dict], saved: list[dict]) -> str | None:
    names, former = ([teacher['name'] for teacher in teachers] for teachers in (given, saved))
    if names != former:
        return (
            f'its teachers are {", ".join(former) or "none"}, those of the config are '
            f'{", ".join(names) or "none"}'
        )
    for now, then in zip(given, saved):
        for key in ('classes', 'outputs', 'sha256'):
            own, was = now.get(key), then.get(key)
            if own != was:
                if key == 'outputs':
                    own, was = own or 'all in order', was or 'all in order'
                return (
                    f'teacher "{now["name"]}" has {key} {own}, the run began with {was} '
                    f'(from "{then["source"]}")'
                )
    return None
