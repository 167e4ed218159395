from collections.abc import Mapping

from edudistill_mm.curriculum import Curriculum

from .grade_accuracy import GradeAccuracy


def grade_table(curriculum: Curriculum, history: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table of accuracies, a row a grade, a column a class group; maybe empty.

    ``history`` holds the last validation of each grade, by its name.
    """
    prefix = GradeAccuracy.default_prefix
    groups = [grade.name for grade in curriculum.grades if grade.classes]
    keys = [
        f'{prefix}/{key}' for key in ('top1', *(f'top1_{name}' for name in groups), 'forgetting')
    ]
    rows = [['grade', 'classes', 'seen', *groups, 'forgetting']]
    for grade in curriculum.grades:
        result = history.get(grade.name, {})
        if keys[0] in result:
            scores = [f'{result[key]:.2f}' if key in result else '-' for key in keys]
            rows.append([grade.name, str(len(grade.seen)), *scores])
    if len(rows) == 1:
        return ''
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        '| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths)) + ' |'
        for row in rows
    ]
    lines.insert(1, '|' + '|'.join('-' * (width + 2) for width in widths) + '|')
    return '\n'.join(lines)
