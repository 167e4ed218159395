"""A training stretched or cut to another length, with everything in it that happens at a time."""

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from mmengine.config import Config

from edudistill_mm.config.epochs import batches_of_grades
from edudistill_mm.config.plain_distillation import follow_loop, is_plain
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.schedule import ENDLESS, move_schedule
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.type_name import type_name
from edudistill_mm.validation.values import check_positive

# Where hooks name a time of the run: EMAHook, MMRazor's StopDistillHook, CheckpointHook, recipes of
# MMPretrain's SwitchRecipeHook; and how long DistillWarmupHook and its like last.
EPOCHS_OF_HOOKS = ('begin_epoch', 'stop_epoch', 'save_begin', 'action_epoch')
ITERATIONS_OF_HOOKS = ('begin_iter',)
DURATIONS_OF_HOOKS = dict(
    DistillWarmupHook=('epochs', 'iters'),
    NewParameterRateHook=('epochs', 'iters'),
    ExitFadeHook=('epochs', 'iters'),
    EarlyStoppingHook=('patience',),
)
# StepLR's, and ReduceOnPlateau's.
DURATIONS_OF_SCHEDULES = ('step_size', 'patience', 'cooldown')


def fit_lengths(lengths: Sequence[int], costs: Sequence[int], budget: float) -> list[int]:
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


def stretched_options(
    run: RunConfig,
    lengths: Sequence[int],
    wanted: Sequence[int],
    batches: Callable[[], Sequence[int]],
) -> dict[str, Any]:
    """Find the options that give a config other lengths.

    Args:
        run (RunConfig): The config.
        lengths (Sequence[int]): Its epochs (or iterations) of each stage.
        wanted (Sequence[int]): The new ones.
        batches (Callable[[], Sequence[int]]): Gives the batches of an epoch (or 1 for an
            iteration) of each stage; asked only if something in the config counts iterations
            beside epochs.

    Returns:
        dict: Values by dotted key, as ``--cfg-options`` takes them: the grades, the length of the
        loop, all times of learning-rate schedules, and those of hooks. Empty if the lengths are
        the old ones.
    """
    if list(wanted) == list(lengths):
        return {}
    cfg = run.cfg
    unit = 'epochs' if 'max_epochs' in cfg.train_cfg else 'iters'
    options: dict[str, Any] = {f'train_cfg.max_{unit}': sum(wanted)}
    # The one grade of plain distillation, which its file does not have, follows the loop.
    if run.is_education and not is_plain(cfg):
        for index, length in enumerate(wanted):
            options[f'model.curriculum.grades.{index}.{unit}'] = length
    clock, ratio = time_map(lengths, wanted), sum(wanted) / sum(lengths)

    def iterations(time: int) -> int:
        counts = batches()
        old, new = (
            [length * count for length, count in zip(each, counts)] for each in (lengths, wanted)
        )
        return time_map(old, new)(time)

    if cfg.train_cfg.get('val_begin'):
        options['train_cfg.val_begin'] = clock(cfg.train_cfg.val_begin)
    if cfg.train_cfg.get('dynamic_intervals'):
        options['train_cfg.dynamic_intervals'] = [
            (clock(time), interval) for time, interval in cfg.train_cfg.dynamic_intervals
        ]
    for key, schedule in _schedules(cfg.get('param_scheduler')):
        in_units = schedule.get('by_epoch', True) or schedule.get('convert_to_iter_based', False)
        moved = move_schedule(dict(schedule), clock if in_units else iterations)
        for name in DURATIONS_OF_SCHEDULES:
            if schedule.get(name):
                moved[name] = max(1, round(schedule[name] * ratio))
        if 'end' in schedule and moved['end'] <= moved.get('begin', 0):
            raise ConfigurationError(
                f'{key} ({type_name(schedule)}), from {schedule.get("begin", 0)} to {schedule["end"]}, '
                f'has no time left in {sum(wanted)} of {sum(lengths)} {unit}; give more'
            )
        if 'Exponential' in type_name(schedule) and 'gamma' in schedule:
            # The rate falls as far over the whole run.
            moved['gamma'] = schedule['gamma'] ** (1 / ratio)
        options.update(
            {
                f'{key}.{name}': value
                for name, value in moved.items()
                if value != schedule.get(name)
            }
        )
    for key, hook in _timed(cfg):
        for name in EPOCHS_OF_HOOKS:
            if hook.get(name):
                in_units = unit == 'iters' or hook.get('by_epoch', True)
                options[f'{key}.{name}'] = (clock if in_units else iterations)(hook[name])
        for name in ITERATIONS_OF_HOOKS:
            if hook.get(name):
                options[f'{key}.{name}'] = (iterations if unit == 'epochs' else clock)(hook[name])
        for name in durations_of(hook):
            if hook.get(name):
                options[f'{key}.{name}'] = max(1, round(hook[name] * ratio))
    return options


