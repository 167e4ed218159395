"""Wall clock of whole runs of a config, with everything that is fast switched off and on."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edudistill_mm.errors import ConfigurationError

from .turns import median_of, median_ratio, take_turns

TOOLS = Path(__file__).resolve().parents[1]
OFF = [
    'train_dataloader.resident=False',
    'val_dataloader.resident=False',
    'model.keep_answers=False',
    'model.cuda_graphs=False',
]
ON = [*(option.replace('False', 'True') for option in OFF)]


def whole_runs_benchmark(
    config: str, options: Sequence[str] = (), repeats: int = 3, epochs: int | None = None
) -> list[tuple[str, float]]:
    """Measure trainings by tools/train.py, from start to end, whose teachers are there already.

    Answers are kept from none on: filling counts. ``options`` are ``--cfg-options`` of both sides.
    """
    sides = dict(
        on=_run(config, [*options, *ON], epochs), off=_run(config, [*options, *OFF], epochs)
    )
    turns = take_turns(sides, repeats, warm_up=False)
    return [
        ('whole run: everything on / everything off', median_ratio(turns, 'on', 'off')),
        ('seconds of a run: everything on', median_of(turns, 'on')),
        ('seconds of a run: everything off', median_of(turns, 'off')),
    ]


def _run(config: str, options: Sequence[str], epochs: int | None) -> Callable[[], float]:
    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(TOOLS / 'train.py'), config]
            command += ['--work-dir', os.path.join(folder, 'run')]
            command += [] if epochs is None else ['--epochs', str(epochs)]
            command += ['--cfg-options', *options]
            begin = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True)
            seconds = time.perf_counter() - begin
        if done.returncode:
            reason = (done.stderr.strip() or 'without a word').splitlines()[-1]
            raise ConfigurationError(f'a run of "{config}" failed: {reason}')
        return seconds

    return run
