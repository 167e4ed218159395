import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from edudistill_mm.engine.early_ends import JUMP
from edudistill_mm.engine.validation_record import ACCURACIES

GROUP = 'seen/top1_'
# Lines of the environment that MMEngine logs.
_GPU = re.compile(r'^ +GPU [\d,]+: (.+)$', re.MULTILINE)
_PYTORCH = re.compile(r'^ +PyTorch: (\S+)$', re.MULTILINE)
_TIME = re.compile(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)', re.MULTILINE)


@dataclass(frozen=True)
class RunRecord:
    """What a run has logged, over all its sessions.

    ``validations`` are results in percent by the number of epochs (or iterations) trained before.
    ``progress`` is how many the log has come to. ``seconds`` is the wall-clock time, lost work
    included; None without a log. ``jumps`` are by the point at which early stopping has ended a
    grade, and have the end that the grade would have had. ``devices`` are those of its sessions, with
    their PyTorch, as far as their logs tell.
    """

    validations: dict[int, dict[str, float]]
    progress: int
    seconds: float | None
    jumps: dict[int, int] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, work_dir: str | Path, by_epoch: bool = True) -> 'RunRecord':
        """Read the logs in a work dir, which has a folder for each session.

        A session that begins before the end of an earlier one, because it resumed from a
        checkpoint or began anew, replaces what the earlier one logged from there on.
        """
        validations: dict[int, dict[str, float]] = {}
        progress, seconds = 0, None
        jumps: dict[int, int] = {}
        devices: dict[str, None] = {}
        begin: int | None = None
        for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
            first, found, last, jumped = _read_scalars(file, by_epoch)
            if first is not None:
                validations = {at: result for at, result in validations.items() if at < first}
                # The later session trains again what the earlier one jumped over.
                jumps = {at: to for at, to in jumps.items() if at < first and to < first}
                progress = last
                if begin is None or first <= begin:
                    begin, devices = first, {}
            validations.update(found)
            jumps.update(jumped)
            log = _log_of(file.parents[1])
            duration, device = _duration(log), _device(log)
            if duration is not None:
                seconds = (seconds or 0.0) + duration
            if device is not None and first is not None:
                devices[device] = None
        return cls(dict(sorted(validations.items())), progress, seconds, jumps, list(devices))

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> 'RunRecord':
        """The inverse of :func:`dataclasses.asdict`, also after a trip through JSON."""
        return cls(
            {int(at): result for at, result in content['validations'].items()},
            content['progress'],
            content['seconds'],
            # Earlier versions have written none.
            {int(at): to for at, to in content.get('jumps', {}).items()},
            content.get('devices', []),
        )

    def end(self, length: int) -> int:
        """Where a run ends: at its length, or where early stopping has ended the last grade."""
        return next((at for at, to in self.jumps.items() if to == length), length)

    def spent(self, lengths: Sequence[int]) -> list[int]:
        """What a finished run has trained of each grade, in epochs (or iterations)."""
        spent, end = [], 0
        for length in lengths:
            end += length
            left_out = [end - at for at, to in self.jumps.items() if to == end]
            spent.append(length - sum(left_out))
        return spent

    @property
    def accuracy(self) -> dict[int, float]:
        """Top-1 accuracy over all classes of each validation, in percent."""
        return {
            at: next(result[key] for key in ACCURACIES if key in result)
            for at, result in self.validations.items()
            if any(key in result for key in ACCURACIES)
        }

    @property
    def groups(self) -> list[str]:
        """Names of the class groups that were measured, in order of appearance."""
        keys = dict.fromkeys(key for result in self.validations.values() for key in result)
        return [key.removeprefix(GROUP) for key in keys if key.startswith(GROUP)]


def _read_scalars(
    file: Path, by_epoch: bool
) -> tuple[int | None, dict[int, dict[str, float]], int, dict[int, int]]:
    """First epoch (or iteration) of a session, its validations, the last one, its jumps."""
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


def _log_of(session: Path) -> str:
    return next((file.read_text(errors='replace') for file in session.glob('*.log')), '')


def _duration(log: str) -> float | None:
    stamps = _TIME.findall(log)
    if not stamps:
        return None
    begin, end = (
        datetime.strptime(stamp, '%Y/%m/%d %H:%M:%S') for stamp in (stamps[0], stamps[-1])
    )
    return (end - begin).total_seconds()


def _device(log: str) -> str | None:
    """The device and the PyTorch that MMEngine names at the beginning of a log."""
    version = _PYTORCH.search(log)
    if version is None:
        return None
    card = _GPU.search(log, 0, version.start())
    return f'{card[1].strip() if card else "CPU"} with PyTorch {version[1]}'
