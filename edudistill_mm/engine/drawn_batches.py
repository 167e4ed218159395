import itertools
from collections.abc import Iterator
from typing import Any


class DrawnBatches:
    """The batches of an iteration-based run, after some that a resumed run has no need of.

    A resumed loop passes over the batches that it has trained: that of OpenMMLab's MMEngine by
    ``next``, that of OneDL's by ``skip_iter``.

    Args:
        passed_over (int): Number of batches that are not loaded; None comes in their place.
        batches (Iterator): The batches after them.
    """

    def __init__(self, passed_over: int, batches: Iterator[Any]) -> None:
        self._batches = itertools.chain(itertools.repeat(None, passed_over), batches)

    def __iter__(self) -> Iterator[Any]:
        """The batches from here on."""
        return self

    def __next__(self) -> Any:
        """The next batch, or None in place of one that is not loaded."""
        return next(self._batches)

    def skip_iter(self, num_iters: int) -> None:
        """Pass over so many batches."""
        for _ in range(num_iters):
            next(self)
