"""Checks of a config's values against the signatures of the classes that the config names."""

import collections.abc
import inspect
import math
import os
import types
from collections.abc import Mapping
from importlib.util import find_spec
from numbers import Integral, Number, Real
from pathlib import Path
from typing import (
    Any,
    Literal,
    TypeGuard,
    Union,
    get_args,
    get_origin,
)

import torch
from mmengine.registry import Registry

from edudistill_mm.errors import ConfigurationError, did_you_mean

# Counts and divisors, of which their classes accept any number in silence.
POSITIVE = (
    'tau',
    'temperature',
    'num_classes',
    'in_channels',
    'out_channels',
    'in_channel',
    'out_channel',
    'base_channels',
    'stem_channels',
    'pad_size_divisor',
    'max_norm',
    'clip_value',
    'T_max',
    'std',
    'topk',
    'val_interval',
)
NOT_NEGATIVE = ('gamma', 'milestones', 'eta_min', 'begin')
# An infinite norm means: clip nothing, but log the norm.
UNBOUNDED = ('max_norm',)
# MMPretrain and MMEngine take more than they annotate: a list of integers, a number.
LOOSELY_ANNOTATED = ('out_indices', 'loss_scale')
SEQUENCES = (
    list,
    tuple,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)
PLAIN = (str, Number, Mapping, list, tuple, type(None))
WORDS = {
    bool: 'True or False',
    int: 'an integer',
    float: 'a number',
    str: 'a string',
    Path: 'a path',
    dict: 'a dict',
    type(None): 'None',
}


def check_arguments(
    cfg: Any,
    key: str,
    registry: Registry,
    scope: str | None,
    default: Any = None,
    registered: bool = False,
) -> None:
    """Check the values of a config, nested ones included, against the signatures of its classes.

    A value must be of the annotated type, or of that of a default that is a number or a bool; a
    list counts as a tuple. Arguments that count or divide must be positive, and numbers finite.
    Keys that a class does not have are left to its constructor. ``default`` is the class of a
    config without ``type``. An unregistered ``type`` is an error only if ``registered`` is set.
    """
    if isinstance(cfg, (list, tuple)):
        for index, item in enumerate(cfg):
            check_arguments(item, f'{key}[{index}]', registry, scope)
        return
    if isinstance(cfg, float) and not math.isfinite(cfg):
        raise ConfigurationError(f'{key} must be a finite number, but got {cfg!r}')
    if not isinstance(cfg, dict):
        return
    check_scope(cfg.get('_scope_'), f'{key}._scope_', registry)
    scope = cfg.get('_scope_') or scope
    cls = default
    if 'type' in cfg:
        kind = cfg['type']
        if not kind or not (isinstance(kind, str) or callable(kind)):
            raise ConfigurationError(f'{key}.type must be the name of a class, but got {kind!r}')
        cls = class_of(kind, registry, scope)
        if cls is None:
            if registered:
                raise ConfigurationError(f'{key}.type: {not_registered(kind, registry, scope)}')
            return
    known = parameters_of(cls) if cls is not None else {}
    for name in cfg:
        value, where = dict.__getitem__(cfg, name), f'{key}.{name}'
        if name in known:
            check_value(value, known[name], where)
        if name != 'type' and not (name in UNBOUNDED and value == math.inf):
            check_arguments(value, where, registry, scope)


def check_value(value: Any, parameter: inspect.Parameter, key: str) -> None:
    """Raise ConfigurationError if a parameter of a function cannot take a value."""
    hint, default = parameter.annotation, parameter.default
    if hint is inspect.Parameter.empty:
        # A default of 0 or 1 excludes a text; it says nothing about lists.
        if isinstance(default, bool):
            wrong = isinstance(value, float) or value in ([], (), {}) or value in _NO_BOOLS
        else:
            wrong = isinstance(default, Number) and isinstance(value, (str, bool, Mapping))
        hint = type(default)
    else:
        wrong = not _fits(value, hint) and parameter.name not in LOOSELY_ANNOTATED
        if wrong and default is not parameter.empty and not _fits(default, hint):
            # The class takes more than it annotates, as its default shows.
            wrong = not _fits(value, type(default))
    if wrong:
        raise ConfigurationError(f'{key} must be {_in_words(hint)}, but got {value!r}')
    numbers = value if isinstance(value, (list, tuple)) else [value]
    numbers = [number for number in numbers if isinstance(number, Real)]
    if parameter.name in POSITIVE and not all(number > 0 for number in numbers):
        raise ConfigurationError(f'{key} must be greater than 0, but got {value!r}')
    if parameter.name in NOT_NEGATIVE and any(number < 0 for number in numbers):
        raise ConfigurationError(f'{key} must not be negative, but got {value!r}')


