"""Pages of the documentation that a tool writes, and that are checked against it."""

import difflib
from pathlib import Path

from edudistill_mm.errors import ConfigurationError


def write_page(page: Path, text: str) -> None:
    """Write a generated page.

    Args:
        page (Path): The file; its folder is made if it is missing.
        text (str): What the page is to be.
    """
    page.parent.mkdir(exist_ok=True)
    page.write_text(text)


def check_page(page: Path, text: str, command: str) -> None:
    """See that a generated page is what it should be.

    Args:
        page (Path): The file.
        text (str): What the page should be.
        command (str): The command that writes it.

    Raises:
        ConfigurationError: If the page is missing or another; the message shows the lines.
    """
    old = page.read_text() if page.exists() else ''
    if old == text:
        return
    lines = difflib.unified_diff(
        old.splitlines(), text.splitlines(), 'there', 'wanted', lineterm='', n=0
    )
    raise ConfigurationError(
        f'{page.parent.name}/{page.name} is out of date: run {command}\n' + '\n'.join(lines)
    )
