"""The student of a grade as a model of MMPretrain: its config, its tensors, its ``meta``."""

import inspect
import textwrap

from mmengine.config import Config
from torch import Tensor

from edudistill_mm.curriculum import Grade
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.plain_config import plain_config
from edudistill_mm.models.students import FragmentedStudent, grade_student

STUDENT, REFERENCES = 'architecture.', 'architecture.references.'


def plain_student_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The student in a run's state dict by the plain model's names; empty if there is none."""
    return {
        name.removeprefix(STUDENT): tensor
        for name, tensor in state.items()
        if name.startswith(STUDENT)
        and not name.startswith((REFERENCES, f'{STUDENT}data_preprocessor.'))
    }


def grade_student_config(cfg: Config, student: FragmentedStudent) -> Config:
    """Derive the config of the student as it is at its current grade.

    This is :func:`plain_config`, with :class:`GradeStudent` around its model if the student is at
    a lower depth or only a part of the classes is taught. A teaching reference of a type that
    cannot be written so is refused.
    """
    plain = plain_config(cfg)
    if student.at_full_depth and student.seen.complete:
        return plain
    model = dict(type='GradeStudent', student=plain.model, seen=list(student.seen.classes))
    reference = student.reference
    if student.growth and not student.at_full_depth:
        model.update(passed_by=student.unused_modules())
    if reference is not None:
        if not hasattr(reference, 'layers'):
            raise ConfigurationError(
                f'architecture.reference of type {type(reference).__name__} has no method "layers", '
                f'which names the layers of torch that do the same'
            )
        cut = student.cuts[student.depth - 1]
        layout, classifier = student.trace.features[cut], reference.head.fc
        model.update(
            cut=cut,
            unused=[name for name in student.unused_modules() if name != 'head'],
            channels_last=layout.channels_last,
            prefix=layout.prefix if layout.tokens else None,
            adapter=reference.layers(),
            head=dict(
                type='LinearClsHead',
                num_classes=classifier.out_features,
                in_channels=classifier.in_features,
            ),
        )
    plain.model = model
    return plain


def grade_student_state(
    state: dict[str, Tensor], config: Config, student: FragmentedStudent
) -> dict[str, Tensor]:
    """The tensors of a run's state dict that the model of :func:`grade_student_config` has."""
    plain = plain_student_state(state)
    passed = tuple(f'{name}.' for name in config.model.get('passed_by', ()))
    plain = {name: tensor for name, tensor in plain.items() if not name.startswith(passed)}
    if config.model.get('cut') is None:
        return plain
    unused = tuple(f'{name}.' for name in (*config.model.get('unused', ()), 'head'))
    prefix = f'{REFERENCES}{student.depth - 1}.'
    own = {name[len(prefix) :]: state[name] for name in state if name.startswith(prefix)}
    return {name: plain[name] for name in plain if not name.startswith(unused)} | own


def grade_meta(meta: dict, grade: Grade) -> dict:
    """What a student's ``meta`` says of its grade: its name and its taught classes with names."""
    names = (meta.get('dataset_meta') or {}).get('classes') or ()
    seen = {label: names[label] if label < len(names) else str(label) for label in grade.seen}
    return dict(grade=grade.name, seen_classes=seen)


def config_text(config: Config) -> str:
    """A config's file, with the definition of :class:`GradeStudent` if its model is one."""
    text = config.pretty_text
    if config.model.type != 'GradeStudent':
        return text
    source = textwrap.indent(inspect.getsource(grade_student), '    ')
    # The _base_ tells MMEngine that this is no lazy config, although it imports something.
    return (
        '# The student of a lower grade: its first fragments with their own head. Its model is\n'
        '# defined here, so that MMPretrain alone can load it.\n'
        '_base_ = []\n\n\n'
        f'def _define_grade_student():\n{source}\n'
        "    MODELS.register_module(name='GradeStudent', module=GradeStudent, force=True)\n\n\n"
        f'_define_grade_student()\n\n{text}'
    )
