"""Python's warnings, each of them once in a command."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def warnings_once() -> Iterator[None]:
    """Show each warning once while the context lasts.

    Python forgets which warnings it has shown whenever any code changes the filters, as
    ``warnings.catch_warnings`` does: a warning of MMRazor's DKD loss would come again in every
    epoch.
    """
    shown = set()
    show = warnings.showwarning

    def show_once(
        message: Any, category: type, filename: str, lineno: int, *rest: Any, **named: Any
    ) -> None:
        key = (category, str(message), filename, lineno)
        if key not in shown:
            shown.add(key)
            show(message, category, filename, lineno, *rest, **named)

    warnings.showwarning = show_once
    try:
        yield
    finally:
        warnings.showwarning = show
