"""Draw the pictures of docs/curricula.md, one for each thing that grows; see --help."""

from collections.abc import Callable, Sequence

from method_picture import (
    PICTURE,
    begin,
    blocks,
    classes,
    fragments,
    grades,
    legend,
    run_picture_tool,
    svg,
    teachers,
    text,
)

COMMAND = 'python tools/dev/curricula_pictures.py'
DEEPER = ('fragments=1', 'fragments=2', 'fragments=3')
# What each grade has in its config, the row of the method's picture, where it begins and how high
# it is, and what the picture shows, in words.
ROWS: dict[str, tuple[Sequence[str], Callable[[float], list[str]], int, int, str]] = {
    'depth': (
        DEEPER,
        fragments,
        80,
        96,
        'Grade 1 runs the first fragment, grade 2 the first two, grade 3 all three and the head. '
        'What is not the whole student ends in a teaching reference.',
    ),
    'blocks': (
        DEEPER,
        blocks,
        80,
        56,
        'Each grade runs all stages of the student and its head, with more blocks in the stages.',
    ),
    'classes': (
        ('classes=3', 'classes=3', "classes='all'"),
        classes,
        112,
        52,
        'Three classes in grade 1, six in grade 2, all nine in grade 3.',
    ),
    'teachers': (
        ("teachers=['first']", "teachers=['new', 'all']", "leave=['first', 'new']"),
        teachers,
        80,
        124,
        'One expert teaches in grade 1; another expert and a generalist join in grade 2; the '
        'generalist alone teaches in grade 3.',
    ),
}


def picture(name: str) -> str:
    """The picture of one thing that grows."""
    codes, row, top, height, description = ROWS[name]
    bottom = top + height
    parts = [
        *grades(bottom - 16),
        *(text(begin(grade) + 10, 62, code, 'code') for grade, code in enumerate(codes)),
        *row(top),
    ]
    if row in (fragments, blocks):
        parts += legend(bottom + 12, 3 if row is blocks else 4)
        bottom += 32
    return svg(bottom + 12, f'What grows: {name}', description, parts)


PICTURES = {PICTURE.with_name(f'curricula_{name}.svg'): picture(name) for name in ROWS}

if __name__ == '__main__':
    run_picture_tool('Draw the pictures of docs/curricula.md', PICTURES, COMMAND)
