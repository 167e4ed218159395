"""Plots of a report at the size in which a paper prints them, as PDF, SVG and PNG."""

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

from edudistill_mm.plot_style import COLOURS, COLUMN, METADATA, PAGE, STYLE, shade_grades

from .row_result import SEEN, RowResult
from .run_record import GROUP
from .statistic import Statistic

# Second and third ways to tell rows apart, for more of them than colours and for print in grey.
STYLES = ('-', '--', '-.', ':')
MARKERS = 'osD^vPX<>*'
GRID: dict[str, Any] = dict(color='#DDDDDD', linewidth=0.5)
_SHADES = 'grades are shaded, bands are one standard deviation over seeds'
CAPTIONS = dict(
    accuracy_cost='Accuracy of the last epoch against the cost of the training; bars are one standard '
    'deviation over seeds; rows of nearly equal cost stand side by side, ticks on the axis are their costs',
    accuracy=f'Accuracy over all classes; {_SHADES}',
    class_groups=f'Accuracy per class group; {_SHADES}',
    grades_by_groups='Accuracy per class group at the end of each grade (%), mean over seeds',
)
# How near two costs are that stand side by side, and how far apart they are drawn: shares of an axis.
NEAR, APART = 0.08, 0.025
LETTERS_IN_LINE = 130  # of a legend below a figure as wide as a page
Look = tuple[str, Any, str]
Reasons = dict[str, str]


def draw_plots(results: Sequence[RowResult], folder: str) -> list[tuple[str, str]]:
    """Draw all plots with results into a folder; path without extension and caption of each.

    A caption names the rows that its plot does not show, with the reason.
    """
    shutil.rmtree(folder, ignore_errors=True)
    looks = {result.name: _look(index) for index, result in enumerate(results)}
    no_result = {result.name: 'no result yet' for result in results if result.last is None}
    rows = [result for result in results if result.last is not None]
    priced = [result for result in rows if result.cost]
    no_cost = {result.name: 'costs not counted' for result in rows if not result.cost}
    graded = [result for result in rows if result.has_grades and len(result.groups) > 1]
    no_group = {
        result.name: 'all classes from the start' if result.groups else 'no class groups measured'
        for result in rows
        if result not in graded
    }
    drawn = []
    unlike = '; n is the number of seeds' if _unlike_seeds(rows) else ''
    with rc_context(STYLE):
        figures: dict[str, tuple[Figure | None, Reasons]] = dict(
            accuracy_cost=(_accuracy_cost(priced, looks), no_cost),
            accuracy=(_accuracy(rows, looks), {}),
            class_groups=(_class_groups(graded), no_group),
            grades_by_groups=(_matrices(graded), no_group),
        )
        for name, (figure, left_out) in figures.items():
            if figure is None:
                continue
            os.makedirs(folder, exist_ok=True)
            path = osp.join(folder, name)
            # Laid out once for all files, which takes longer than to write one.
            figure.draw_without_rendering()
            figure.set_layout_engine('none')
            for suffix, metadata in METADATA.items():
                figure.savefig(f'{path}.{suffix}', metadata=metadata)
            seeds = unlike if name.startswith('accuracy') else ''
            drawn.append((path, CAPTIONS[name] + seeds + _words({**left_out, **no_result})))
    return drawn


