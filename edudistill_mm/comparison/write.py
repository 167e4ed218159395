"""The report of a comparison, or of a single run: Markdown, HTML, JSON and plots."""

import json
import os
import os.path as osp
from collections.abc import Mapping, Sequence

from edudistill_mm.checkpoint.atomic_write import atomic_write
from edudistill_mm.cost.filling import Filling

from .block import Block
from .html_page import html_page
from .job_queue import duration
from .plots import draw_plots
from .row_result import FORGETTING, SEEN, RowResult
from .run_record import GROUP
from .statistic import Statistic

MISSING = '-'
LEGEND = (
    'Accuracy is top-1 over all classes in percent, mean ± standard deviation (n - 1) over seeds. '
    'The figure to compare is that of the last epoch; the best epoch is chosen on the very images that '
    'it is measured on. Image passes are the images that the student sees in training. FLOPs count a '
    "multiply-add as two: the student's forward passes at the depth of each grade; those of the teachers "
    "that run, on the images that are routed to them; in all three times the student's, for its backward "
    "passes, and the teachers'. Kept answers are asked once for all trainings that share them, and are in no "
    "row's FLOPs; nor is the training of teachers. Time is "
    'wall-clock of a run with its validations, on whatever else the machine was doing.'
)
ABOUT_DIFFERENCES = (
    'By how many percentage points the accuracy of the last epoch is above that of another row '
    "with the same seeds: mean and, from two seeds on, its 95 % confidence interval (Student's t "
    'distribution). Where it holds 0, these seeds show neither a difference nor that there is '
    'none; among many rows some intervals miss 0 by chance.'
)
ABOUT_GRADES = (
    'Accuracy at the end of each grade over the classes seen so far, and over what each grade '
    'adds. Forgetting is how far the groups before the newest are below their best validation so '
    'far, on average.'
)


def write_report(
    results: Sequence[RowResult],
    folder: str,
    title: str,
    about: Sequence[str] = (),
    baselines: Sequence[str] = (),
) -> str:
    """Write ``report.md``, whose path is returned, ``report.html``, ``report.json``, and plots.

    The HTML page holds its plots; they are also files in ``plots``.

    ``about`` are paragraphs below the title, ``baselines`` names of rows that the others are
    compared with.
    """
    os.makedirs(folder, exist_ok=True)
    plots = draw_plots(results, osp.join(folder, 'plots'))
    blocks = [
        Block('title', title),
        *[Block('text', paragraph) for paragraph in about],
        Block('table', _main_table(results)),
        *[
            Block('text', f'{result.name}: {"; ".join(result.remarks)}.')
            for result in results
            if result.remarks
        ],
        Block('text', LEGEND),
        *[Block('plot', plot) for plot in plots],
    ]
    differences = _differences(results, baselines)
    seeds = {result.name: len(result.runs) for result in results}
    if any(differences.values()):
        blocks += [
            Block('heading', 'Differences'),
            Block('table', _difference_table(differences, baselines, seeds)),
            Block('text', ABOUT_DIFFERENCES),
        ]
    tables = [(result.name, _grade_table(result)) for result in results if result.groups]
    if tables:
        blocks += [Block('heading', 'By grade and class group'), Block('text', ABOUT_GRADES)]
        for name, table in tables:
            blocks += [Block('text', name), Block('table', table)]
    blocks.append(Block('heading', 'Commands'))
    for result in results:
        commands = [*result.teacher_commands, *result.commands.values()]
        blocks += [Block('text', f'{result.name}:'), Block('commands', commands)]
    path = osp.join(folder, 'report.md')
    text = '\n\n'.join(_markdown(block, folder) for block in blocks) + '\n'
    page = html_page(blocks)
    atomic_write(path, lambda file: file.write(text.encode()))
    atomic_write(osp.join(folder, 'report.html'), lambda file: file.write(page.encode()))
    rows = [
        dict(
            result.to_dict(),
            differences={
                baseline: dict(vars(difference), interval=difference.interval)
                for baseline, difference in differences[result.name].items()
            },
        )
        for result in results
    ]
    plain = json.dumps(dict(title=title, rows=rows), indent=1) + '\n'
    atomic_write(osp.join(folder, 'report.json'), lambda file: file.write(plain.encode()))
    return path


