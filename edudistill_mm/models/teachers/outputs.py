"""Which of a teacher's outputs stand for its classes.

In all functions ``wanted`` are the data set's names of a teacher's classes, ``names`` the
checkpoint's names of the network's outputs, and ``key`` is the teacher's place in the config.
"""

from collections.abc import Sequence
from typing import Any

from edudistill_mm.errors import ConfigurationError, did_you_mean
from edudistill_mm.models.class_names import find_names, plain_name

# How many classes a message lists.
SHOWN = 5


def checked_outputs(
    given: Any, count: int, width: int, names: Sequence[str] | None, key: str
) -> tuple[int, ...]:
    """The numbers, [count], of the outputs of ``width`` that a config gives by number or name."""
    if not isinstance(given, (list, tuple, range)) or not (
        all(type(output) is int for output in given)
        or all(isinstance(output, str) for output in given)
    ):
        raise ConfigurationError(
            f'{key}.outputs must be a list of output numbers, or of class names, but got {given!r}'
        )
    if len(given) != count:
        raise ConfigurationError(
            f'{key}.outputs has {len(given)} entries, but {key}.classes are {count}; give one output '
            f'for each class'
        )
    outputs = tuple(given)
    if isinstance(outputs[0], str):
        if names is None:
            raise ConfigurationError(
                f'{key}.outputs names classes ("{outputs[0]}"), but the checkpoint does not say what its '
                f'{width} outputs are called; give their numbers'
            )
        outputs = _by_name(outputs, names, key)
    for output in outputs:
        if not 0 <= output < width:
            raise ConfigurationError(
                f'{key}.outputs has the number {output}, but the outputs of the network are numbered from '
                f'0 to {width - 1}'
            )
        if outputs.count(output) > 1:
            raise ConfigurationError(
                f'{key}.outputs has the output {output} more than once; each stands for one class'
            )
    return outputs


def _by_name(wanted: Sequence[str], names: Sequence[str], key: str) -> tuple[int, ...]:
    try:
        places = find_names(wanted, names)
    except ConfigurationError as error:
        raise ConfigurationError(
            f'{key}.outputs cannot go by name: {error}; give numbers'
        ) from error
    for name, place in zip(wanted, places):
        if place is None:
            raise ConfigurationError(
                f'{key}.outputs has "{name}", which is no class of the checkpoint'
                f'{did_you_mean(name, names)}; it knows {listed(names)}'
            )
    return tuple(place for place in places if place is not None)


def outputs_by_name(
    wanted: Sequence[str], names: Sequence[str], key: str, where: str
) -> tuple[int, ...] | None:
    """The numbers of the outputs with ``wanted`` names; None if no name is common to both."""
    try:
        places = find_names(wanted, names)
    except ConfigurationError as error:
        raise ConfigurationError(
            f'{where} cannot take its outputs by the class names of its checkpoint: {error}; give '
            f'{key}.outputs'
        ) from error
    missing = [name for name, place in zip(wanted, places) if place is None]
    if len(missing) == len(wanted):
        return None
    if missing:
        raise ConfigurationError(
            f'{where} does not know the class {listed(missing)}{did_you_mean(missing[0], names)}: by the '
            f'names in its checkpoint it knows {listed(names)}; give {key}.classes without it, or '
            f'{key}.outputs if the names are wrong'
        )
    return tuple(place for place in places if place is not None)


def contradiction(
    wanted: Sequence[str], outputs: Sequence[int], names: Sequence[str]
) -> str | None:
    """The first of the given outputs that the checkpoint calls otherwise, a part of a sentence."""
    known = [plain_name(name) for name in names]
    for name, output in zip(wanted, outputs):
        plain = plain_name(name)
        if known[output] != plain and plain in known:
            return (
                f'output {output}, given for the class "{name}", is "{names[output]}" by the names in the '
                f'checkpoint, and "{name}" is output {known.index(plain)}'
            )
    return None


def listed(names: Sequence[Any]) -> str:
    """Names or numbers for a sentence, the first few of many."""
    shown = [f'"{name}"' if isinstance(name, str) else str(name) for name in names[:SHOWN]]
    more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return ', '.join(shown) + more