def stretch(run: RunConfig, epochs: int) -> RunConfig:
    """Give a training other epochs, and scale grades, schedules, warm-ups and hooks to them.

    The teachers of a run keep their length; see
    :func:`~edudistill_mm.apis.teachers.train_teachers` for theirs.

    Args:
        run (RunConfig): The config, which stays as it is.
        epochs (int): The wanted number.

    Returns:
        RunConfig: The config of that length.

    Raises:
        ConfigurationError: If it is too small for the grades, the curriculum is not valid, or the
            training counts iterations.
    """
    check_positive(epochs, '--epochs')
    cfg = copy.deepcopy(run.cfg)
    loop = cfg.get('train_cfg') or {}
    if 'max_epochs' not in loop:
        given = f'max_iters={loop["max_iters"]}' if 'max_iters' in loop else 'no length'
        raise ConfigurationError(
            f'--epochs {epochs} needs a config that counts epochs, but train_cfg gives {given}; '
            'change iterations one by one by --cfg-options'
        )
    lengths = [loop['max_epochs']]
    if run.is_education:
        curriculum = run.curriculum
        if not curriculum.by_epoch:
            curriculum.check_length(True, loop['max_epochs'])
        lengths = [grade.length for grade in curriculum.grades]
        if epochs < len(lengths):
            raise ConfigurationError(
                f'--epochs {epochs} is less than the number of grades, {len(lengths)}, each of which '
                'takes an epoch'
            )
    if run.teachers:
        _keep_length_of_teachers(cfg)
    wanted = fit_lengths(lengths, [1] * len(lengths), epochs)
    options = stretched_options(run, lengths, wanted, lambda: batches_of_grades(run))
    cfg.merge_from_dict(options)
    follow_loop(cfg)
    return RunConfig(cfg)


def unfinished_schedule(cfg: Config) -> str | None:
    """Say which schedule goes on after the end of a training, or never leaves its start.

    The one happens where ``max_epochs`` alone has been changed, the other where ``--epochs``
    leaves one epoch for each grade.

    Args:
        cfg (Config): The config of a training.

    Returns:
        str, optional: The sentence; None if all schedules end with it or before, and move.
    """
    loop = cfg.train_cfg
    unit = 'epochs' if 'max_epochs' in loop else 'iters'
    length = loop.get(f'max_{unit}')
    for key, schedule in _schedules(cfg.get('param_scheduler')):
        in_units = schedule.get('by_epoch', True) or schedule.get('convert_to_iter_based', False)
        spans = schedule.get('periods') or [schedule.get('T_max', schedule.get('total_steps'))]
        steps_by_epoch = schedule.get('by_epoch', True) and not schedule.get(
            'convert_to_iter_based'
        )
        if set(spans) == {1} and unit == 'epochs' and steps_by_epoch:
            return (
                f'{key} ({type_name(schedule)}) has one epoch from its start to its end, so that '
                'the learning rate never leaves the value at which it starts; give more epochs, '
                f'or {key}.convert_to_iter_based=True'
            )
        times: list[int] = []
        move_schedule(
            dict(schedule),
            lambda time: times.append(time) or time,  # type: ignore[func-returns-value]  # noqa: B023
        )
        last = max((time for time in times if time < ENDLESS), default=0)
        if length is not None and in_units == (unit == 'epochs') and last > length:
            return (
                f'{key} ({type_name(schedule)}) goes on until {last} {unit}, but the training ends at '
                f'{length}, before the learning rate is where the schedule would bring it'
                + ('; --epochs N of the tools changes both' if unit == 'epochs' else '')
            )
    return None


def _keep_length_of_teachers(cfg: Config) -> None:
    """Their files outlive a run: a short trial must not leave short teachers to a long one."""
    training = cfg.get('teacher_training') or {}
    own = training.get('train_cfg') or {} if isinstance(training, dict) else None
    if isinstance(own, dict) and not {'max_epochs', 'max_iters'} & set(own):
        loop = dict(own, max_epochs=cfg.train_cfg.max_epochs)
        cfg.teacher_training = dict(training, train_cfg=loop)


def durations_of(hook: dict) -> tuple[str, ...]:
    """The keys by which a hook's config says how many epochs (or iterations) it waits."""
    return DURATIONS_OF_HOOKS.get(type_name(hook), ())


def _schedules(schedules: Any) -> Iterator[tuple[str, dict]]:
    """The configs of parameter schedulers by their keys, of one optimizer or of several."""
    for key, schedule in _items(schedules, 'param_scheduler'):
        if 'type' in schedule:
            yield key, schedule
        else:
            for name, own in schedule.items():
                yield from _items(own, f'{key}.{name}')


def _timed(cfg: Config) -> Iterator[tuple[str, dict]]:
    """The configs of hooks by their keys, and those of what a hook does later."""
    hooks = [*_items(cfg.get('custom_hooks') or [], 'custom_hooks')]
    hooks += [
        (f'default_hooks.{name}', hook)
        for name, hook in (cfg.get('default_hooks') or {}).items()
        if hook is not None
    ]
    for key, hook in hooks:
        yield key, hook
        yield from _items(hook.get('schedule') or [], f'{key}.schedule')


def _items(node: Any, key: str) -> Iterator[tuple[str, dict]]:
    if isinstance(node, dict):
        yield key, node
    for index, item in enumerate(node if isinstance(node, (list, tuple)) else []):
        if isinstance(item, dict):
            yield f'{key}.{index}', item
