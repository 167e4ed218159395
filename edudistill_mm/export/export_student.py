"""Turn a checkpoint of a run into a plain MMPretrain model."""

import os
import os.path as osp
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from edudistill_mm.checkpoint.atomic_write import atomic_write
from edudistill_mm.checkpoint.form import check_form
from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.checkpoint.state_dict_checks import check_finite
from edudistill_mm.checkpoint.weights import extract_state_dict
from edudistill_mm.config.check_classes import check_classes
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.curriculum import Curriculum, Grade
from edudistill_mm.datasets.class_lists import class_names_of
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.grade_config import (
    STUDENT,
    config_text,
    grade_meta,
    grade_student_config,
    grade_student_state,
    plain_student_state,
)
from edudistill_mm.export.plain_model import build_plain, gives_same_scores, load_difference
from edudistill_mm.export.preparation import next_stage, preparation_of
from edudistill_mm.models.students import FragmentedStudent


def grade_of_export(path: str) -> str | None:
    """The rest of a sentence on the grade of an exported student; None if it is complete."""
    meta = load_checkpoint_file(path)['meta']
    if 'grade' not in meta:
        return None
    curriculum = meta['education']['curriculum']
    names = [grade['name'] for grade in curriculum['grades']]
    return (
        f'that of grade {names.index(meta["grade"]) + 1} of {len(names)} "{meta["grade"]}" and knows '
        f'{len(meta["seen_classes"])} of {curriculum["num_classes"]} classes'
    )


def export_student(run: RunConfig, checkpoint: str, out: str) -> tuple[str, str]:
    """Write the student of a checkpoint as a plain MMPretrain checkpoint with its config.

    Of a checkpoint of a lower grade it is the student of that grade; see
    :func:`grade_student_config`. What was written is read back: the plain model must take all of
    its tensors and give exactly the class scores of the run's student.

    Args:
        run (RunConfig): What :func:`load_config` returned for an :class:`EducationDistill` run or
            plain distillation.
        checkpoint (str): A checkpoint of it, of any grade; also one that MMRazor's own
            ``SingleTeacherDistill`` has written.
        out (str): The file to write, ``<name>.pth``; its config becomes ``<name>.py``.

    Returns:
        tuple[str, str]: Path of the checkpoint and of the config.

    Raises:
        ConfigurationError: If the checkpoint is unreadable or does not belong to the config, or
            the config is that of a stage without a student.
    """
    cfg = run.cfg
    reason = preparation_of(cfg)
    if reason is not None:
        raise ConfigurationError(
            f'checkpoint "{checkpoint}" has no student to export, because {reason}; {next_stage(checkpoint)}'
        )
    if not run.is_education:
        raise ConfigurationError(
            'model.type must be EducationDistill or SingleTeacherDistill here, but is '
            f'"{cfg.model.get("type")}"'
        )
    _ = run.curriculum  # an invalid one is refused before the checkpoint is read
    config_out = f'{osp.splitext(out)[0]}.py'
    if config_out == out or osp.isdir(out):
        raise ConfigurationError(f'OUT must be a file such as "student.pth", not "{out}"')
    loaded = load_checkpoint_file(checkpoint)
    check_form(loaded, checkpoint, resume=False)
    run_state = extract_state_dict(loaded, f'checkpoint "{checkpoint}"')
    if not plain_student_state(run_state):
        raise ConfigurationError(
            f'checkpoint "{checkpoint}" holds no student (no tensor "{STUDENT}..."): give a '
            'checkpoint of the run'
        )
    check_classes(run, class_names_of(loaded), f'"{checkpoint}"', ('test_dataloader',))
    meta = loaded.get('meta') or {}
    kept = {key: meta[key] for key in ('dataset_meta', 'education') if key in meta}
    algorithm = run.build_without_teachers()
    grade = _grade_of(algorithm.curriculum, meta.get('education'), checkpoint)
    algorithm.set_grade(grade)
    student = algorithm.student
    plain = grade_student_config(cfg, student)
    state = grade_student_state(run_state, plain, student)
    if plain.model.type == 'GradeStudent':
        kept.update(grade_meta(meta, grade))
    os.makedirs(osp.dirname(out) or '.', exist_ok=True)
    # Written aside until it has been checked.
    part = f'{out}.part'
    try:
        with open(part, 'wb') as file:
            torch.save(dict(meta=kept, state_dict=state), file)
        exported = load_checkpoint_file(part)['state_dict']
        _check(student, plain, run_state, exported, checkpoint)
        os.replace(part, out)
    finally:
        if osp.exists(part):
            os.remove(part)
    atomic_write(config_out, lambda file: file.write(config_text(plain).encode()))
    return out, config_out


def _grade_of(curriculum: Curriculum, education: Any, source: str) -> Grade:
    """The grade of a checkpoint: the last one, unless its ``meta`` names another."""
    if not education or education['grade'] == education['curriculum']['grades'][-1]['name']:
        return curriculum.grades[-1]
    for grade in curriculum.grades:
        if grade.name == education['grade'] and list(grade.seen) == list(education['seen']):
            return grade
    raise ConfigurationError(
        f'checkpoint "{source}" was saved in grade "{education["grade"]}" with '
        f'{len(education["seen"])} classes seen, which the curriculum of the config does not have; '
        'export it with the config of its run'
    )


def _check(
    student: FragmentedStudent,
    plain: Config,
    state: dict[str, Tensor],
    exported: dict[str, Tensor],
    source: str,
) -> None:
    """Compare the plain model with exported tensors to the run's student with its own."""
    model = build_plain(plain)
    difference = load_difference(model, exported)
    if difference is not None:
        raise ConfigurationError(
            f'checkpoint "{source}" does not fit the student of the config: {difference}'
        )
    check_finite(exported, model, f'checkpoint "{source}"', f'"{STUDENT}{{}}"')
    own = {name.removeprefix(STUDENT): state[name] for name in state if name.startswith(STUDENT)}
    wanted = student.state_dict()
    # The checkpoint may have other references for other grades.
    fitting = {
        name: own[name] for name in wanted if name in own and own[name].shape == wanted[name].shape
    }
    student.load_state_dict(fitting, strict=False)
    if not gives_same_scores(model, student, {}):
        raise ConfigurationError(
            f'the plain student of "{source}" gives other class scores than the student of the run'
        )
