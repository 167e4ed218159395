from abc import ABC, abstractmethod

import torch

from edudistill_mm.curriculum import Grade
from edudistill_mm.models.class_index import ClassIndex

from .answers import KeptAnswers


class BaseTeacher(ABC):
    """A teacher of some classes: all that the algorithm needs of one.

    Args:
        name (str): Name by which the curriculum calls the teacher.
        classes (ClassIndex): The classes that it covers.
        weight (float): Weight among the teachers that share a sample. Defaults to 1.

    Attributes:
        outputs (ClassIndex): The classes that :meth:`teach` gives scores of.
        columns (ClassIndex): The columns that stand for them in what is recorded of the teacher.
        answers (KeptAnswers | None): Those that are looked up instead of running the teacher.
    """

    # Whether the student's forward pass of the whole batch fills the teacher's recorders.
    records_from_student = False

    def __init__(self, name: str, classes: ClassIndex, weight: float = 1.0) -> None:
        self.name, self.weight = name, weight
        self.classes = self.outputs = classes
        self.columns = ClassIndex(range(len(classes)), len(classes))
        self.answers: KeptAnswers | None = None

    @abstractmethod
    def teach(self, inputs: torch.Tensor) -> torch.Tensor | None:
        """Scores [n, len(outputs)] of images [n, C, H, W]; None if the student gives them."""

    def enter(self, grade: Grade) -> bool:
        """Follow the curriculum into a grade; whether the teacher teaches in it."""
        return self.name in grade.teachers

    @property
    def members(self) -> list['BaseTeacher']:
        """list[BaseTeacher]: The teachers that are asked: itself, or several that teach as one."""
        return [self]

    @property
    def is_generalist(self) -> bool:
        """bool: Whether the teacher covers all classes of the data set."""
        return len(self.classes) == self.classes.num_classes

    def describe(self) -> dict:
        """What a checkpoint records of the teacher."""
        return dict(name=self.name, classes=list(self.classes.classes))