def class_of(kind: Any, registry: Registry, scope: str | None) -> Any:
    """Resolve a config's ``type``; None if it is not registered."""
    if not isinstance(kind, str):
        return kind if callable(kind) else None
    try:
        if scope is not None and scope not in (registry.scope, *registry.children):
            # MMPretrain and MMRazor have no functions of their own, of which MMEngine would warn.
            return registry.get(kind)
        with registry.switch_scope_and_registry(scope) as found:
            return found.get(kind)
    except Exception:
        # Names with dots are imported, and an import can raise anything.
        return None


def not_registered(kind: str, registry: Registry, scope: str | None = None) -> str:
    """Say that a registry, searched in ``scope`` or its own, lacks the type ``[scope.]kind``."""
    prefix, _, name = kind.rpartition('.')
    node = registry.root.children.get(prefix or scope, registry)
    known = []
    while node is not None:
        known += list(node.module_dict)
        node = node.parent
    return f'"{name}" is not a registered type{did_you_mean(name, known)}'


def parameters_of(cls: Any) -> dict[str, inspect.Parameter]:
    """Named parameters of a function or a class, with those that its ``**kwargs`` reach."""
    found: dict[str, inspect.Parameter] = {}
    for part in cls.__mro__ if isinstance(cls, type) else (cls,):
        function = vars(part).get('__init__') if isinstance(part, type) else part
        if function is None or part is object:
            continue
        try:
            parameters = inspect.signature(function).parameters.values()
        except ValueError:
            # Functions written in C have no signature.
            break
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                hint = _annotation(parameter, function)
                found.setdefault(parameter.name, parameter.replace(annotation=hint))
        if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
            break
    found.pop('self', None)
    return found


def _annotation(parameter: inspect.Parameter, function: Any) -> Any:
    hint = parameter.annotation
    if not isinstance(hint, str):
        return hint
    try:
        # get_type_hints fails if any other hint names an import for type checkers only.
        return eval(hint, inspect.unwrap(function).__globals__)
    except Exception:
        return parameter.empty


def check_scope(given: Any, key: str, registry: Registry) -> None:
    """Raise ConfigurationError unless a scope is None or the name of a package.

    MMEngine looks an unknown scope's types up in the default scope.
    """
    known = [registry.root.scope, *registry.root.children]
    is_name = isinstance(given, str) and given.isidentifier()
    if given is not None and (not is_name or (given not in known and find_spec(given) is None)):
        raise ConfigurationError(
            f'{key} must be the name of a package such as {", ".join(known)}, but got '
            f'{given!r}{did_you_mean(given, known)}'
        )


_NO_BOOLS = ('yes', 'no', 'on', 'off', 'true', 'false', 'True', 'False')


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the type of a hint; True where that is not decidable."""
    if not isinstance(value, PLAIN):
        # A config may hold a built object.
        return True
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if hint is None or hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool) or (isinstance(value, Integral) and value in (0, 1))
    if hint is int:
        return _is_number(value) and math.isfinite(value) and value == int(value)
    if hint is float or hint is Number:
        return _is_number(value)
    # In Python 3.10 list[str] is an instance of type, but no class.
    if hint is str or (not origin and isinstance(hint, type) and issubclass(hint, os.PathLike)):
        return isinstance(value, str)
    if hint is torch.Tensor:
        return isinstance(value, torch.Tensor)
    kind = origin or hint
    if kind in SEQUENCES:
        if isinstance(value, (str, Mapping)) or not isinstance(value, collections.abc.Iterable):
            return False
        items = [argument for argument in arguments if argument is not Ellipsis]
        return not items or all(any(_fits(item, kind) for kind in items) for item in value)
    if kind in (dict, collections.abc.Mapping):
        # A list of configs describes a sequence of modules.
        several = isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value)
        return value is None or several or isinstance(value, Mapping)
    return True


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _in_words(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        words = dict.fromkeys(_in_words(argument) for argument in arguments)
        return ' or '.join(words)
    if origin is Literal:
        return ' or '.join(repr(argument) for argument in arguments)
    kind = origin or hint
    if kind in SEQUENCES:
        items = dict.fromkeys(
            _in_words(argument).removeprefix('an ').removeprefix('a ')
            for argument in arguments
            if argument is not Ellipsis
        )
        return f'a list of {" or ".join(f"{item}s" for item in items)}' if items else 'a list'
    if kind is Number:
        kind = float
    if kind is collections.abc.Mapping:
        kind = dict
    return WORDS.get(kind, f'a {getattr(kind, "__name__", kind)}')
