"""Sides of a comparison that take turns."""

import statistics
from collections.abc import Callable, Mapping

Turn = dict[str, float]


def take_turns(
    sides: Mapping[str, Callable[[], float]], repeats: int, warm_up: bool = True
) -> list[Turn]:
    """Call the sides, which return what they measured, in turns; before that each once to warm up.

    A machine that slows down for a while slows down all sides. The order changes from turn to
    turn.
    """
    for side in sides.values() if warm_up else ():
        side()
    turns = []
    for number in range(repeats):
        names = list(sides)[:: -1 if number % 2 else 1]
        turns.append({name: sides[name]() for name in names})
    return turns


def median_ratio(turns: list[Turn], ours: str, theirs: str) -> float:
    """The median of the ratios of two sides, turn by turn."""
    return statistics.median(turn[ours] / turn[theirs] for turn in turns)


def median_of(turns: list[Turn], name: str) -> float:
    """The median of a side."""
    return statistics.median(turn[name] for turn in turns)
