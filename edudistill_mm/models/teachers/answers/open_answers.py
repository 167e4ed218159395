import logging
from functools import partial
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from .about import about
from .answer_table import AnswerTable, ForeignTable
from .keeping import Keeping
from .kept_answers import KeptAnswers


def open_answers(
    teacher: Any,
    dataset: Any,
    labels: Tensor,
    preprocessor: Any,
    folder: str,
    precision: torch.dtype,
) -> KeptAnswers | None:
    """Open, or make, the table of a teacher's answers on a data set.

    Args:
        teacher (Teacher): The teacher, on its device, with its data introduced; its ``keeping``
            says how.
        dataset (ResidentDataset): The training data, whose views can be counted.
        labels (Tensor): Their labels, int64 [N].
        preprocessor (nn.Module): The data preprocessor of the run.
        folder (str): Folder of the tables, if the teacher's ``keeping`` names none.
        precision (torch.dtype): float32, or the type of autocast in which the run asks.

    Returns:
        KeptAnswers | None: None if they cannot be kept, of which a warning says why: the network
        is asked in each step then.
    """
    keeping: Keeping = teacher.keeping
    folder = keeping.folder or folder
    covered = teacher.classes.positions(labels.device)[labels] >= 0
    images = covered.nonzero().flatten().cpu().numpy()
    if not len(images):
        return None
    what = about(
        teacher.network, teacher.inputs, preprocessor, dataset.fingerprint, f'{precision}'
    )
    device = next(teacher.network.parameters()).device
    shape = len(dataset), dataset.num_views, teacher.columns.num_classes
    try:
        table = AnswerTable(folder, what, shape, keeping.dtype)
        answers = KeptAnswers(
            table,
            partial(_ask, teacher, precision),
            partial(_show, dataset, preprocessor),
            images,
            f'{teacher.key}.keep_answers',
        )
        if device.type == 'cuda':
            answers.copy_to(device)
    except ForeignTable as error:
        _warn(teacher, f'{error}; delete it if nothing needs it')
        return None
    except OSError as error:
        _warn(teacher, f'"{folder}" cannot take them: {(error.strerror or str(error)).lower()}')
        return None
    print_log(
        f'Teacher "{teacher.name}": {answers.wanted - len(answers.missing())} of '
        f'{answers.wanted} answers are kept in {table.path}',
        logger='current',
    )
    return answers


def _ask(teacher: Any, precision: torch.dtype, inputs: Tensor) -> Tensor:
    mixed = precision != torch.float32
    with torch.autocast(inputs.device.type, precision if mixed else None, enabled=mixed):
        return teacher.network(teacher.inputs(inputs), mode='tensor')


def _show(dataset: Any, preprocessor: Any, indices: Tensor, views: Tensor) -> Tensor:
    return preprocessor(dict(inputs=dataset.render(indices, views)), False)['inputs']


def _warn(teacher: Any, reason: str) -> None:
    print_log(
        f'The answers of teacher "{teacher.name}" are not kept, and its network runs in each step: '
        f'{reason}',
        logger='current',
        level=logging.WARNING,
    )
