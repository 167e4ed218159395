"""Write values of a config as the configs of this package have them."""

from typing import Any

WIDTH = 99
INDENT = 4


def assignment(name: str, value: Any) -> str:
    """``name = value``, over as many lines as it takes, without a line break at the end."""
    return f'{name} = {code(value, len(name) + 3)}'


def code(value: Any, before: int = 0, indent: int = 0) -> str:
    """A value as Python code.

    Args:
        value (Any): Dicts, lists and plain values; the keys of dicts are names.
        before (int): Characters before it in its line. Defaults to 0.
        indent (int): Blanks at the start of its line. Defaults to 0.
    """
    short = _inline(value)
    if before + len(short) <= WIDTH or not value or not isinstance(value, (dict, list)):
        return short
    inner = indent + INDENT
    names = list(value) if isinstance(value, dict) else [''] * len(value)
    items = list(value.values()) if isinstance(value, dict) else value
    lines = []
    for name, item in zip(names, items):
        key = f'{name}=' if name else ''
        # One more for the comma behind it.
        lines.append(f'{" " * inner}{key}{code(item, inner + len(key) + 1, inner)}')
    opening, closing = ('dict(', ')') if isinstance(value, dict) else ('[', ']')
    return f'{opening}\n' + ',\n'.join(lines) + closing


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return f'dict({", ".join(f"{key}={_inline(item)}" for key, item in value.items())})'
    if isinstance(value, list):
        return f'[{", ".join(map(_inline, value))}]'
    return repr(value)
