from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.cost.training_cost import TrainingCost

from .run_record import GROUP, RunRecord
from .statistic import Statistic

FORGETTING, SEEN = 'seen/forgetting', 'seen/top1'


@dataclass
class RowResult:
    """A row of a report: what was trained, what it costs, and what came out for each seed.

    Attributes:
        name (str): Name of the row.
        unit (str): 'epoch' or 'iteration'.
        grades (List[Tuple[str, int]]): Name and length of each grade; a single one without a name
            for a training without a curriculum.
        cost (Dict[str, int]): ``image_passes``, ``student_flops`` and ``teacher_flops`` of the
            whole training; empty if they could not be counted.
        commands (Dict[int, str]): The command that trains it, by seed.
        teacher_commands (List[str]): The commands that train its teachers first.
        runs (Dict[int, RunRecord]): The runs that have results, by seed.
        finished (bool): Whether all runs have come to their end.
        remarks (List[str]): Sentences for the reader of the report.
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
        """int: Epochs (or iterations) of the whole training."""
        return sum(length for _, length in self.grades)

    @property
    def borders(self) -> list[int]:
        """list[int]: Where each grade ends."""
        return [
            sum(length for _, length in self.grades[: index + 1])
            for index in range(len(self.grades))
        ]

    @property
    def has_grades(self) -> bool:
        """bool: Whether the row was trained grade by grade."""
        return len(self.grades) > 1

    @property
    def groups(self) -> list[str]:
        """list[str]: The class groups that were measured."""
        names: dict[str, None] = {}
        for run in self.runs.values():
            names.update(dict.fromkeys(run.groups))
        return list(names)

    @property
    def last(self) -> Statistic | None:
        """Statistic | None: Accuracy at the end of the training, or as far as it has come."""
        return Statistic.of(_last(run.accuracy) for run in self.runs.values())

    @property
    def best(self) -> Statistic | None:
        """Statistic | None: Accuracy of each run's best validation."""
        return Statistic.of(max(run.accuracy.values(), default=None) for run in self.runs.values())

    @property
    def best_at(self) -> list[int]:
        """list[int]: The epoch (or iteration) of each run's best validation, the first of equals."""
        return [
            max(run.accuracy, key=run.accuracy.__getitem__)
            for run in self.runs.values()
            if run.accuracy
        ]

    @property
    def seconds(self) -> Statistic | None:
        """Statistic | None: Wall-clock time of a run."""
        return Statistic.of(run.seconds for run in self.runs.values())

    def difference(self, other: 'RowResult') -> Statistic | None:
        """By how much the last accuracies are above another row's with the same seeds.

        Args:
            other (RowResult): The other row.

        Returns:
            Statistic | None: Of the differences; None if the rows share no seed.
        """
        return Statistic.of(
            _last(run.accuracy) - _last(other.runs[seed].accuracy)
            for seed, run in self.runs.items()
            if seed in other.runs and run.accuracy and other.runs[seed].accuracy
        )

    def at_end_of(self, grade: int, key: str) -> Statistic | None:
        """A result in the last validation of a grade.

        Args:
            grade (int): Index of the grade.
            key (str): Name of the result.
        """
        end = self.borders[grade]
        begin = end - self.grades[grade][1]
        return Statistic.of(
            _last(
                {at: result for at, result in run.validations.items() if begin < at <= end}, {}
            ).get(key)
            for run in self.runs.values()
        )

    def curve(self, key: str | None = None) -> dict[int, Statistic]:
        """A result over the training.

        Args:
            key (str, optional): Name of the result. Defaults to None: the accuracy over all
                classes.

        Returns:
            dict[int, Statistic]: By epoch (or iteration).
        """
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
        """Describe everything in plain data for ``report.json``."""
        plain = vars  # of a Statistic
        measured = {
            'last_epoch': self.last,
            'best_epoch': self.best,
            'seconds': self.seconds,
            'forgetting': self.at_end_of(-1, FORGETTING),
        }
        return dict(
            name=self.name,
            unit=self.unit,
            grades=[dict(name=name, length=length) for name, length in self.grades],
            cost=self.cost,
            finished=self.finished,
            remarks=self.remarks,
            **{key: value and plain(value) for key, value in measured.items()},
            best_epochs=self.best_at,
            by_grade=[
                {
                    'grade': name,
                    **{
                        key: value and plain(value)
                        for key, value in [
                            ('seen', self.at_end_of(index, SEEN)),
                            *(
                                (f'group {group}', self.at_end_of(index, GROUP + group))
                                for group in self.groups
                            ),
                            ('forgetting', self.at_end_of(index, FORGETTING)),
                        ]
                    },
                }
                for index, (name, _) in enumerate(self.grades)
            ],
            teacher_commands=self.teacher_commands,
            commands=self.commands,
            runs={seed: dict(vars(run)) for seed, run in self.runs.items()},
        )


def spent_costs(result: RowResult, cost: TrainingCost) -> None:
    """Where early stopping has ended grades, give a row the costs that its runs have had, their
    mean over the seeds, and a remark.

    Args:
        result (RowResult): The row, with its runs; changed in place.
        cost (TrainingCost): What its training costs.
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
    """Names and lengths of the grades of a config.

    Args:
        run (RunConfig): The config.
        cost_lengths (Sequence[int]): Their lengths, of which there is one without a curriculum.
    """
    names = [grade.name for grade in run.curriculum.grades] if run.is_education else ['']
    return list(zip(names, cost_lengths))


def costs_of(cost: TrainingCost, lengths: Sequence[int] | None = None) -> dict[str, int]:
    """The figures of a cost that a report gives."""
    return dict(
        image_passes=cost.image_passes(lengths),
        student_flops=cost.student_flops(lengths),
        teacher_flops=cost.teacher_flops(lengths),
    )


def _last(curve: Mapping[int, Any], default: Any = None) -> Any:
    return curve[max(curve)] if curve else default
