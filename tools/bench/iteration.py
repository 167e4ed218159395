"""CPU time of whole iterations with almost no networks, against plain MMRazor and a loop by hand."""

import tempfile
from pathlib import Path

from .bare_loop import BareLoop
from .timed_run import TimedRun, own_runner, plain_runner
from .turns import median_of, median_ratio, take_turns


def iteration_benchmark(
    batch_size: int = 64, repeats: int = 10, iterations: int = 100
) -> list[tuple[str, float]]:
    """Measure an iteration of this package, with all default hooks, as ratios.

    This package, MMRazor's ``SingleTeacherDistill`` under MMEngine's ``Runner`` with MMPretrain's
    pipeline in the main process, and two forms of :class:`BareLoop` take turns, an epoch each.
    Networks, data, loss and optimizer are the same. The results are what was compared and the
    median of the ratios, then the milliseconds of each.
    """
    count = batch_size * iterations
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            'this package': TimedRun(own_runner(Path(folder), count, batch_size)).epoch,
            'plain MMRazor': TimedRun(plain_runner(Path(folder), count, batch_size)).epoch,
            'a loop by hand': BareLoop(count, batch_size).epoch,
            'a loop by hand with slices': BareLoop(count, batch_size, slices=True).epoch,
        }
        turns = take_turns(sides, repeats)
    own, *others = sides
    return [
        *((f'iteration: {own} / {other}', median_ratio(turns, own, other)) for other in others),
        *((f'ms of an iteration: {side}', 1000 * median_of(turns, side)) for side in sides),
    ]
