"""Draw docs/figures/accuracy_cost.svg, accuracy against cost in the tables of docs/results.md."""

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.plot_style import COLOURS, METADATA, PAGE, STYLE

DOCS = Path(__file__).resolve().parents[2] / 'docs'
RESULTS, FIGURE = DOCS / 'results.md', DOCS / 'figures' / 'accuracy_cost.svg'
COMMAND = 'python tools/dev/results_figure.py'
# What stands in the first column of a table, or in the command above one without such a column.
PANELS = {
    'cifar100_short': 'CIFAR-100, ResNet-20, short',
    'cifar100_long': 'CIFAR-100, ResNet-20, longer',
    '`small_confirm`': '20 classes, ResNet-20',
    '`small_confirm_long`': '20 classes, ResNet-20',
    '`small_confirm_few_images`': '20 classes, 50 images of each',
    '`small_confirm_resnet32`': '20 classes, ResNet-32',
    '`small_confirm_long_resnet32`': '20 classes, ResNet-32',
    '`small_confirm_resnet8`': '20 classes, ResNet-8',
    'Caltech-256': 'Caltech-256, a part',
    'Food-101': 'Food-101, a part',
    'Tiny-ImageNet': 'Tiny-ImageNet, a part',
}
SERIES: dict[str, dict[str, Any]] = {
    'DKD, stable': dict(label='DKD', marker='o', color=COLOURS[0]),
    'DKD, standardized': dict(
        label='DKD on standardized logits', marker='^', color=COLOURS[3], markerfacecolor='none'
    ),
    'blocks and sizes': dict(label='the recommended curriculum', marker='s', color=COLOURS[1]),
    'stages as prefixes': dict(label='growth by stages', marker='D', color=COLOURS[2]),
}
COLUMNS = ('row', 'last epoch', 'student FLOPs', 'total FLOPs')
Point = tuple[float, float, float]


def read_points(text: str) -> dict[str, dict[str, list[Point]]]:
    """The measured rows of a page, by panel and series.

    Args:
        text (str): The page, in Markdown.

    Returns:
        dict[str, dict[str, list[Point]]]: Student FLOPs (in 1e12), mean accuracy and its standard
        deviation over seeds (both in percent), in the order of costs; panels in that of PANELS.

    Raises:
        ConfigurationError: If a row belongs to no panel or no series.
    """
    found: dict[str, dict[str, list[Point]]] = {}
    for setting, row in _rows(text):
        panel = PANELS[_find(PANELS, setting, 'panel')]
        series = _find(SERIES, row['row'].replace('*', ''), 'series')
        mean, _, deviation = row['last epoch'].replace('*', '').partition(' ± ')
        point = (float(row['student FLOPs'].removesuffix(' T')), float(mean), float(deviation))
        found.setdefault(panel, {}).setdefault(series, []).append(point)
    return {
        panel: {name: sorted(points) for name, points in found[panel].items()}
        for panel in dict.fromkeys(PANELS.values())
        if panel in found
    }


def _rows(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """What a row was measured in, and its cells by column, of each table with costs."""
    columns, setting, plan = None, '', ''
    for line in text.splitlines():
        command = re.search(r'configs/compare/(\w+)\.py', line)
        if command:
            plan = command[1]
        if not line.startswith('|'):
            columns = None
            continue
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if columns is None:
            columns, setting = cells, plan
        elif set(COLUMNS) <= set(columns) and set(cells[0]) != {'-'}:
            if columns[0] != 'row':
                setting = cells[0] or setting
            yield setting, dict(zip(columns, cells))


def _find(known: dict, text: str, what: str) -> str:
    """The known name that a text holds."""
    for name in known:
        if name in text:
            return name
    raise ConfigurationError(
        f'"{text}" of {RESULTS.name} belongs to no {what}: {", ".join(known)}'
    )


def draw(points: dict[str, dict[str, list[Point]]]) -> Figure:
    """Draw accuracy against cost, a panel for each setting."""
    count = len(points)
    rows = -(-count // 3)
    figure = Figure(figsize=(PAGE, 1.65 * rows + 0.35), layout='constrained')
    panels = figure.subplots(rows, 3, squeeze=False)
    for ax in panels.flat[count:]:
        ax.axis('off')
    for ax, (title, series) in zip(panels.flat, points.items()):
        ax.set_title(title, loc='left')
        _draw_panel(ax, series)
    for ax in panels[:, 0]:
        ax.set_ylabel('accuracy (%)')
    for ax in panels.flat[max(count - 3, 0) : count]:
        ax.set_xlabel(r'student FLOPs ($10^{12}$)')
    labels: dict = {}
    for ax in panels.flat:
        labels.update((label, handle) for handle, label in zip(*ax.get_legend_handles_labels()))
    figure.legend(labels.values(), labels.keys(), loc='outside upper center', ncols=len(labels))
    return figure


def _draw_panel(ax: Axes, series: dict[str, list[Point]]) -> None:
    for name, points in series.items():
        costs, means, deviations = zip(*points)
        ax.errorbar(
            costs, means, deviations, capsize=2, elinewidth=0.8, linewidth=0.8, **SERIES[name]
        )
    ax.set_xlim(0, 1.08 * max(cost for points in series.values() for cost, _, _ in points))
    ax.margins(y=0.12)
    ax.grid(color='#DDDDDD', linewidth=0.5)
    ax.set_axisbelow(True)


def values(points: dict[str, dict[str, list[Point]]]) -> str:
    """What is drawn, as text; the figure carries it as its description."""
    return json.dumps(points, separators=(',', ':'))


def drawn_values(figure: str) -> str:
    """The :func:`values` that a figure carries."""
    described = re.search(r'<dc:description>(.*?)</dc:description>', figure, re.DOTALL)
    return described[1].replace('&quot;', '"') if described else ''


def main() -> None:
    """Parse the command line and do what it says."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    points = read_points(RESULTS.read_text())
    with rc_context(STYLE):
        metadata = dict(METADATA['svg'], Description=values(points))
        draw(points).savefig(FIGURE, metadata=metadata)


if __name__ == '__main__':
    main()
