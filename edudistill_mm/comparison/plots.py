"""Plots of a report, as vector PDF and as PNG."""

import os
import os.path as osp
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .row_result import SEEN, RowResult
from .run_record import GROUP
from .statistic import Statistic

# Okabe and Ito's palette, which colour-blind readers can tell apart, without its yellow.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
# A second way to tell lines apart, for more rows than colours and for print in grey.
STYLES = ('-', '--', '-.', ':')
MARKERS = 'osD^vPX<>*'
SHADES = ('#EFEFEF', '#FFFFFF')
STYLE: Any = {
    'font.size': 9,
    'axes.titlesize': 9,
    'axes.labelsize': 9,
    'legend.fontsize': 8,
    'legend.title_fontsize': 8,
    'legend.frameon': False,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'lines.linewidth': 1.5,
    'pdf.fonttype': 42,  # text stays text
    'savefig.bbox': 'tight',
    'savefig.dpi': 200,
}
LINES_INSIDE = 6  # more of them are named beside the panel
_SHADES = 'grades are shaded, bands are one standard deviation over seeds'
CAPTIONS = dict(
    accuracy=f'Accuracy over all classes; {_SHADES}',
    class_groups=f'Accuracy per class group; {_SHADES}',
    grades_by_groups='Accuracy per class group at the end of each grade (%), mean over seeds',
    accuracy_cost='Accuracy of the last epoch against the cost of the training; bars are one standard '
    'deviation over seeds',
)
GRADE_NAME: dict[str, Any] = dict(ha='center', va='bottom', fontsize=8, color='#555555')
Look = tuple[str, Any, str]


def draw_plots(results: Sequence[RowResult], folder: str) -> list[tuple[str, str]]:
    """Draw all plots with results into a folder; path without extension and caption of each."""
    shutil.rmtree(folder, ignore_errors=True)
    looks = {result.name: _look(index) for index, result in enumerate(results)}
    results = [result for result in results if result.last is not None]
    graded = [result for result in results if result.has_grades and result.groups]
    drawn = []
    with rc_context(STYLE):
        figures = dict(
            accuracy=_accuracy(results, looks),
            class_groups=_class_groups(graded),
            grades_by_groups=_matrices(graded),
            accuracy_cost=_accuracy_cost([result for result in results if result.cost], looks),
        )
        for name, figure in figures.items():
            if figure is None:
                continue
            os.makedirs(folder, exist_ok=True)
            path = osp.join(folder, name)
            # Without a date, so that the same results give the same files.
            figure.savefig(f'{path}.pdf', metadata=dict(CreationDate=None))
            figure.savefig(f'{path}.png')
            drawn.append((path, CAPTIONS[name]))
    return drawn


def _look(index: int) -> Look:
    style = STYLES[index // len(COLOURS) % len(STYLES)]
    return COLOURS[index % len(COLOURS)], style, MARKERS[index % len(MARKERS)]


def _accuracy(results: Sequence[RowResult], looks: Mapping[str, Look]) -> Figure | None:
    """One panel for each way to cut the epochs into grades; rows without grades are in all."""
    if not any(len(result.curve()) > 1 for result in results):
        return None
    panels: dict[tuple, list[RowResult]] = {}
    for result in results:
        if result.has_grades:
            panels.setdefault((result.unit, tuple(result.grades)), []).append(result)
    groups = [
        [result for result in results if result in rows or not result.has_grades]
        for rows in panels.values()
    ] or [list(results)]
    figure, axes = _panels(len(groups), width=4.6, height=3.2)
    for ax, rows in zip(axes, groups):
        longest = max(result.length for result in rows)
        shaded = next((result for result in rows if result.has_grades), None)
        if shaded is not None:
            _shade(ax, shaded)
        for result in rows:
            colour, style, _ = looks[result.name]
            _line(ax, result.curve(), colour, style, result.name)
        ax.set_xlim(0, longest)
        ax.set_xlabel(rows[0].unit)
        ax.set_ylabel('accuracy (%)')
        if len(groups) == 1 and len(rows) <= LINES_INSIDE:
            ax.legend(loc='best')
    if len(groups) > 1 or len(results) > LINES_INSIDE:
        handles = [
            Line2D([], [], color=looks[result.name][0], linestyle=looks[result.name][1])
            for result in results
        ]
        figure.legend(handles, [result.name for result in results], loc='outside right center')
    return figure


def _class_groups(graded: Sequence[RowResult]) -> Figure | None:
    if not graded:
        return None
    same = all(result.groups == graded[0].groups for result in graded)
    figure, axes = _panels(len(graded), width=3.9, height=3.0)
    for ax, result in zip(axes, graded):
        _shade(ax, result)
        for index, group in enumerate(result.groups):
            colour, style, _ = _look(index)
            _line(ax, result.curve(GROUP + group), colour, style, group)
        ax.set_xlim(0, result.length)
        ax.set_ylim(top=101)
        ax.set_xlabel(result.unit)
        ax.set_ylabel('accuracy (%)')
        ax.set_title(result.name, pad=16)
        if not same:
            ax.legend(loc='best', title='classes of')
    if same:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc='outside right center', title='classes of')
    return figure


