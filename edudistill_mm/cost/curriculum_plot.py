"""A picture of a curriculum."""

import os
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.data import check_data
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.stand_in import stand_in
from edudistill_mm.cost.learning_rates import learning_rates
from edudistill_mm.cost.training_cost import training_cost
from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.plot_style import COLOURS, METADATA, PAGE, STYLE, shade_grades

BAR = 0.24  # inches of height for a bar and what is around it
LEFT = 1.4  # inches about, for the names left of the panels
SIZE: dict[str, Any] = dict(fontsize=7, va='center')


def check_plot_file(path: str) -> None:
    """Raise ConfigurationError if the suffix of a file is none in which a plot can be written."""
    if os.path.splitext(path)[1][1:].lower() not in METADATA:
        possible = ', '.join(f'.{suffix}' for suffix in METADATA)
        raise ConfigurationError(f'--plot is "{path}", but a plot is a file of {possible}')


def draw_curriculum(run: RunConfig, path: str) -> None:
    """Draw the grades of a config: depth, classes, teachers, image size and learning rate.

    Panels lie one below the other over the epochs (or iterations), as wide as a page of a paper. No
    weights of teachers are read. The learning rate is that at the begin of each epoch.

    Args:
        run (RunConfig): Config of an :class:`EducationDistill` run.
        path (str): File with the suffix .pdf, .svg or .png. Its folder is made.

    Raises:
        ConfigurationError: For another suffix, any mistake in the config, or if the training images
            are neither there nor well known.
    """
    check_plot_file(path)
    curriculum = run.curriculum
    algorithm: Any = check_config(run)
    if stand_in(run.cfg.train_dataloader.dataset) is None:
        check_data(run)
    rates = learning_rates(run, training_cost(run, algorithm=algorithm))
    depth, teachers = algorithm.student.num_fragments, run.teachers
    bars = [depth, len(curriculum.grades), max(1, len(teachers)), 1.5, 4]
    with rc_context(STYLE):
        figure = Figure(figsize=(PAGE, BAR * sum(bars) + 1.3), layout='constrained')
        axes: list[Axes] = list(figure.subplots(len(bars), 1, sharex=True, height_ratios=bars))
        unit = 'epochs' if curriculum.by_epoch else 'iterations'
        names = [f'{grade.name}\n{grade.length} {unit}' for grade in curriculum.grades]
        borders = [grade.end for grade in curriculum.grades]
        level = shade_grades(axes, names, borders, PAGE - LEFT)
        axes[0].set_xlim(0, curriculum.length)
        # Above the grades' names.
        _depth(axes[0], curriculum, algorithm.student, pad=26 if level else 48)
        _classes(axes[1], curriculum)
        _teachers(axes[2], curriculum, teachers)
        _image_size(axes[3], curriculum)
        axes[4].step(
            range(curriculum.length + 1), [*rates, rates[-1]], where='post', color='black'
        )
        axes[4].set_ylim(bottom=0)
        axes[4].set_title('learning rate', loc='left')
        axes[4].set_xlabel(unit[:-1])
        axes[4].xaxis.set_major_locator(MaxNLocator(integer=True))
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        suffix = os.path.splitext(path)[1][1:].lower()
        figure.savefig(path, metadata=METADATA[suffix])


def _depth(ax: Axes, curriculum: Curriculum, student: Any, pad: float) -> None:
    """Bars of the fragments, from the grade in which they come in; later ones never run."""
    kind = 'fragment' if student.growth is None else 'blocks'
    names = [f'{kind} {number}' for number in range(1, student.num_fragments + 1)]
    _bars(ax, 'depth of the student', names, pad)
    for number in range(student.num_fragments):
        begin = next((g.begin for g in curriculum.grades if g.fragments > number), None)
        if begin is not None:
            words = student.describe_depth(number + 1)
            _bar(ax, number, begin, curriculum.length, COLOURS[0], words)


def _classes(ax: Axes, curriculum: Curriculum) -> None:
    _bars(ax, 'classes', [f'of {grade.name}' for grade in curriculum.grades])
    for grade in curriculum.grades:
        if grade.classes:
            words = f'{len(grade.classes)} new, {len(grade.seen)} seen'
            _bar(ax, grade.index, grade.begin, curriculum.length, COLOURS[2], words)
        else:
            ax.text(grade.begin, grade.index, ' none new', **SIZE)


def _teachers(ax: Axes, curriculum: Curriculum, teachers: Sequence[dict]) -> None:
    _bars(ax, 'teachers', [teacher['name'] for teacher in teachers] or ['none'])
    for number, teacher in enumerate(teachers):
        grades = [grade for grade in curriculum.grades if teacher['name'] in grade.teachers]
        known = len(curriculum.classes_of(teacher.get('classes', 'all')))
        words = f'knows {known} classes' if known > 1 else 'knows 1 class'
        # Who has left does not come back.
        _bar(ax, number, grades[0].begin, grades[-1].end, COLOURS[1], words)


def _image_size(ax: Axes, curriculum: Curriculum) -> None:
    _bars(ax, 'image size of the student', [''])
    for grade in curriculum.grades:
        middle = (grade.begin + grade.end) / 2
        words = grade.describe_size().replace(' of ', '\nof ')
        ax.text(middle, 0, words, ha='center', **SIZE)


def _bars(ax: Axes, title: str, names: list[str], pad: float = 4) -> None:
    ax.set_title(title, loc='left', pad=pad)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis='y', length=0)


def _bar(ax: Axes, row: int, begin: int, end: int, colour: str, words: str) -> None:
    ax.barh(row, end - begin, left=begin, height=0.76, color=colour, alpha=0.3)
    if begin < 0.6 * ax.get_xlim()[1]:
        ax.text(begin, row, f' {words}', **SIZE)
    else:  # there might be no room to the right
        ax.text(end, row, f'{words} ', ha='right', **SIZE)
