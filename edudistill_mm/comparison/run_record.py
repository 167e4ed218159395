import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from edudistill_mm.engine.early_ends import JUMP

# MMRazor's SingleTeacherDistillValLoop puts the network's name first.
ACCURACIES = ('accuracy/top1', 'student.accuracy/top1')
GROUP = 'seen/top1_'
_TIME = re.compile(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)', re.MULTILINE)


@dataclass(frozen=True)
class RunRecord:
    """What a run has written about itself, over all its sessions.

    Attributes:
        validations (Dict[int, Dict[str, float]]): Results of each validation, in percent, by the
            number of epochs (or iterations) trained before it.
        progress (int): Epochs (or iterations) that the log has come to.
        seconds (float, optional): Wall-clock time of all sessions, lost work included; None if
            there is no log.
        jumps (Dict[int, int]): Where early stopping has ended a grade, and the end that the grade
            would have had, in epochs (or iterations).
    """

    validations: dict[int, dict[str, float]]
    progress: int
    seconds: float | None
    jumps: dict[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, work_dir: str | Path, by_epoch: bool = True) -> 'RunRecord':
        """Read the logs in a work dir.

        A session that goes back behind an earlier one, because it resumed from a checkpoint or
        began anew, takes the place of what came later there.

        Args:
            work_dir (str | Path): The run's work dir, with a folder for each session.
            by_epoch (bool): Whether the run counts epochs; iterations otherwise. Defaults to True.
        """
        validations: dict[int, dict[str, float]] = {}
        progress, seconds = 0, None
        jumps: dict[int, int] = {}
        for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
            first, found, last, jumped = _read_scalars(file, by_epoch)
            if first is not None:
                validations = {at: result for at, result in validations.items() if at < first}
                # Nor has a session jumped over what a later one trains.
                jumps = {at: to for at, to in jumps.items() if at < first and to < first}
                progress = last
            validations.update(found)
            jumps.update(jumped)
            duration = _duration(file.parents[1])
            if duration is not None:
                seconds = (seconds or 0.0) + duration
        return cls(dict(sorted(validations.items())), progress, seconds, jumps)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> 'RunRecord':
        """Take over what :func:`dataclasses.asdict` gave, also after a trip through JSON."""
        return cls(
            {int(at): result for at, result in content['validations'].items()},
            content['progress'],
            content['seconds'],
            # Those of earlier versions have none.
            {int(at): to for at, to in content.get('jumps', {}).items()},
        )

    def end(self, length: int) -> int:
        """Where the run ends: at its length, or where early stopping has ended the last grade.

        Args:
            length (int): Epochs (or iterations) of the whole training.
        """
        return next((at for at, to in self.jumps.items() if to == length), length)

    def spent(self, lengths: Sequence[int]) -> list[int]:
        """What a run that has come to its end has trained of each grade.

        Args:
            lengths (Sequence[int]): Epochs (or iterations) of each grade.
        """
        spent, end = [], 0
        for length in lengths:
            end += length
            left_out = [end - at for at, to in self.jumps.items() if to == end]
            spent.append(length - sum(left_out))
        return spent

    @property
    def accuracy(self) -> dict[int, float]:
        """dict[int, float]: Top-1 accuracy over all classes of each validation, in percent."""
        curve = {}
        for at, result in self.validations.items():
            for key in ACCURACIES:
                if key in result:
                    curve[at] = result[key]
                    break
        return curve

    @property
    def groups(self) -> list[str]:
        """list[str]: Names of the class groups that were measured, in order of appearance."""
        names: dict[str, None] = {}
        for result in self.validations.values():
            names.update(
                {key.removeprefix(GROUP): None for key in result if key.startswith(GROUP)}
            )
        return list(names)


def _read_scalars(
    file: Path, by_epoch: bool
) -> tuple[int | None, dict[int, dict[str, float]], int, dict[int, int]]:
    """First epoch (or iteration) that a session trains, its validations, the last one, and its
    jumps.
    """
    first, last, validations, jumps = None, 0, {}, {}
    for line in file.read_text().splitlines():
        try:
            row = json.loads(line)
        except ValueError:  # cut off by a crash
            continue
        if JUMP in row:
            jumps[row['step']] = row[JUMP]
            continue
        # Lines of training name their iteration; those of validation have the epoch as step.
        training = 'iter' in row
        at = row['step'] if not training else row.get('epoch', 0) if by_epoch else row['iter']
        first = at if first is None else first
        last = max(last, at)
        if not training:
            validations[at] = {
                key: float(value)
                for key, value in row.items()
                if '/' in key and isinstance(value, (int, float))
            }
    return first, validations, last, jumps


def _duration(session: Path) -> float | None:
    logs = list(session.glob('*.log'))
    stamps = _TIME.findall(logs[0].read_text(errors='replace')) if logs else []
    if not stamps:
        return None
    begin, end = (
        datetime.strptime(stamp, '%Y/%m/%d %H:%M:%S') for stamp in (stamps[0], stamps[-1])
    )
    return (end - begin).total_seconds()
