"""The page docs/reliability.md, from the rows that the tests report."""

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / 'docs' / 'reliability.md'
AREAS = (
    'Killed and resumed',
    'The folder of a run',
    'Several processes',
    'Mixed precision and compilation',
    'Averaged weights',
    'Students of unfinished runs',
    'Hostile and broken files',
    'Wrong configs',
    'Faulty data',
    'Load',
)
INTRODUCTION = """\
# Reliability

What was done to runs, how often, and what became of them. Each row was written by a test that
injected the fault into a real run and would fail if the outcome were another:

    python -m pytest tests/reliability --full --write-page

With names of test files in the place of the folder, only their rows are written anew. The default
test command runs most of these tests with fewer injections, `-m slow` the others.
"""


@dataclass(frozen=True)
class Row:
    """A fault and its outcome, in the words of the page."""

    area: str
    fault: str
    injected: str
    times: str
    happened: str
    lost: str
    source: str


def rows_of(page):
    """The rows of a page that :func:`page_of` has made."""
    rows, area = [], None
    for line in page.splitlines():
        if line.startswith('## '):
            area = line[3:]
        elif area and line.endswith('` |'):
            fault, injected, times, happened, lost, source = line[2:-2].split(' | ')
            rows.append(Row(area, fault, injected, times, happened, lost, source.strip('`')))
    return rows


def page_of(rows):
    """The page with a table for each area."""
    sections = [INTRODUCTION]
    for area in AREAS:
        # In whichever order the tests have ended.
        mine = sorted((row for row in rows if row.area == area), key=lambda r: (r.source, r.fault))
        if not mine:
            continue
        lines = [
            f'| {row.fault} | {row.injected} | {row.times} | {row.happened} | {row.lost} '
            f'| `{row.source}` |'
            for row in mine
        ]
        header = '| fault | how it was injected | times | what happened | lost | test |'
        sections.append(
            '\n'.join([f'\n## {area}\n', header, '|---|---|---|---|---|---|', *lines, ''])
        )
    return ''.join(sections)
