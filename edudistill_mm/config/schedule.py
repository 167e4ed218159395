"""Epoch-based schedules in iterations, for epochs of unequal length."""

from collections.abc import Callable, Sequence
from itertools import accumulate

from edudistill_mm.errors import ConfigurationError

# MMEngine's mark for a schedule that never ends.
ENDLESS = int(1e9)
_DURATIONS = ('T_max', 'total_steps')


def epochs_to_iters(cfg: dict, lengths: Sequence[int]) -> dict:
    """Convert the config of a parameter scheduler from epochs to iterations.

    MMEngine's ``convert_to_iter_based`` multiplies by one epoch length; here each epoch has its
    own.

    Args:
        cfg (dict): Config of a scheduler. Returned unchanged unless it asks for
            ``convert_to_iter_based``.
        lengths (Sequence[int]): Number of iterations of each epoch of the run.

    Returns:
        dict: Config of the same schedule with ``by_epoch=False``.

    Raises:
        ConfigurationError: For ``step_size``, which has no constant value in iterations.
    """
    cfg = dict(cfg)
    if not cfg.pop('convert_to_iter_based', False):
        return cfg
    if 'step_size' in cfg:
        raise ConfigurationError(
            f'param_scheduler of type "{cfg["type"]}" cannot be converted to iterations, because a step of '
            f'{cfg["step_size"]} epochs has a different number of iterations in each grade; use MultiStepLR'
        )
    starts = [0, *accumulate(lengths)]

    def position(epoch: int) -> int:
        beyond = int(epoch) - len(lengths)
        if beyond <= 0 or epoch >= ENDLESS:
            return starts[min(int(epoch), len(lengths))]
        # As if the run went on.
        return starts[-1] + beyond * lengths[-1]

    cfg.setdefault('begin', 0)
    cfg.setdefault('end', len(lengths))
    return dict(move_schedule(cfg, position), by_epoch=False)


def move_schedule(cfg: dict, position: Callable[[int], int]) -> dict:
    """Move the times at which a parameter scheduler does something.

    Args:
        cfg (dict): Config of a scheduler.
        position (Callable[[int], int]): Gives the new place of a time on the run's clock.

    Returns:
        dict: The config with every time that it names moved; durations are moved by their ends.
    """
    cfg = dict(cfg)
    begin = cfg.get('begin', 0)
    origin = position(begin)
    for key in ('begin', 'end'):
        if cfg.get(key) is not None:
            cfg[key] = position(cfg[key])
    for key in _DURATIONS:
        if cfg.get(key) is not None:
            cfg[key] = position(begin + cfg[key]) - origin
    if 'milestones' in cfg:
        cfg['milestones'] = [position(begin + epoch) - origin for epoch in cfg['milestones']]
    if 'periods' in cfg:
        ends = [begin + total for total in accumulate(cfg['periods'])]
        edges = [origin, *(position(edge) for edge in ends)]
        cfg['periods'] = [after - before for before, after in zip(edges, edges[1:])]
    return cfg