def _look(index: int) -> Look:
    style = STYLES[index // len(COLOURS) % len(STYLES)]
    return COLOURS[index % len(COLOURS)], style, MARKERS[index % len(MARKERS)]


def _unlike_seeds(results: Sequence[RowResult]) -> bool:
    return len({result.last.count for result in results}) > 1


def _words(left_out: Reasons) -> str:
    """Which rows a plot does not show, and why; nothing if it shows all."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        by_reason.setdefault(reason, []).append(f'"{name}"')
    parts = [f'{", ".join(names)} ({reason})' for reason, names in by_reason.items()]
    return f'. Not shown: {"; ".join(parts)}' if parts else ''


def _accuracy_cost(results: Sequence[RowResult], looks: Mapping[str, Look]) -> Figure | None:
    if len(results) < 2:
        return None
    measures = (('student FLOPs', 'student_flops'), ('total FLOPs', 'total_flops'))
    figure, axes = _panels(len(measures), height=2.3)
    for ax, (label, measure) in zip(axes, measures):
        costs = [result.cost[measure] for result in results]
        margin = 0.2 * max(costs)
        low, high = max(0.0, min(costs) - margin), max(costs) + margin
        for result, place in zip(results, _side_by_side(costs, high - low)):
            colour, _, marker = looks[result.name]
            shape: dict[str, Any] = dict(
                marker=marker, capsize=2, elinewidth=0.8, linestyle='none'
            )
            ax.errorbar(place, result.last.mean, yerr=result.last.std, color=colour, **shape)
        tick: dict[str, Any] = dict(marker='|', markersize=6, color='black', linestyle='none')
        ax.plot(costs, [0] * len(costs), transform=ax.get_xaxis_transform(), clip_on=False, **tick)
        ax.set_xlabel(label)
        ax.set_xlim(low, high)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.xaxis.set_major_formatter(FuncFormatter(_short))
        ax.grid(**GRID)
        ax.set_axisbelow(True)
    axes[0].set_ylabel('accuracy of the last epoch (%)')
    _legend(figure, results, looks, lines=False)
    return figure


def _side_by_side(costs: Sequence[float], extent: float) -> list[float]:
    """Where to draw costs on an axis of an extent, so that rows of nearly equal cost are seen."""
    places = list(costs)
    order = sorted(range(len(costs)), key=costs.__getitem__)
    while order:
        near = [index for index in order if costs[index] - costs[order[0]] <= NEAR * extent]
        middle = sum(costs[index] for index in near) / len(near)
        for number, index in enumerate(sorted(near) if len(near) > 1 else []):
            places[index] = middle + (number - (len(near) - 1) / 2) * APART * extent
        order = order[len(near) :]
    return places


def _accuracy(results: Sequence[RowResult], looks: Mapping[str, Look]) -> Figure | None:
    """One panel for each way to cut the epochs into grades; rows without grades are in all."""
    if not any(len(result.curve()) > 1 for result in results):
        return None
    cuts: dict[tuple, list[RowResult]] = {}
    for result in results:
        if result.has_grades:
            cuts.setdefault((result.unit, tuple(result.grades)), []).append(result)
    groups = [
        [result for result in results if result in rows or not result.has_grades]
        for rows in cuts.values()
    ] or [list(results)]
    longest = max(result.length for result in results)
    figure, axes = _panels(len(groups), height=2.5)
    for ax, rows in zip(axes, groups):
        for result in [result for result in rows if result.has_grades][:1]:
            _shade(ax, result, len(groups), longest)
        for result in rows:
            _line(ax, result.curve(), looks[result.name])
        ax.set_xlim(0, longest)
        ax.set_xlabel(rows[0].unit)
    _name_left(axes, 'accuracy (%)')
    _legend(figure, results, looks)
    return figure


def _class_groups(graded: Sequence[RowResult]) -> Figure | None:
    if not graded:
        return None
    groups = list(dict.fromkeys(group for result in graded for group in result.groups))
    looks = {group: _look(index) for index, group in enumerate(groups)}
    longest = max(result.length for result in graded)
    figure, axes = _panels(len(graded), height=2.3)
    for ax, result in zip(axes, graded):
        level = _shade(ax, result, len(graded), longest)
        for group in result.groups:
            _line(ax, result.curve(GROUP + group), looks[group])
        ax.set_xlim(0, longest)
        ax.set_xlabel(result.unit)
        ax.set_title(result.name, pad=14 if level else 34)  # above the grades' names
    _name_left(axes, 'accuracy (%)')
    handles = [_handle(looks[group]) for group in groups]
    names = [f'classes of {group}' for group in groups]
    _legend_of(figure, handles, names)
    return figure


def _matrices(graded: Sequence[RowResult]) -> Figure | None:
    if not graded:
        return None
    tallest = max(len(result.grades) for result in graded)
    figure, axes = _panels(len(graded), height=0.9 + 0.3 * tallest, share=False)
    for ax, result in zip(axes, graded):
        columns = [(group, GROUP + group) for group in result.groups] + [('all seen', SEEN)]
        values = [
            [result.at_end_of(grade, key) for _, key in columns]
            for grade in range(len(result.grades))
        ]
        means = [
            [float('nan') if value is None else value.mean for value in row] for row in values
        ]
        ax.imshow(means, cmap='cividis', vmin=0, vmax=100, aspect='auto')
        for y, row in enumerate(means):
            for x, mean in enumerate(row):
                if values[y][x] is not None:
                    colour = 'white' if mean < 60 else 'black'
                    ax.text(x, y, f'{mean:.1f}', ha='center', va='center', color=colour)
        for x in range(1, len(columns)):
            ax.axvline(x - 0.5, color='white', linewidth=4 if x == len(columns) - 1 else 1)
        for y in range(1, len(result.grades)):
            ax.axhline(y - 0.5, color='white', linewidth=1)
        ax.set_xticks(range(len(columns)), [name for name, _ in columns], rotation=30, ha='right')
        ax.set_yticks(range(len(result.grades)), [name for name, _ in result.grades])
        ax.set_xlabel('classes of')
        ax.set_title(result.name)
        ax.tick_params(length=0, pad=1)
        for spine in ax.spines.values():
            spine.set_visible(False)
    _name_left(axes, 'after grade')
    return figure


def _panels(count: int, height: float, share: bool = True) -> tuple[Figure, list[Axes]]:
    """Panels in rows of at most three; ``height`` of each in inches. A single one fills a column."""
    columns = min(count, 3)
    rows = -(-count // columns)
    size = (COLUMN if count == 1 else PAGE, height * rows)
    figure = Figure(figsize=size, layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share).flatten()
    for ax in axes[count:]:
        ax.remove()
    return figure, list(axes[:count])


def _name_left(axes: Sequence[Axes], label: str) -> None:
    for ax in axes[::3]:
        ax.set_ylabel(label)


def _handle(look: Look, lines: bool = True) -> Line2D:
    colour, style, marker = look
    return Line2D([], [], color=colour, linestyle=style if lines else 'none', marker=marker)


def _legend(
    figure: Figure, results: Sequence[RowResult], looks: Mapping[str, Look], lines: bool = True
) -> None:
    """Name the rows below a figure; with the number of their seeds, if that is not the same."""
    unlike = _unlike_seeds(results)
    handles = [_handle(looks[result.name], lines) for result in results]
    names = [
        f'{result.name} (n={result.last.count})' if unlike else result.name for result in results
    ]
    _legend_of(figure, handles, names)


def _legend_of(figure: Figure, handles: Sequence[Line2D], names: Sequence[str]) -> None:
    letters = LETTERS_IN_LINE * figure.get_figwidth() / PAGE
    columns = max(1, min(len(names), int(letters / (max(map(len, names)) + 6))))
    place: dict[str, Any] = dict(loc='outside lower center', ncols=columns)
    # The figure grows by what the legend takes, so that panels keep their height.
    lines = -(-len(names) // columns)
    figure.set_figheight(figure.get_figheight() + 0.15 * lines)
    figure.legend(handles, names, **place)


def _line(ax: Axes, curve: Mapping[int, Statistic], look: Look) -> None:
    colour, style, marker = look
    places = list(curve)
    means = [value.mean for value in curve.values()]
    # Some five markers a line, at places that differ from line to line.
    every = max(1, len(places) // 5)
    first = MARKERS.index(marker) % every
    ax.plot(places, means, color=colour, linestyle=style, marker=marker, markevery=(first, every))
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


def _shade(ax: Axes, result: RowResult, panels: int, longest: int) -> bool:
    width = (COLUMN if panels == 1 else PAGE / min(panels, 3)) - 0.6
    names = [name for name, _ in result.grades]
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return shade_grades([ax], names, result.borders, width * result.length / longest)


def _short(value: float, _: int = 0) -> str:
    for power, letter in zip(range(18, 0, -3), 'EPTGMk'):
        if value >= 10**power:
            return f'{value / 10**power:g}{letter}'
    return f'{value:g}'
