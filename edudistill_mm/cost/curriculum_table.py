"""What a curriculum costs, grade by grade."""

from collections.abc import Sequence
from typing import Any

from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.data import check_data
from edudistill_mm.config.parts import hooks_of
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.stand_in import remark_on, stand_in
from edudistill_mm.cost.against_plain import against_plain
from edudistill_mm.cost.learning_rates import learning_rates
from edudistill_mm.cost.training_cost import training_cost
from edudistill_mm.curriculum import OPTIONS, Grade
from edudistill_mm.type_name import type_name

HEADER = (
    'grade',
    'epochs',
    'new classes',
    'seen',
    'fragments',
    'parameters',
    'MFLOPs/image',
    'image passes',
    'teachers',
    'learning rate',
)


def curriculum_table(run: RunConfig) -> str:
    """Describe the grades of a config. No weights of teachers are read.

    Parameters are those in training at the grade. FLOPs are those of the student's forward pass,
    two for a multiply-add, at the size that it sees in training. Image passes are the images that it
    sees in training. The learning rate is that of the grade's first and last epoch (or iteration).
    Weights and temperatures of the losses, image sizes and strengths of the augmentation are there
    if a grade gives any.

    Args:
        run (RunConfig): Config of an :class:`EducationDistill` run.

    Returns:
        str: A table, and the total in comparison with the whole student on all images throughout.

    Raises:
        ConfigurationError: For any mistake in the config, or if the training images are neither
            there nor well known.
    """
    curriculum = run.curriculum
    algorithm: Any = check_config(run)
    dataset = run.cfg.train_dataloader.dataset
    if stand_in(dataset) is None:
        check_data(run)
    cost = training_cost(run, algorithm=algorithm)
    passes = [stage.length * stage.images for stage in cost.stages]
    rates = learning_rates(run, cost)
    # Those that are the same throughout are no matter of the curriculum.
    options = [k for k in OPTIONS if any(getattr(g, k) is not None for g in curriculum.grades)]
    rows = [[*HEADER, *(option.replace('_', ' ') for option in options)]]
    if not curriculum.by_epoch:
        rows[0][1] = 'iterations'
    for grade, stage in zip(curriculum.grades, cost.stages):
        rows.append(
            [
                grade.name,
                f'{grade.begin + 1}-{grade.end}',
                str(len(grade.classes)),
                str(len(grade.seen)),
                str(grade.fragments),
                f'{stage.parameters:,}',
                f'{stage.flops_per_image / 1e6:.2f}',
                f'{passes[grade.index]:,}',
                ', '.join(grade.teachers) or '-',
                f'{rates[grade.begin]:.4g} to {rates[grade.end - 1]:.4g}',
                *(_option(algorithm, grade, option) for option in options),
            ]
        )
    sizes, strengths = ['image size'], ['augmentation']
    for grade in curriculum.grades:
        sizes.append(grade.describe_size())
        strengths.append(f'{grade.augmentation:.4g}')
    for column, usual in ((strengths, '1'), (sizes, 'full')):
        if set(column[1:]) != {usual}:
            for row, cell in zip(rows, column):
                row.insert(HEADER.index('MFLOPs/image'), cell)
    lines = [_format(rows), '', *against_plain(cost)]
    lines += [
        f'What is new at a promotion starts at {hook["factor"]:.4g} times the learning rate'
        for hook in hooks_of(run.cfg)
        if type_name(hook) == 'NewParameterRateHook'
    ]
    if algorithm.teacher_ensemble:
        lines.append('The teachers of a grade teach as one ensemble')
    return '\n'.join([*lines, *filter(None, [remark_on(dataset)])])


def _option(algorithm: Any, grade: Grade, option: str) -> str:
    """What holds in a grade for an option that it may give."""
    if option == 'temperature':
        return algorithm.temperatures.describe(grade)
    return f'{grade.value(option, getattr(algorithm, option)):.4g}'


def _format(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    ]
    return '\n'.join([lines[0], '  '.join('-' * width for width in widths), *lines[1:]])
