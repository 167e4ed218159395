from collections.abc import Sequence

import torch


class ClassIndex:
    """An ordered subset of the data set's classes, and the map between the two numberings.

    Args:
        classes (Sequence[int]): The classes, in the order of their columns.
        num_classes (int): Number of classes of the data set.
    """

    def __init__(self, classes: Sequence[int], num_classes: int) -> None:
        self.classes: tuple[int, ...] = tuple(classes)
        self.num_classes = num_classes
        #: bool: Whether these are all classes of the data set in the data set's order.
        self.complete = self.classes == tuple(range(num_classes))
        self._cache: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    def __len__(self) -> int:
        return len(self.classes)

    def _tensors(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        # Kept per device: building them anew would copy from the host in each step.
        if device not in self._cache:
            columns = torch.tensor(self.classes, dtype=torch.long, device=device)
            positions = torch.full((self.num_classes,), -1, dtype=torch.long, device=device)
            positions[columns] = torch.arange(len(self.classes), device=device)
            self._cache[device] = columns, positions
        return self._cache[device]

    def columns(self, device: torch.device) -> torch.Tensor:
        """torch.Tensor: The data set's number of each class of the subset, [len(self)]."""
        return self._tensors(device)[0]

    def positions(self, device: torch.device) -> torch.Tensor:
        """torch.Tensor: The subset's place of each class of the data set, or -1, [num_classes]."""
        return self._tensors(device)[1]

    def select(self, scores: torch.Tensor) -> torch.Tensor:
        """Take the subset's columns of scores [B, num_classes]: ``scores`` itself if complete."""
        if self.complete:
            return scores
        first = self.classes[0]
        if self.classes == tuple(range(first, first + len(self))):
            # A view: no copy, and no scattering in the backward pass.
            return scores[:, first : first + len(self)]
        return scores.index_select(1, self.columns(scores.device))

    def within(self, other: 'ClassIndex') -> 'ClassIndex':
        """This subset in the numbering of another that contains it."""
        place = {label: position for position, label in enumerate(other.classes)}
        return ClassIndex([place[label] for label in self.classes], len(other))

    def through(self, other: 'ClassIndex') -> 'ClassIndex':
        """This subset of another's columns, in the numbering that the other is in."""
        return ClassIndex([other.classes[place] for place in self.classes], other.num_classes)
