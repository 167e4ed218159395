"""Pages of the documentation that a tool writes, and that tests compare."""

import argparse
import difflib
import sys
from collections.abc import Callable
from pathlib import Path

import torch

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


def run_page_tool(
    description: str | None,
    page: Path,
    tool: str,
    kind: str,
    row: Callable[[str], str],
    table: Callable[[Callable[[str], None]], str],
) -> None:
    """Parse the command line of a tool that writes a page, and do what it says.

    Args:
        description (str, optional): What the tool does, for its help.
        page (Path): The page.
        tool (str): Path of the tool from the root of the repository, for messages.
        kind (str): What the rows of the page's table are about, for the help.
        row (Callable): Makes the row of one name.
        table (Callable): Makes the whole page; calls its argument with each row when it is made.

    Raises:
        SystemExit: With ``--check``, if the page is not what the tool would write.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('names', nargs='*', help=f'check these {kind} only and write nothing')
    parser.add_argument(
        '--check', action='store_true', help='fail if the page is not what it should be'
    )
    args = parser.parse_args()
    # Small batches gain nothing from threads.
    torch.set_num_threads(1)
    if args.names:
        for name in args.names:
            print(row(name))
        return
    text = table(lambda line: print(line, flush=True))
    if not args.check:
        write_page(page, text)
        return
    try:
        check_page(page, text, f'python {tool}')
    except ConfigurationError as error:
        sys.exit(str(error))
