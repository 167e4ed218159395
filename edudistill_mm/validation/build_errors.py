"""Turn an error out of a constructor into one sentence that names the key of the config."""

import linecache
import os.path as osp
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from traceback import walk_tb
from types import FrameType
from typing import Any

from mmengine.registry import Registry, build_functions
from mmengine.runner import EpochBasedTrainLoop, LogProcessor, Runner
from torch.utils.data import DataLoader

from edudistill_mm.errors import ConfigurationError, did_you_mean, reason_of
from edudistill_mm.type_name import type_name

from .arguments import not_registered, parameters_of

# Functions that build what a config describes, and the argument that is the config.
BUILDERS = {
    function.__code__: argument
    for function, argument in (
        (build_functions.build_from_cfg, 'cfg'),
        (build_functions.build_scheduler_from_cfg, 'cfg'),
        (build_functions.build_optimizer_from_cfg, 'cfg'),
        (Runner.build_dataloader, 'dataloader'),
        (Runner.build_train_loop, 'loop'),
        (Runner.build_val_loop, 'loop'),
        (Runner.build_test_loop, 'loop'),
        (Runner.build_optim_wrapper, 'optim_wrapper'),
        (Runner.build_param_scheduler, 'scheduler'),
        (Runner.build_evaluator, 'evaluator'),
        (Runner.build_visualizer, 'visualizer'),
        (Runner.build_log_processor, 'log_processor'),
        (Runner.scale_lr, 'auto_scale_lr'),
        (Runner.register_hook, 'hook'),
    )
}
# What functions build that do not hold the class; of loops, those that have most arguments.
BUILT = {
    Runner.build_dataloader.__code__: DataLoader,
    Runner.build_train_loop.__code__: EpochBasedTrainLoop,
    Runner.build_log_processor.__code__: LogProcessor,
}
LONGEST = 300


@contextmanager
def errors_name_keys(cfg: Any, key: str = '') -> Iterator[None]:
    """Turn an error from building a part of a config into one sentence that names the part's key.

    Every other error passes: those of training, and those of code that no config asked for.
    """
    try:
        yield
    except ConfigurationError:
        raise
    except Exception as error:
        place = _place_of(error, cfg, key)
        if place is None:
            raise
        raise ConfigurationError(_sentence(error, *place)) from error


def build_error(error: Exception, cfg: Any, key: str) -> ConfigurationError:
    """Turn an error from building a config into the sentence about its innermost failing part."""
    return ConfigurationError(_sentence(error, *(_place_of(error, cfg, key) or (key, cfg, None))))


def _place_of(error: BaseException, cfg: Any, key: str) -> tuple[str, Any, Callable | None] | None:
    """Key, config and class of the innermost part of a config that was being built."""
    place, hook = None, None
    for frame in _frames(error):
        if frame.f_code is Runner.call_hook.__code__:
            # Hooks build parts, such as an average of weights, from configs of their own.
            kind = type(frame.f_locals.get('hook')).__name__
            parts = (place for place in _walk(key, cfg) if isinstance(place[1], Mapping))
            hook = next((place for place in parts if type_name(place[1]) == kind), None)
        argument = BUILDERS.get(frame.f_code)
        if argument is None or argument not in frame.f_locals:
            continue
        part = frame.f_locals[argument]
        # First within the part found so far, because two parts may be equal.
        around = place[:2] if place is not None else (key, cfg)
        found = _find(*around, part) or _find(key, cfg, part)
        if found is not None:
            place = (found, part, frame.f_locals.get('obj_cls', BUILT.get(frame.f_code)))
        elif place is None and hook is not None:
            place = (*hook, frame.f_locals.get('obj_cls'))
    return place


def _steps(error: BaseException) -> list[tuple[FrameType, int]]:
    """Frames and line numbers of a traceback, the outermost first."""
    return list(walk_tb(error.__traceback__))


