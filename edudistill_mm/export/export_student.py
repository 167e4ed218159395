"""Turn a checkpoint of a run into a plain MMPretrain model."""

import os
import os.path as osp

import torch

from edudistill_mm.checkpoint.atomic_write import atomic_write
from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.grade_config import config_text
from edudistill_mm.export.plain_student import PlainStudent


def grade_of_export(path: str) -> str | None:
    """:func:`grade_of_meta` of a plain student's file."""
    return grade_of_meta(load_checkpoint_file(path)['meta'])


def grade_of_meta(meta: dict) -> str | None:
    """The rest of a sentence on the grade of an exported student; None if it is complete."""
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
    config_out = f'{osp.splitext(out)[0]}.py'
    check_out(out, 'student.pth', taken=config_out)
    found = PlainStudent.of_checkpoint(run, checkpoint)
    os.makedirs(osp.dirname(out) or '.', exist_ok=True)
    # Written aside until it has been checked.
    part = f'{out}.part'
    try:
        with open(part, 'wb') as file:
            torch.save(dict(meta=found.meta, state_dict=found.state), file)
        exported = load_checkpoint_file(part)['state_dict']
        found.build(exported)
        os.replace(part, out)
    finally:
        if osp.exists(part):
            os.remove(part)
    atomic_write(config_out, lambda file: file.write(config_text(found.config).encode()))
    return out, config_out


def check_out(out: str, example: str, taken: str | None = None) -> None:
    """Refuse a folder as the file to write, and ``taken``, the path of another file."""
    if out == taken or osp.isdir(out):
        raise ConfigurationError(f'OUT must be a file such as "{example}", not "{out}"')
