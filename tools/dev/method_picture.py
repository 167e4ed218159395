"""Draw docs/figures/method.svg, the picture of the method; see --help."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from page import check_page, write_page

from edudistill_mm.errors import ConfigurationError

PICTURE = Path(__file__).resolve().parents[2] / 'docs' / 'figures' / 'method.svg'
COMMAND = 'python tools/dev/method_picture.py'

WIDTH, HEIGHT = 880, 556
GRADES = ('primary', 'middle', 'university')
LEFT, COLUMN, GAP = 132, 232, 12  # where the first grade begins; width of a grade; between two
# Okabe and Ito's palette, as in the plots of reports, and its tints for large areas.
GROUPS = ('#0072B2', '#D55E00', '#009E73')
INK, FAINT = '#24292F', '#57606A'
# Name, colour, first and last grade of each teacher.
TEACHERS = (
    ('expert for the first classes', GROUPS[0], 0, 1),
    ('expert for the new ones', GROUPS[1], 1, 1),
    ('generalist: knows all classes', INK, 1, 2),
)
STYLE = f"""
text {{ font: 14px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: {INK} }}
.middle {{ text-anchor: middle }}
.light {{ fill: #FFFFFF; font-weight: 600 }}
.head {{ font-weight: 600; font-size: 16px }}
.note {{ fill: {FAINT}; font-size: 13px }}
.code {{ font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }}
.runs {{ fill: #CFE3F1; stroke: #0072B2; stroke-width: 1.5 }}
.new {{ fill: #7FB8D8; stroke: #0072B2; stroke-width: 2.5 }}
.waits {{ fill: none; stroke: #8C959F; stroke-dasharray: 4 3 }}
.reference {{ fill: #FBE7C6; stroke: #B07000; stroke-width: 1.5 }}
.flow {{ stroke: {FAINT}; stroke-width: 1.5; fill: none; marker-end: url(#tip) }}
"""
DESCRIPTION = (
    'Three grades from left to right. Teachers join and leave; each gives the student a distillation '
    'loss. The student runs more of its fragments, or of the blocks in its stages, in each grade. '
    'Fragments that are not the whole student are closed by a teaching reference, which is dropped '
    'at the end. Each grade adds classes to those seen before.'
)


def text(x: float, y: float, words: str, style: str = '') -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{style}">{words}</text>'


def box(x: float, y: float, width: float, height: float, style: str) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" class="{style}"/>'
    )


def flow(x: float, y: float, dx: float, dy: float) -> str:
    return f'<path d="M{x:g} {y:g}l{dx:g} {dy:g}" class="flow"/>'


def begin(grade: int) -> float:
    """Where the column of a grade begins."""
    return LEFT + grade * (COLUMN + GAP)


def label(y: float, first: str, *notes: str) -> list[str]:
    """What a row shows, left of it."""
    lines = [text(20, y, first, 'head')]
    return lines + [text(20, y + 18 * n, note, 'note') for n, note in enumerate(notes, 1)]


def grades(height: float) -> list[str]:
    """The columns of the grades, and their names."""
    parts = []
    for grade, name in enumerate(GRADES):
        x = begin(grade)
        parts.append(
            f'<rect x="{x}" y="16" width="{COLUMN}" height="{height}" rx="8" fill="#F3F5F7"/>'
        )
        parts.append(text(x + COLUMN / 2, 40, f'grade {grade + 1}: {name}', 'head middle'))
        if grade:
            parts.append(flow(x - GAP - 9, 35, GAP + 18, 0))
    return parts


def teachers(y: float) -> list[str]:
    parts = label(y + 20, 'Teachers', 'frozen; they', 'join and leave')
    for row, (name, colour, first, last) in enumerate(TEACHERS):
        x, width = begin(first) + 10, (last - first) * (COLUMN + GAP) + COLUMN - 20
        parts.append(
            f'<rect x="{x}" y="{y + 32 * row}" width="{width}" height="26" rx="13" fill="{colour}"/>'
        )
        parts.append(f'<text x="{x + 14}" y="{y + 32 * row + 18}" class="light">{name}</text>')
    for grade in range(len(GRADES)):
        x = begin(grade) + 60
        parts += [flow(x, y + 96, 0, 24), text(x + 10, y + 113, 'distillation losses', 'note')]
    return parts


def fragments(y: float) -> list[str]:
    parts = label(y + 10, 'Student', 'its fragments:', 'first ones run')
    for grade in range(len(GRADES)):
        x, last = begin(grade) + 10, grade == len(GRADES) - 1
        for fragment in range(len(GRADES)):
            style = 'new' if fragment == grade else 'runs' if fragment < grade else 'waits'
            parts.append(box(x + 56 * fragment, y, 44, 40, style))
            parts.append(
                text(x + 56 * fragment + 22, y + 25, str(fragment + 1), 'middle')
                if style != 'waits'
                else text(x + 56 * fragment + 22, y + 25, str(fragment + 1), 'middle note')
            )
            if 0 < fragment <= grade:
                parts.append(flow(x + 56 * fragment - 11, y + 20, 9, 0))
        parts.append(box(x + 168, y, 44, 40, 'new' if last else 'waits'))
        parts.append(text(x + 190, y + 25, 'head', 'middle' if last else 'middle note'))
        if last:
            parts.append(flow(x + 157, y + 20, 9, 0))
        else:
            end = x + 56 * grade + 22
            parts += [flow(end, y + 40, 0, 14), box(end - 22, y + 56, 84, 28, 'reference')]
            parts.append(text(end + 20, y + 75, 'reference', 'middle'))
    return parts


def blocks(y: float, title: str = 'Blocks') -> list[str]:
    parts = label(y + 10, title, 'of its stages;', 'no references')
    # In which grade each block of each stage begins to run.
    stages = ((0, 1, 2), (0, 1, 2), (0, 2))
    for grade in range(len(GRADES)):
        x = begin(grade) + 10
        for stage, joins in enumerate(stages):
            left = x + 56 * stage
            for number, first in enumerate(joins):
                style = 'new' if first == grade else 'runs' if first < grade else 'waits'
                parts.append(box(left, y + 16 * number, 44, 12, style))
            if stage:
                parts.append(flow(left - 11, y + 22, 9, 0))
        parts += [box(x + 168, y + 2, 44, 40, 'runs' if grade else 'new')]
        parts += [text(x + 190, y + 27, 'head', 'middle'), flow(x + 157, y + 22, 9, 0)]
    return parts


def classes(y: float) -> list[str]:
    parts = label(y + 12, 'Classes', 'come in with', 'the grades')
    for grade in range(len(GRADES)):
        x = begin(grade) + 12
        parts += [
            flow(x + 48, y - 8, 0, -24),
            text(x + 58, y - 16, 'images of classes seen', 'note'),
        ]
        for group, colour in enumerate(GROUPS):
            for number in range(3):
                left = x + 72 * group + 22 * number
                look = f'fill="{colour}"' if group <= grade else 'class="waits"'
                parts.append(f'<rect x="{left}" y="{y}" width="17" height="17" rx="3" {look}/>')
        seen = f'{3 * grade + 3} seen' + (', 3 new' if grade else '')
        parts.append(text(x, y + 38, seen, 'note'))
    return parts


def legend(y: float, count: int = 4) -> list[str]:
    parts = []
    entries = (
        ('new', 'new in this grade'),
        ('runs', 'runs and learns'),
        ('waits', 'built, waits'),
        ('reference', 'dropped at the end'),
    )
    for number, (style, words) in enumerate(entries[:count]):
        x = LEFT + 172 * number
        parts += [box(x, y, 22, 16, style), text(x + 30, y + 13, words)]
    return parts


def svg(height: float, title: str, description: str, parts: Sequence[str]) -> str:
    """A whole picture, on a light card of its own: so it can be read on a dark page, too."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="title description">',
        f'<title id="title">{title}</title>',
        f'<desc id="description">{description}</desc>',
        f'<style>{STYLE}</style>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto" markerUnits="userSpaceOnUse"><path d="M0 0l8 4l-8 4z" fill="{FAINT}"/></marker>',
        '</defs>',
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#FFFFFF"/>',
        *parts,
        '</svg>',
    ]
    return '\n'.join(parts) + '\n'


def picture() -> str:
    """The picture of the method."""
    end = 'After the last grade: the plain student, as MMPretrain knows it.'
    parts = [
        *grades(HEIGHT - 76),
        *teachers(58),
        *fragments(186),
        *blocks(308, 'or blocks'),
        *classes(420),
        *legend(HEIGHT - 46),
        text(LEFT, HEIGHT - 8, end, 'note'),
    ]
    return svg(HEIGHT, 'Education distillation', DESCRIPTION, parts)


def run_picture_tool(description: str, pictures: dict[Path, str], command: str) -> None:
    """Parse the command line of a tool that draws pictures, and do what it says.

    Raises:
        SystemExit: With ``--check``, if a picture is not what the tool would draw.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        '--check', action='store_true', help='fail if a picture is not what it should be'
    )
    check = parser.parse_args().check
    for file, drawn in pictures.items():
        if not check:
            write_page(file, drawn)
            continue
        try:
            check_page(file, drawn, command)
        except ConfigurationError as error:
            sys.exit(str(error))


if __name__ == '__main__':
    run_picture_tool('Draw docs/figures/method.svg', {PICTURE: picture()}, COMMAND)