def _matrices(graded: Sequence[RowResult]) -> Figure | None:
    if not graded:
        return None
    widest = max(len(result.groups) for result in graded)
    tallest = max(len(result.grades) for result in graded)
    figure, axes = _panels(len(graded), width=1.6 + 0.75 * widest, height=1.2 + 0.45 * tallest)
    image = None
    for ax, result in zip(axes, graded):
        columns = [(group, GROUP + group) for group in result.groups] + [('all seen', SEEN)]
        values = [
            [result.at_end_of(grade, key) for _, key in columns]
            for grade in range(len(result.grades))
        ]
        image = ax.imshow(
            [[float('nan') if value is None else value.mean for value in row] for row in values],
            cmap='cividis',
            vmin=0,
            vmax=100,
            aspect='auto',
        )
        for y, row in enumerate(values):
            for x, value in enumerate(row):
                if value is not None:
                    colour = 'white' if value.mean < 60 else 'black'
                    ax.text(x, y, f'{value.mean:.1f}', ha='center', va='center', color=colour)
        for x in range(1, len(columns)):
            ax.axvline(x - 0.5, color='white', linewidth=4 if x == len(columns) - 1 else 1)
        for y in range(1, len(result.grades)):
            ax.axhline(y - 0.5, color='white', linewidth=1)
        ax.set_xticks(range(len(columns)), [name for name, _ in columns], rotation=30, ha='right')
        ax.set_yticks(range(len(result.grades)), [name for name, _ in result.grades])
        ax.set_xlabel('classes of')
        ax.set_ylabel('after grade')
        ax.set_title(result.name)
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
    figure.colorbar(image, ax=list(axes), label='accuracy (%)', shrink=0.9)
    return figure


def _accuracy_cost(results: Sequence[RowResult], looks: Mapping[str, Look]) -> Figure | None:
    if len(results) < 2:
        return None
    measures = (
        ('image passes', 'image_passes'),
        ('student FLOPs', 'student_flops'),
        ('total FLOPs', 'total_flops'),
    )
    figure, axes = _panels(len(measures), width=3.0, height=2.8, share_y=True)
    for ax, (label, measure) in zip(axes, measures):
        costs = [result.cost[measure] for result in results]
        for result, cost in zip(results, costs):
            colour, _, marker = looks[result.name]
            shape: dict[str, Any] = dict(marker=marker, markersize=6, capsize=3, linestyle='none')
            ax.errorbar(cost, result.last.mean, yerr=result.last.std, color=colour, **shape)
        ax.set_xlabel(label)
        ax.set_xlim(0, 1.08 * max(costs))
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.xaxis.set_major_formatter(FuncFormatter(_short))
        ax.grid(color='#DDDDDD', linewidth=0.6)
        ax.set_axisbelow(True)
    axes[0].set_ylabel('accuracy of the last epoch (%)')
    handles = [
        Line2D([], [], color=looks[result.name][0], marker=looks[result.name][2], linestyle='none')
        for result in results
    ]
    figure.legend(handles, [result.name for result in results], loc='outside right center')
    return figure


def _panels(
    count: int, width: float, height: float, share_y: bool = False
) -> tuple[Figure, Sequence[Axes]]:
    """A figure with a row of panels, or several rows if they are many; sizes in inches."""
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share_y).flatten()
    for ax in axes[count:]:
        ax.remove()
    return figure, list(axes[:count])


def _line(ax: Axes, curve: Mapping[int, Statistic], colour: str, style: str, label: str) -> None:
    places = list(curve)
    means = [value.mean for value in curve.values()]
    marker = 'o' if len(places) == 1 else None
    ax.plot(places, means, color=colour, linestyle=style, label=label, marker=marker)
    if any(value.std for value in curve.values()):
        ax.fill_between(
            places,
            # Accuracies lie between 0 and 100.
            [max(value.mean - (value.std or 0.0), 0.0) for value in curve.values()],
            [min(value.mean + (value.std or 0.0), 100.0) for value in curve.values()],
            color=colour,
            alpha=0.2,
            linewidth=0,
        )


def _shade(ax: Axes, result: RowResult) -> None:
    """Shade the grades and write their names above."""
    begin = 0
    for index, ((name, _), end) in enumerate(zip(result.grades, result.borders)):
        ax.axvspan(begin, end, color=SHADES[index % 2], linewidth=0, zorder=0)
        ax.text((begin + end) / 2, 1.02, name, transform=ax.get_xaxis_transform(), **GRADE_NAME)
        begin = end
    ax.set_axisbelow(True)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _short(value: float, _: int = 0) -> str:
    for power, letter in zip(range(18, 0, -3), 'EPTGMk'):
        if value >= 10**power:
            return f'{value / 10**power:g}{letter}'
    return f'{value:g}'
