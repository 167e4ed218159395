"""A training stretched or cut until it costs what it may cost."""

from itertools import accumulate
from typing import Any, Callable, Dict, List, Sequence

from mmengine.config import Config

from edudistill_mm.engine.schedule import move_schedule
from edudistill_mm.errors import ConfigurationError

from ..config import is_education
from ..plain_distillation import is_plain
from ..training_cost import TrainingCost

MEASURES = dict(student_flops='student FLOPs', image_passes='image passes', epochs='epochs')
# Where hooks name a time of the run, in epochs: EMAHook, MMRazor's StopDistillHook.
HOOK_TIMES = ('begin_epoch', 'stop_epoch')
# MMEngine's mark for a schedule that never ends.
ENDLESS = int(1e9)


def fit_lengths(lengths: Sequence[int], costs: Sequence[int], budget: float) -> List[int]:
    """Scale the lengths of stages in proportion until they cost what a budget allows.

    Each stage gets 1 epoch; then epoch after epoch goes to the stage that is farthest behind its
    proportion, the rule of Sainte-Lague for the seats of a parliament. Unlike with largest
    remainders, a larger budget then never makes a stage shorter. The result is the one whose cost
    is nearest to the budget, which is at most half of the dearest stage's epoch away; the lengths
    themselves come back for the budget that they cost.

    Args:
        lengths (Sequence[int]): Epochs (or iterations) of each stage, at least 1.
        costs (Sequence[int]): Cost of one epoch (or iteration) of each stage.
        budget (float): The cost that all together should have.

    Returns:
        list[int]: The new lengths.

    Raises:
        ConfigurationError: If the budget is less than one epoch of each stage.
    """
    fitted, total = [1] * len(lengths), sum(costs)
    if budget < total:
        raise ConfigurationError(
            f'the budget {budget:,} is less than the shortest training, which costs {total:,}'
        )
    while True:
        # Of equally needy stages the last comes first: it is the one that is kept.
        stage = max(
            range(len(lengths)),
            key=lambda index: (lengths[index] / (2 * fitted[index] + 1), index),
        )
        if total + costs[stage] - budget >= budget - total:
            return fitted
        fitted[stage] += 1
        total += costs[stage]


def time_map(old: Sequence[int], new: Sequence[int]) -> Callable[[int], int]:
    """Map times of a run onto a run with other lengths of its stages.

    Args:
        old (Sequence[int]): Length of each stage.
        new (Sequence[int]): New length of each stage.

    Returns:
        Callable[[int], int]: Borders of stages become borders, times between them keep their
        proportion; what happens after the start happens after the start.
    """
    olds, news = [0, *accumulate(old)], [0, *accumulate(new)]

    def position(time: int) -> int:
        if time <= 0 or time >= ENDLESS:
            return int(time)
        if time > olds[-1]:
            return round(time * news[-1] / olds[-1])
        stage = next(index for index, end in enumerate(olds[1:]) if time <= end)
        share = (time - olds[stage]) / old[stage]
        return max(1, round(news[stage] + share * new[stage]))

    return position


def stretched_options(cfg: Config, cost: TrainingCost, lengths: Sequence[int]) -> Dict[str, Any]:
    """Find the options that give a config other lengths.

    Args:
        cfg (Config): The config.
        cost (TrainingCost): What :func:`training_cost` said of it.
        lengths (Sequence[int]): The new epochs (or iterations) of each stage.

    Returns:
        dict: Values by dotted key, as ``--cfg-options`` takes them: the grades, the length of the
        loop, all times of learning-rate schedules, and those of hooks that count epochs. Empty if
        the lengths are the old ones.
    """
    if list(lengths) == cost.lengths:
        return {}
    options: Dict[str, Any] = {
        f'train_cfg.max_{"epochs" if cost.by_epoch else "iters"}': sum(lengths)
    }
    unit = 'epochs' if cost.by_epoch else 'iters'
    # The one grade of plain distillation, which its file does not have, follows the loop.
    if is_education(cfg) and not is_plain(cfg):
        for index, length in enumerate(lengths):
            options[f'model.curriculum.grades.{index}.{unit}'] = length
    clock = time_map(cost.lengths, lengths)
    if cfg.train_cfg.get('val_begin'):
        options['train_cfg.val_begin'] = clock(cfg.train_cfg.val_begin)
    batches = [stage.batches for stage in cost.stages]
    iterations = time_map(
        [length * count for length, count in zip(cost.lengths, batches)],
        [length * count for length, count in zip(lengths, batches)],
    )
    ratio = sum(lengths) / sum(cost.lengths)
    schedules = cfg.get('param_scheduler') or []
    for index, schedule in enumerate([schedules] if isinstance(schedules, dict) else schedules):
        in_units = schedule.get('by_epoch', True) or schedule.get('convert_to_iter_based', False)
        moved = move_schedule(dict(schedule), clock if in_units else iterations)
        if 'step_size' in schedule:
            moved['step_size'] = max(1, round(schedule['step_size'] * ratio))
        if 'Exponential' in str(schedule['type']) and 'gamma' in schedule:
            # The rate falls as far over the whole run.
            moved['gamma'] = schedule['gamma'] ** (1 / ratio)
        prefix = 'param_scheduler' if isinstance(schedules, dict) else f'param_scheduler.{index}'
        options.update(
            {
                f'{prefix}.{key}': value
                for key, value in moved.items()
                if value != schedule.get(key)
            }
        )
    for index, hook in enumerate(cfg.get('custom_hooks') or []):
        for key in HOOK_TIMES:
            if hook.get(key):
                options[f'custom_hooks.{index}.{key}'] = clock(hook[key])
        if str(hook['type']).endswith('DistillWarmupHook'):
            for key in ('epochs', 'iters'):
                if hook.get(key):
                    options[f'custom_hooks.{index}.{key}'] = max(1, round(hook[key] * ratio))
    return options
