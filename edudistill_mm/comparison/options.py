"""Values of a config as the command line takes them."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from mmengine.config import DictAction

from edudistill_mm.errors import ConfigurationError


def flatten(options: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Give the values of nested dicts by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in options.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f'{prefix}{key}.'))
        else:
            flat[f'{prefix}{key}'] = value
    return flat


def as_arguments(options: Mapping[str, Any]) -> list[str]:
    """Write values by dotted key as arguments ``key=value`` of ``--cfg-options``.

    Raises:
        ConfigurationError: For a value that MMEngine's ``DictAction`` would read as another.
    """
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    arguments = []
    for key, value in options.items():
        argument = f'{key}={_text(value)}'
        try:
            # DictAction looks for the end of a dict in a list until it runs out of stack.
            read = (
                {}
                if _lists_dicts(value)
                else parser.parse_args(['--cfg-options', argument]).cfg_options
            )
        except AssertionError:  # brackets that do not match
            read = {}
        if read != {key: value}:
            raise ConfigurationError(
                f'cfg_options "{key}" is {value!r}, which --cfg-options cannot express; write it '
                'into a config file of its own'
            )
        arguments.append(argument)
    return arguments


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f'[{",".join(map(_text, value))}]'
    if isinstance(value, tuple):
        return f'({",".join(map(_text, value))})'
    return value if isinstance(value, str) else repr(value)


def _lists_dicts(value: Any) -> bool:
    """Whether a value is a list with a dict in it."""
    return isinstance(value, (list, tuple)) and any(
        isinstance(item, Mapping) or _lists_dicts(item) for item in value
    )
