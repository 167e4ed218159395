"""Python's warnings, each of them once in a command."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def warnings_once() -> Iterator[None]:
    """Show each warning once while the context lasts.

    Python shows a warning once a place, but forgets all that it has shown whenever any code changes
    the filters, as ``warnings.catch_warnings`` does: what MMRazor's DKD loss says of its arguments
    comes again in every epoch.
    """
    shown = set()
    show = warnings.showwarning

    def show_once(
        message: Any,
        category: type,
        filename: str,
        lineno: int,
        file: Any = None,
        line: Any = None,
    ) -> None:
        key = (category, str(message), filename, lineno)
        if key not in shown:
            shown.add(key)
            show(message, category, filename, lineno, file, line)

    warnings.showwarning = show_once
    try:
        yield
    finally:
        warnings.showwarning = show