def _markdown(block: Block, folder: str) -> str:
    if block.kind == 'title':
        return f'# {block.content}'
    if block.kind == 'heading':
        return f'## {block.content}'
    if block.kind == 'table':
        return markdown(block.content)
    if block.kind == 'plot':
        path, caption = block.content
        return f'![{caption}]({osp.relpath(path, folder)}.png)\n\n{caption}.'
    if block.kind == 'commands':
        return '\n'.join(['```bash', *block.content, '```'])
    return block.content


def _main_table(results: Sequence[RowResult]) -> list[list[str]]:
    rows = [
        [
            'row',
            'seeds',
            'epochs',
            'last epoch',
            'best epoch',
            'forgetting',
            'image passes',
            'student FLOPs',
            'teacher FLOPs',
            'total FLOPs',
            'time',
        ]
    ]
    if any(result.unit == 'iteration' for result in results):
        rows[0][2:5] = ['length', 'last', 'best']
    for result in results:
        best = MISSING
        if result.best is not None:
            best = f'{result.best} (at {", ".join(map(str, result.best_at))})'
        lengths = '+'.join(str(length) for _, length in result.grades)
        cost = result.cost
        rows.append(
            [
                result.name,
                str(len(result.runs)),
                lengths if result.unit == 'epoch' else f'{lengths} iterations',
                _text(result.last),
                best,
                _text(result.at_end_of(-1, FORGETTING)),
                f'{cost["image_passes"]:,}' if cost else MISSING,
                flops(cost['student_flops']) if cost else MISSING,
                flops(cost['teacher_flops']) if cost else MISSING,
                flops(cost['total_flops']) if cost else MISSING,
                duration(result.seconds.mean) if result.seconds else MISSING,
            ]
        )
    return rows


def _differences(
    results: Sequence[RowResult], baselines: Sequence[str]
) -> dict[str, dict[str, Statistic]]:
    """By the names of row and baseline, how far the row is from the baseline.

    Rows without a common seed, and baselines from themselves, are left out.
    """
    named = {result.name: result for result in results}
    return {
        name: {
            baseline: difference
            for baseline in baselines
            if baseline != name and (difference := result.difference(named[baseline]))
        }
        for name, result in named.items()
    }


def _difference_table(
    differences: Mapping[str, Mapping[str, Statistic]],
    baselines: Sequence[str],
    seeds: Mapping[str, int],
) -> list[list[str]]:
    def text(name: str, baseline: str) -> str:
        difference = differences[name].get(baseline)
        if difference is None:
            return MISSING
        interval = ''
        if difference.interval is not None:
            low, high = difference.interval
            interval = f' ({low:+.2f} to {high:+.2f})'
        fewer = difference.count < max(seeds[name], seeds[baseline])
        return f'{difference.mean:+.2f}{interval}' + (
            f', {difference.count} common seeds' if fewer else ''
        )

    rows = [[name, *(text(name, baseline) for baseline in baselines)] for name in differences]
    return [['difference to', *baselines], *rows]


def _grade_table(result: RowResult) -> list[list[str]]:
    rows = [['grade', 'seen', *result.groups, 'forgetting']]
    for index, (name, _) in enumerate(result.grades):
        keys = [SEEN, *(GROUP + group for group in result.groups), FORGETTING]
        rows.append(
            [name or 'whole training', *(_text(result.at_end_of(index, key)) for key in keys)]
        )
    return rows


def about_filling(filling: Filling) -> str:
    """Say what a table of kept answers costs."""
    return (
        f'Kept answers of the teacher {filling.teacher}: about {filling.answers:,} of '
        f'{filling.possible:,} are asked, once for all trainings together, for {flops(filling.flops)}.'
    )


def flops(count: float) -> str:
    """A number of FLOPs with its unit."""
    for factor, unit in ((1e18, 'EFLOPs'), (1e15, 'PFLOPs'), (1e12, 'TFLOPs'), (1e9, 'GFLOPs')):
        if count >= factor:
            return f'{count / factor:.4g} {unit}'
    return f'{count / 1e6:.4g} MFLOPs' if count else '0'


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of rows of cells, the first of which is the heading."""
    rows = [[cell.replace('|', r'\|') for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        '| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths)) + ' |'
        for row in rows
    ]
    lines.insert(1, '|' + '|'.join('-' * (width + 2) for width in widths) + '|')
    return '\n'.join(lines)


def _text(value: object | None) -> str:
    return MISSING if value is None else str(value)
