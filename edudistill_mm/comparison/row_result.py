from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.cost.training_cost import TrainingCost

from .run_record import GROUP, RunRecord
from .statistic import Statistic

FORGETTING, SEEN = 'seen/forgetting', 'seen/top1'


@dataclass
class RowResult:
    """A row of a report: what was trained, what it costs, and what came out for each seed.

    ``unit`` is 'epoch' or 'iteration'. ``grades`` are names and lengths; one without a name for a
    training without a curriculum. ``cost`` has ``image_passes``, ``student_flops``,
    ``teacher_flops`` and ``total_flops`` of the whole training; it is empty if they could not be
    counted. ``commands`` and ``runs``, the latter only those with results, are by seed.
    """

    name: str
    unit: str
    grades: list[tuple[str, int]]
    cost: dict[str, int]
    commands: dict[int, str]
    teacher_commands: list[str] = field(default_factory=list)
    runs: dict[int, RunRecord] = field(default_factory=dict)
    finished: bool = True
    remarks: list[str] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Epochs (or iterations) of the whole training."""
        return sum(length for _, length in self.grades)

    @property
    def borders(self) -> list[int]:
        """Where each grade ends."""
        return list(accumulate(length for _, length in self.grades))

    @property
    def has_grades(self) -> bool:
        """Whether the row was trained grade by grade."""
        return len(self.grades) > 1

    @property
    def groups(self) -> list[str]:
        """The class groups that were measured."""
        return list(dict.fromkeys(group for run in self.runs.values() for group in run.groups))

    @property
    def last(self) -> Statistic | None:
        """Accuracy at the end of the training, or as far as it has come."""
        return Statistic.of(_last(run.accuracy) for run in self.runs.values())

    @property
    def best(self) -> Statistic | None:
        """Accuracy of each run's best validation."""
        return Statistic.of(max(run.accuracy.values(), default=None) for run in self.runs.values())

    @property
    def best_at(self) -> list[int]:
        """The epoch (or iteration) of each run's best validation, the first of equals."""
        return [
            max(run.accuracy, key=run.accuracy.__getitem__)
            for run in self.runs.values()
            if run.accuracy
        ]

    @property
    def seconds(self) -> Statistic | None:
        """Wall-clock time of a run."""
        return Statistic.of(run.seconds for run in self.runs.values())

    def difference(self, other: 'RowResult') -> Statistic | None:
        """Differences to another row's last accuracies; None if the rows share no seed."""
        return Statistic.of(
            _last(run.accuracy) - _last(other.runs[seed].accuracy)
            for seed, run in self.runs.items()
            if seed in other.runs and run.accuracy and other.runs[seed].accuracy
        )

    def at_end_of(self, grade: int, key: str) -> Statistic | None:
        """A result by its name, in the last validation of a grade by its index."""
        end = self.borders[grade]
        begin = end - self.grades[grade][1]
        return Statistic.of(
            _last(
                {at: result for at, result in run.validations.items() if begin < at <= end}, {}
            ).get(key)
            for run in self.runs.values()
        )

    def curve(self, key: str | None = None) -> dict[int, Statistic]:
        """A result by epoch (or iteration); without a key the accuracy over all classes."""
        curves = [
            run.accuracy
            if key is None
            else {at: result[key] for at, result in run.validations.items() if key in result}
            for run in self.runs.values()
        ]
        return {
            at: Statistic.of(curve.get(at) for curve in curves)
            for at in sorted({at for curve in curves for at in curve})
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``report.json``."""

        def plain(value: Statistic | None) -> dict[str, Any] | None:
            return None if value is None else vars(value)

        return dict(
            name=self.name,
            unit=self.unit,
            grades=[dict(name=name, length=length) for name, length in self.grades],
            cost=self.cost,
            finished=self.finished,
            remarks=self.remarks,
            last_epoch=plain(self.last),
            best_epoch=plain(self.best),
            seconds=plain(self.seconds),
            forgetting=plain(self.at_end_of(-1, FORGETTING)),
            best_epochs=self.best_at,
            by_grade=[
                {
                    'grade': name,
                    'seen': plain(self.at_end_of(index, SEEN)),
                    **{f'group {g}': plain(self.at_end_of(index, GROUP + g)) for g in self.groups},
                    'forgetting': plain(self.at_end_of(index, FORGETTING)),
                }
                for index, (name, _) in enumerate(self.grades)
            ],
            teacher_commands=self.teacher_commands,
            commands=self.commands,
            runs={seed: dict(vars(run)) for seed, run in self.runs.items()},
        )


def spent_costs(result: RowResult, cost: TrainingCost) -> None:
    """Give a row, in place, the costs of runs that early stopping has shortened, and a remark.

    The costs are the mean over the seeds. ``cost`` is that of the whole training.
    """
    lengths = [length for _, length in result.grades]
    ended = {seed: run.spent(lengths) for seed, run in result.runs.items() if run.jumps}
    if not ended:
        return
    costs = [costs_of(cost, run.spent(lengths)) for run in result.runs.values()]
    result.cost = {key: round(sum(each[key] for each in costs) / len(costs)) for key in costs[0]}
    for seed, spent in ended.items():
        grades = ', '.join(
            f'{name or "the training"} after {short} of {length}'
            for (name, length), short in zip(result.grades, spent)
            if short < length
        )
        result.remarks.append(
            f'early stopping has ended {grades} {result.unit}s'
            + (f' (seed {seed})' if len(result.runs) > 1 else '')
        )
    result.remarks.append('the costs are those of the training so shortened')


def grades_of(run: RunConfig, cost_lengths: Sequence[int]) -> list[tuple[str, int]]:
    """Names and lengths of the grades; one without a name if there is no curriculum."""
    names = [grade.name for grade in run.curriculum.grades] if run.is_education else ['']
    return list(zip(names, cost_lengths))


def costs_of(cost: TrainingCost, lengths: Sequence[int] | None = None) -> dict[str, int]:
    """The figures of a cost that a report gives."""
    return dict(
        image_passes=cost.image_passes(lengths),
        student_flops=cost.student_flops(lengths),
        teacher_flops=cost.teacher_flops(lengths),
        total_flops=cost.total_flops(lengths),
    )


def _last(curve: Mapping[int, Any], default: Any = None) -> Any:
    return curve[max(curve)] if curve else default
