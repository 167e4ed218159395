"""Pages of the documentation that a tool writes, and that tests compare."""

import difflib
from pathlib import Path

from edudistill_mm.errors import ConfigurationError


def write_page(page: Path, text: str) -> None:
    """Write a generated page; a missing folder is made."""
    page.parent.mkdir(exist_ok=True)
    page.write_text(text)


def check_page(page: Path, text: str, command: str) -> None:
    """Raise ConfigurationError if a generated page differs, with the command that writes it."""
    old = page.read_text() if page.exists() else ''
    if old == text:
        return
    lines = difflib.unified_diff(
        old.splitlines(), text.splitlines(), 'there', 'wanted', lineterm='', n=0
    )
    raise ConfigurationError(
        f'{page.parent.name}/{page.name} is out of date: run {command}\n' + '\n'.join(lines)
    )
