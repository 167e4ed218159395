"""Rows of reports with figures that are given."""

from edudistill_mm.comparison.row_result import RowResult
from edudistill_mm.comparison.run_record import RunRecord


def row(name, cost=None, grades=(), groups=(), **accuracies):
    """A row of two epochs with the accuracy of the last one for each seed.

    ``cost`` is that of the student; ``groups`` are class groups, all of the same accuracy.
    """
    runs = {}
    for seed, accuracy in accuracies.items():
        last = {'accuracy/top1': accuracy, **{f'seen/top1_{group}': accuracy for group in groups}}
        content = dict(validations={1: {'accuracy/top1': 10.0}, 2: last}, progress=2, seconds=1)
        runs[int(seed[1:])] = RunRecord.from_dict(content)
    costs = dict(image_passes=1, student_flops=cost, teacher_flops=0, total_flops=3 * (cost or 0))
    return RowResult(
        name, 'epoch', list(grades) or [('', 2)], costs if cost else {}, {0: 'train'}, runs=runs
    )
