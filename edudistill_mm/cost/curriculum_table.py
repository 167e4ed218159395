"""What a curriculum costs, grade by grade."""

from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.data import check_data
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.schedule import epochs_to_iters
from edudistill_mm.cost.training_cost import training_cost
from edudistill_mm.curriculum import Curriculum

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
    two for a multiply-add. Image passes are the images that the student sees in training. The
    learning rate is that of the grade's first and last epoch (or iteration).

    Args:
        run (RunConfig): Config of an :class:`EducationDistill` run.

    Returns:
        str: A table, and the total in comparison with the whole student on all images throughout.

    Raises:
        ConfigurationError: For any mistake in the config, or if the training images are not there.
    """
    curriculum = run.curriculum
    check_config(run)
    check_data(run)
    algorithm = run.build_without_teachers()
    batch_size = run.cfg.train_dataloader.batch_size
    cost = training_cost(run)
    passes = [stage.length * stage.images for stage in cost.stages]
    # The last grade has all classes.
    everything = curriculum.length * cost.stages[-1].images
    rates = _learning_rates(run.cfg, curriculum, passes, batch_size)
    rows = [list(HEADER)]
    if not curriculum.by_epoch:
        rows[0][1] = 'iterations'
    for grade in curriculum.grades:
        algorithm.set_grade(algorithm.curriculum.grades[grade.index])
        flops = cost.stages[grade.index].flops_per_image
        rows.append(
            [
                grade.name,
                f'{grade.begin + 1}-{grade.end}',
                str(len(grade.classes)),
                str(len(grade.seen)),
                str(grade.fragments),
                f'{algorithm.student.parameters_in_training():,}',
                f'{flops / 1e6:.2f}',
                f'{passes[grade.index]:,}',
                ', '.join(grade.teachers) or '-',
                '{:.4g} to {:.4g}'.format(*rates[grade.index]),
            ]
        )
    whole = everything * cost.stages[-1].flops_per_image
    return '\n'.join(
        [
            _format(rows),
            '',
            f'Image passes: {sum(passes):,}, {sum(passes) / everything:.1%} of {everything:,} '
            'with all classes '
            'throughout',
            f'FLOPs of the student: {cost.student_flops() / whole:.1%} of the whole student '
            'on all of those',
        ]
    )


def _learning_rates(
    cfg: Config, curriculum: Curriculum, passes: Sequence[int], batch_size: int
) -> list[tuple[float, float]]:
    """First and last learning rate of each grade, found by running the schedules without
    training.
    """
    optimizer = torch.optim.SGD(
        [torch.nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr
    )
    configs = cfg.get('param_scheduler') or []
    configs = [configs] if isinstance(configs, dict) else configs
    lengths = []
    for grade, images in zip(curriculum.grades, passes):
        lengths += [
            -(-images // grade.length // batch_size) if curriculum.by_epoch else 1
        ] * grade.length
    schedulers = []
    for config in configs:
        config = epochs_to_iters(config, lengths)
        by_epoch = config.get('by_epoch', True)
        config.setdefault(
            'end', curriculum.length if by_epoch == curriculum.by_epoch else sum(lengths)
        )
        schedulers.append((by_epoch, PARAM_SCHEDULERS.build(dict(config, optimizer=optimizer))))
    rates = []
    for batches in lengths:
        rates.append(optimizer.param_groups[0]['lr'])
        for _ in range(batches):
            optimizer.step()
            for by_epoch, scheduler in schedulers:
                if not by_epoch:
                    scheduler.step()
        for by_epoch, scheduler in schedulers:
            if by_epoch:
                scheduler.step()
    return [(rates[grade.begin], rates[grade.end - 1]) for grade in curriculum.grades]


def _format(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    ]
    return '\n'.join([lines[0], '  '.join('-' * width for width in widths), *lines[1:]])
