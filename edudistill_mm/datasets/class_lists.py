"""Lists of class names: two data sets number their classes alike only if these lists agree."""

import warnings
from collections.abc import Sequence
from typing import Any

from ..errors import ConfigurationError

MANY = 3


def class_names_of(checkpoint: Any) -> Sequence[str] | None:
    """Names, by number, of the classes that a checkpoint was trained on; None if it has none.

    MMEngine writes them as ``meta['dataset_meta']['classes']``, its predecessors wrote
    ``meta['CLASSES']``.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    meta = meta if isinstance(meta, dict) else {}
    described = meta.get('dataset_meta')
    described = described if isinstance(described, dict) else {}
    for names in (described.get('classes'), described.get('CLASSES'), meta.get('CLASSES')):
        if isinstance(names, (list, tuple)) and names and all(isinstance(n, str) for n in names):
            return names
    return None


def check_class_lists(
    trained: Sequence[str] | None, where: str, names: Sequence[str] | None, key: str
) -> None:
    """Refuse a data set whose classes have other numbers than those that a network has learnt.

    A data set may lack classes at the end of the list. Lists of one length that share no name,
    such as words and identifiers of one data set, cannot be compared and cause a warning.

    Args:
        trained (Sequence[str], optional): The names by number that the network learns.
        where (str): What has these names, for the error message.
        names (Sequence[str], optional): The data set's names by number. With None in either list
            nothing is compared.
        key (str): What has those, for the error message.
    """
    if trained is None or names is None or list(names) == list(trained)[: len(names)]:
        return
    missing = [name for name in trained if name not in names]
    more = [name for name in names if name not in trained]
    if len(missing) == len(trained) and len(names) == len(trained):
        warnings.warn(
            f'{key} and {where} name their {len(names)} classes differently, the first '
            f'{names[0]!r} and {trained[0]!r}: nobody can see whether their numbers mean the same',
            stacklevel=2,
        )
        return
    parts = []
    if missing:
        parts.append(f'lacks {_listed(missing)} of {where}')
    if more:
        parts.append(f'has {_listed(more)}, which {where} does not have')
    if parts:
        raise ConfigurationError(
            f'{key} {" and ".join(parts)}, so that the numbers of their classes ({len(names)} and '
            f'{len(trained)}) do not mean the same; give both the same classes (of a folder a class, an '
            'empty one will do)'
        )
    for number, (name, other) in enumerate(zip(names, trained)):
        if name != other:
            raise ConfigurationError(
                f'{key} has its classes in another order than {where}: class {number} is "{name}" in '
                f'it, and "{other}" in {where}'
            )


def _listed(names: Sequence[str]) -> str:
    shown = ', '.join(f'"{name}"' for name in names[:MANY])
    if len(names) == 1:
        return f'the class {shown}'
    return f'{len(names)} classes ({shown}{", ..." if len(names) > MANY else ""})'