def _original(error: BaseException) -> BaseException:
    """The error itself, or the TypeError out of a hook that MMEngine has replaced."""
    steps = _steps(error)
    by_hooks = steps and steps[-1][0].f_code is Runner.call_hook.__code__
    return error.__context__ if by_hooks and error.__context__ is not None else error


def _frames(error: BaseException) -> list[FrameType]:
    original = _original(error)
    steps = _steps(error) + (_steps(original) if original is not error else [])
    return [frame for frame, _ in steps]


def _find(key: str, node: Any, part: Any) -> str | None:
    """Key of a part of a config, also if MMEngine has added or removed keys of the part."""

    def contains(more: Any, less: Any) -> bool:
        mappings = isinstance(more, Mapping) and isinstance(less, Mapping) and 'type' in less
        return mappings and all(name in more and more[name] == less[name] for name in less)

    for same in (
        lambda one: one is part,
        # There may be many empty parts.
        lambda one: type(one) is type(part) and one == part and part not in ({}, [], ()),
        # MMEngine has taken a key, such as a hook's priority, or has added defaults.
        lambda one: contains(one, part),
        lambda one: contains(part, one),
    ):
        for name, value in _walk(key, node):
            if same(value):
                return name
    return None


def _walk(key: str, node: Any) -> Iterator[tuple[str, Any]]:
    yield key, node
    if isinstance(node, dict):
        for name in node:
            yield from _walk(f'{key}.{name}' if key else str(name), dict.__getitem__(node, name))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _walk(f'{key}[{index}]', value)


def _sentence(error: Exception, key: str, part: Any, cls: Callable | None) -> str:
    kind = part.get('type') if isinstance(part, Mapping) else None
    given = f' (type "{getattr(kind, "__name__", kind)}")' if kind is not None else ''
    return f'{key}{given} cannot be built: {_reason(error, part, cls)}'


def _reason(error: BaseException, part: Any, cls: Callable | None) -> str:
    error = _original(error)
    reason, (frame, line) = reason_of(error), _steps(error)[-1]
    if len(reason) > LONGEST:
        reason = f'{reason[:LONGEST]} ...'
    frames = _frames(error)
    if isinstance(error, KeyError) and 'is not in the' in reason:
        return _unknown_type(reason.split()[0], frames)
    if isinstance(error, RuntimeError) and reason.startswith('Failed to get'):
        return _unknown_type(str(frames[-1].f_locals.get('key', '')), frames)
    if not isinstance(part, Mapping) and frame.f_code in BUILDERS:
        return f'it must be a dict, but got {part!r}'
    unexpected = re.search(r"unexpected keyword argument '(\w+)'", reason)
    missing = re.search(
        r"missing \d+ required (?:positional|keyword-only) arguments?: '(\w+)'", reason
    )
    if missing:
        return f'the key "{missing[1]}" is missing'
    if unexpected:
        name = unexpected[1]
        known = parameters_of(cls) if cls is not None else ()
        return f'it has no argument "{name}"{did_you_mean(name, known)}'
    if isinstance(error, KeyError):
        # MMPretrain's backbones raise one with a sentence for a depth that they do not have.
        return reason if ' ' in reason else f'the key "{reason}" is missing'
    if reason == type(error).__name__:
        # An assertion without a message.
        asserted = linecache.getline(frame.f_code.co_filename, line).strip()
        return f'"{asserted}" failed' if asserted else reason
    if isinstance(error, (ConfigurationError, ValueError, AssertionError)):
        return reason
    # A constructor that does not check its arguments fails in the middle of its work.
    code = frame.f_code
    return f'{reason} ({type(error).__name__} in {code.co_name}, {osp.basename(code.co_filename)})'


def _unknown_type(name: str, frames: list[FrameType]) -> str:
    registries = (frame.f_locals.get('registry') for frame in reversed(frames))
    return not_registered(
        name, next((one for one in registries if isinstance(one, Registry)), None)
    )
