import os.path as osp
import shlex

from mmengine.runner import Runner

from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.cost.against_plain import against_plain
from edudistill_mm.cost.training_cost import training_cost
from edudistill_mm.engine.validation_record import ACCURACIES
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.export_student import grade_of_export

from .tool_path import tool_path


def closing_lines(
    runner: Runner, run: RunConfig, last: str, student: tuple[str, str]
) -> list[str]:
    """What a user wants to know when a training has ended: how good, how dear, where, what next.

    Args:
        runner (Runner): It has trained.
        run (RunConfig): Its config.
        last (str): Its last checkpoint.
        student (tuple[str, str]): The exported student: checkpoint and config.
    """
    cfg, lines = run.cfg, []
    scalars = runner.message_hub.log_scalars
    accuracy = next(
        (scalars[key] for key in map('val/{}'.format, ACCURACIES) if key in scalars), None
    )
    if accuracy is not None:
        lines.append(f'Top-1 accuracy of the last validation: {accuracy.current():.2f} %')
    try:
        cost = training_cost(run)
    except (ConfigurationError, OSError) as error:
        # Such as data that are gone since: no reason to end a finished training by an error.
        lines.append(f'The costs are not counted, because {error}')
    else:
        lines += against_plain(cost, _trained(run, last))
    line = f'The plain MMPretrain student: {student[0]}, its config: {student[1]}'
    grade = grade_of_export(student[0])
    lines.append(line if grade is None else f'{line}; the run has ended early: it is {grade}')
    # MMEngine has put the whole config there, options of the command line included.
    config = osp.join(cfg.work_dir, osp.basename(cfg.filename or f'{runner.timestamp}.py'))
    onnx = osp.join(cfg.work_dir, 'student.onnx')
    commands = {
        'Tables and plots': ['report', cfg.work_dir],
        'The student for use without torch': [
            *('export_student', config, last, onnx, '--format', 'onnx')
        ],
    }
    for purpose, (tool, *arguments) in commands.items():
        command = ['python', osp.relpath(tool_path(tool)), *arguments]
        lines.append(f'{purpose}: {shlex.join(command)}')
    return lines


def _trained(run: RunConfig, last: str) -> list[int]:
    """Epochs (or iterations) of each grade up to a checkpoint, less what early stopping left out."""
    meta, curriculum = load_checkpoint_file(last)['meta'], run.curriculum
    progress = meta['epoch' if curriculum.by_epoch else 'iter']
    # Earlier versions have written none.
    ended = meta['education'].get('early_ends', {}).get('at', {})
    return [
        max(0, min(ended.get(grade.name, grade.end), progress) - grade.begin)
        for grade in curriculum.grades
    ]
