"""Outputs of a teacher that stand for other classes than its config says."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

DEVIATIONS = 4  # more standard deviations than chance explains


def exchanged_outputs(
    answers: torch.Tensor, wanted: torch.Tensor, outputs: Sequence[int]
) -> dict[int, int]:
    """By the place of each class that looks exchanged, the output to which most of its images go.

    Exchanged are chains and rings of classes in which most images of each one go to the output of
    the next: to one output alone, to which most images of no other class go, and to far more images
    than it gets right. Two classes that are merely alike are none: at most one of them goes to the
    other.

    Args:
        answers (torch.Tensor): The network's output with the highest score for each image, [N].
        wanted (torch.Tensor): The image's class, its place among the teacher's classes, [N].
        outputs (Sequence[int]): The output that stands for each of the teacher's classes.
    """
    votes = _votes(answers, wanted, outputs)
    images, favourites = votes.sum(1), votes.argmax(1).tolist()
    # A class without images goes nowhere.
    favourites = [
        favourite if images[place] else outputs[place]
        for place, favourite in enumerate(favourites)
    ]
    times = Counter(favourites)
    found = {
        place: output
        for place, output in enumerate(favourites)
        if output != outputs[place] and 2 * votes[place, output] >= images[place]
    }
    owner = {output: place for place, output in enumerate(outputs)}
    while True:
        # The next of the chain is exchanged itself, or stands for no class so far.
        kept = {
            place: output
            for place, output in found.items()
            if times[output] == 1 and (output not in owner or owner[output] in found)
        }
        if len(kept) == len(found):
            break
        found = kept
    clear: dict[int, int] = {}
    for chain in _chains(found, owner):
        moved = sum(float(votes[place, found[place]]) for place in chain)
        stayed = sum(float(votes[place, outputs[place]]) for place in chain)
        if moved - stayed > DEVIATIONS * (moved + stayed) ** 0.5:
            clear.update((place, found[place]) for place in chain)
    return clear


def reordered_outputs(
    answers: torch.Tensor, wanted: torch.Tensor, outputs: Sequence[int]
) -> tuple[list[int], float] | None:
    """The output to which most images of each class go, and the share of all images that go so.

    None unless most images go so, most classes have an output of their own, and those of another
    output have far more images there than right ones: of few images many go to any favourite. The
    arguments are those of :func:`exchanged_outputs`.
    """
    votes = _votes(answers, wanted, outputs)
    favourites = votes.argmax(1).tolist()
    places = [place for place, output in enumerate(outputs) if favourites[place] != output]
    moved = sum(float(votes[place, favourites[place]]) for place in places)
    stayed = sum(float(votes[place, outputs[place]]) for place in places)
    by_chance = moved - stayed <= DEVIATIONS * (moved + stayed) ** 0.5
    share = float(votes.amax(1).sum() / len(wanted))
    if by_chance or share <= 0.5 or 2 * len(set(favourites)) <= len(favourites):
        return None
    return favourites, share


def _votes(answers: torch.Tensor, wanted: torch.Tensor, outputs: Sequence[int]) -> torch.Tensor:
    """How many images of a class go to an output, [classes, outputs]."""
    votes = torch.zeros(len(outputs), max(*outputs, int(answers.max())) + 1)
    return votes.index_put_((wanted, answers), torch.ones(len(wanted)), accumulate=True)


def _chains(found: dict[int, int], owner: dict[int, int]) -> list[list[int]]:
    """Group classes of which one goes to the output of another."""
    after: dict[int, Any] = {place: owner.get(output) for place, output in found.items()}
    chains, taken = [], set()
    # Chains from their beginnings, then rings, which have none.
    for start in [place for place in after if place not in after.values()] + list(after):
        chain = []
        while start in after and start not in taken:
            taken.add(start)
            chain.append(start)
            start = after[start]
        if chain:
            chains.append(chain)
    return chains
