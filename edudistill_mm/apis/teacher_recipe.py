"""The recipe by which a run trains its teachers."""

import copy
import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from edudistill_mm.config.check_values import check_values
from edudistill_mm.config.count_iterations import count_iterations
from edudistill_mm.config.parts import schedulers_of
from edudistill_mm.config.stretch import EPOCHS_OF_HOOKS, ITERATIONS_OF_HOOKS
from edudistill_mm.errors import ConfigurationError, reason_of
from edudistill_mm.settings import SAFETY_HOOKS
from edudistill_mm.type_name import type_name
from edudistill_mm.validation.values import check_keys

# The training of a teacher sets these itself.
_NOT_OF_RECIPE = {'self', 'cfg', 'work_dir', 'experiment_name', 'load_from', 'resume', 'launcher'}
KEYS = tuple(sorted({*inspect.signature(Runner.__init__).parameters, 'compile'} - _NOT_OF_RECIPE))
_LOOPS = (EpochBasedTrainLoop, IterBasedTrainLoop)
_OF_LOOPS = {key for loop in _LOOPS for key in inspect.signature(loop).parameters}
KEYS_OF_LOOPS = tuple(sorted({'by_epoch', '_delete_', *_OF_LOOPS} - {'runner', 'dataloader'}))
LENGTHS = ('max_epochs', 'max_iters')
HOOKS_OF_STUDENT = (
    'GradeSchedulerHook',
    'StudentCheckpointHook',
    'DistillWarmupHook',
    'NewParameterRateHook',
    'ExitFadeHook',
    'StopDistillHook',
    'EarlyStoppingHook',
)


def check_teacher_training(cfg: Config) -> None:
    """Raise ConfigurationError for the first key of ``teacher_training`` that no training has."""
    training = cfg.get('teacher_training')
    if training is None:
        return
    if not isinstance(training, dict):
        raise ConfigurationError(f'teacher_training must be a dict, but got {training!r}')
    for key in training:
        if key == 'load_from':
            raise ConfigurationError(
                'teacher_training.load_from is not possible; name the weights that a teacher starts '
                'from by teacher_training.model.init_cfg, or that of its backbone'
            )
    check_keys(training, KEYS, 'teacher_training')
    loop = training.get('train_cfg')
    if isinstance(loop, dict) and 'type' not in {**loop, **(cfg.get('train_cfg') or {})}:
        check_keys(loop, KEYS_OF_LOOPS, 'teacher_training.train_cfg')


def give_recipe(cfg: Config, run: Config) -> None:
    """Give a teacher's config its own length, schedule and hooks, and ``teacher_training``.

    A teacher has one cosine over its own epochs, from the run's learning rate to the run's
    ``eta_min`` (0 if it has none), after the run's warm-up, if it has one, in at most half of
    them: the schedule of the student fits no training of another length. Hooks that act at times
    of the run, such as ``EMAHook(begin_epoch=100)``, and ``EarlyStoppingHook`` are left out.
    ``cfg`` has the run's recipe so far and is changed in place.
    """
    check_teacher_training(run)
    changes = copy.deepcopy(dict(run.get('teacher_training') or {}))
    own_loop = changes.pop('train_cfg', None)
    if not isinstance(own_loop, (dict, type(None))):
        raise ConfigurationError(
            f'teacher_training.train_cfg must be a dict, but got {own_loop!r}'
        )
    cfg.load_from = None
    cfg.train_cfg = _loop(run.get('train_cfg') or {}, own_loop or {})
    cfg.custom_hooks = [
        hook
        for hook in run.get('custom_hooks') or []
        if type_name(hook) not in HOOKS_OF_STUDENT and not _follows_the_clock(hook)
    ]
    safety = [hook for hook in cfg.custom_hooks if type_name(hook) in SAFETY_HOOKS]
    if 'param_scheduler' in changes:
        cfg.param_scheduler = changes.pop('param_scheduler')
    else:
        cfg.param_scheduler = _cosine(run, cfg.train_cfg)
    try:
        cfg.merge_from_dict(changes)
        cfg.custom_hooks = [
            *(cfg.get('custom_hooks') or []),
            *(hook for hook in safety if hook not in (cfg.get('custom_hooks') or [])),
        ]
        count_iterations(cfg)
        check_values(cfg)
    except ConfigurationError as error:
        raise ConfigurationError(f'teacher_training: {error}') from error
    except (KeyError, TypeError, IndexError, AssertionError, AttributeError) as error:
        # MMEngine merges neither a dict into a list nor a list into a dict.
        raise ConfigurationError(
            f'teacher_training does not fit the config: {reason_of(error)}'
        ) from error


def describe_recipe(cfg: Config) -> str:
    """Say how long and by which schedules a teacher's config trains."""
    loop = cfg.train_cfg
    length = (
        f'{loop.max_epochs} epochs' if 'max_epochs' in loop else f'{loop.max_iters} iterations'
    )
    schedules = [type_name(schedule) for schedule in schedulers_of(cfg)]
    return f'{length}, {", ".join(schedules) or "a constant learning rate"}'


def _loop(run: Mapping, own: dict[str, Any]) -> dict[str, Any]:
    if own.pop('_delete_', False):
        return own
    kept = dict(run)
    # Times of the student's run.
    for key in ('val_begin', 'dynamic_intervals'):
        kept.pop(key, None)
    given = [key for key in LENGTHS if key in own]
    if len(given) == 1 and given[0] not in kept:
        # The teacher's unit is not that of the run.
        for key in (*LENGTHS, 'by_epoch', 'type', 'val_interval'):
            kept.pop(key, None)
        kept['by_epoch'] = given[0] == 'max_epochs'
    return {**kept, **own}


def _follows_the_clock(hook: dict) -> bool:
    return any(hook.get(key) for key in (*EPOCHS_OF_HOOKS, *ITERATIONS_OF_HOOKS, 'schedule'))


def _cosine(run: Config, loop: Mapping) -> Any:
    by_epoch = 'max_epochs' in loop
    length = loop.get('max_epochs' if by_epoch else 'max_iters')
    if not isinstance(length, int):
        return None  # the loop itself will be refused
    schedules, warmups, begin = schedulers_of(run), [], 0
    # A schedule in epochs fits no training in iterations.
    for schedule in schedules if by_epoch else ():
        if not _is_warmup(schedule, run):
            continue
        warmup = copy.deepcopy(dict(schedule))
        if warmup.get('by_epoch', True):
            end = min(warmup['end'], length // 2)
            if end < min(warmup['end'], 2):
                continue  # LinearLR needs two epochs to get anywhere
            begin, warmup['end'] = max(begin, end), end
        warmups.append(warmup)
    lowest = [{key: s[key]} for s in schedules for key in ('eta_min', 'eta_min_ratio') if key in s]
    cosine = dict(type='CosineAnnealingLR', by_epoch=by_epoch, T_max=length - begin)
    cosine.update(lowest[-1] if lowest else dict(eta_min=0))
    if begin:
        cosine.update(begin=begin, end=length)
    return [*warmups, cosine] if warmups else cosine


def _is_warmup(schedule: Mapping, run: Config) -> bool:
    """Whether a schedule of a run raises the learning rate at its start."""
    loop = run.get('train_cfg') or {}
    end = schedule.get('end')
    if type_name(schedule) not in ('LinearLR', 'ConstantLR') or end is None:
        return False
    in_epochs = schedule.get('by_epoch', True)
    return not schedule.get('begin') and (
        not in_epochs or end < loop.get('max_epochs', float('inf'))
    )
