"""The classes that a config names by number, share, list or order."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import ConfigurationError
from .validation.values import check_choice, check_keys, is_integer


def class_list(key: str, classes: Any, num_classes: int) -> tuple[int, ...]:
    """Check a list of class indices; its order is kept."""
    if not isinstance(classes, (list, tuple, range)) or not all(map(is_integer, classes)):
        raise ConfigurationError(f'{key} must list class indices (integers), not {classes!r}')
    seen = set()
    for c in classes:
        if not 0 <= c < num_classes:
            raise ConfigurationError(
                f'{key} holds class {c}, but classes run from 0 to {num_classes - 1}'
            )
        if c in seen:
            raise ConfigurationError(f'{key} holds class {c} twice; each class may be given once')
        seen.add(c)
    return tuple(int(c) for c in classes)


def class_order(order: Any, num_classes: int) -> tuple[int, ...]:
    """All classes in the order that ``curriculum.class_order`` gives."""
    key = 'curriculum.class_order'
    if order is None:
        return tuple(range(num_classes))
    if isinstance(order, Mapping):
        check_keys(order, ('type', 'seed'), key)
        check_choice(order.get('type'), ('shuffle',), f'{key}.type')
        seed = order.get('seed', 0)
        if not is_integer(seed) or not 0 <= seed < 2**32:
            raise ConfigurationError(
                f'{key}.seed must be an integer from 0 to 2**32 - 1, not {seed!r}'
            )
        # The legacy generator, whose stream no numpy version changes: class-incremental learning
        # publishes class orders as its seeds.
        return tuple(np.random.RandomState(seed).permutation(num_classes).tolist())
    if not isinstance(order, (list, tuple, range)):
        raise ConfigurationError(
            f'{key} must be None, a list of all classes or dict(type="shuffle", seed=...), not {order!r}'
        )
    order = class_list(key, order, num_classes)
    if len(order) < num_classes:
        missing = sorted(set(range(num_classes)) - set(order))
        raise ConfigurationError(
            f'{key} must hold each of the {num_classes} classes: {listing(missing)} missing'
        )
    return order


def border(share: float, num_classes: int) -> int:
    """Number of classes in the first share of all."""
    # The sum of three floats 1/3 may fall short of 1.
    return int(share * num_classes + 1e-6)


def share(key: str, share: Sequence[float], num_classes: int) -> int:
    """Number of classes between two shares of all classes."""
    begin, end = share
    if not 0 <= begin < end <= 1 + 1e-9:
        raise ConfigurationError(
            f'{key} takes the share of the classes from {begin:.4g} to {end:.4g}, but shares run from 0.0 '
            'to 1.0 in ascending order'
        )
    count = border(end, num_classes) - border(begin, num_classes)
    if not count:
        raise ConfigurationError(
            f'{key} takes the share from {begin:.4g} to {end:.4g} of num_classes={num_classes}, in which '
            'there is no class; give a larger share or a list of classes'
        )
    return count


def new_classes(
    key: str, classes: Any, untaught: Sequence[int], num_classes: int
) -> tuple[int, ...]:
    """Resolve the classes that one grade adds."""
    if isinstance(classes, str) and classes == 'all':
        return tuple(untaught)
    if isinstance(classes, (list, tuple, range)):
        return class_list(key, classes, num_classes)
    if not is_integer(classes) or classes < 0:
        raise ConfigurationError(
            f'{key} must be a number of classes, a share of them (a float up to 1.0), a list of class '
            f'indices or "all", not {classes!r}'
        )
    if classes > len(untaught):
        raise ConfigurationError(
            f'{key} takes {classes} classes, but only {len(untaught)} of num_classes={num_classes} are left'
        )
    return tuple(untaught[:classes])


def listing(classes: Sequence[int], limit: int = 8) -> str:
    """Name classes, the first few of them if they are many, as the subject of a sentence."""
    shown = ', '.join(map(str, classes[:limit])) + (', ...' if len(classes) > limit else '')
    return f'class {shown} is' if len(classes) == 1 else f'classes {shown} are'
