import copy
from typing import Any, Callable, Optional

import torch
from torch import nn

from edudistill_mm.errors import ConfigurationError, check_weight
from edudistill_mm.models.class_index import ClassIndex
from edudistill_mm.models.network import dry_run
from edudistill_mm.models.students import FragmentedStudent


class PreviousGrade:
    """The student as it was at the end of the previous grade, as one more teacher.

    It knows the classes that had been taught by then, so that the student does not forget them
    over the new ones (learning without forgetting, Li and Hoiem, ECCV 2016). In the first grade it
    knows none and teaches nobody.

    Args:
        name (str): Name by which the curriculum calls the teacher.
        student (FragmentedStudent): The student, before anything has been attached to it. It is
            copied.
        weight (float): Weight among the teachers that share a sample. Defaults to 1.
        key (str): Where the teacher stands in the config, for error messages.
    """

    def __init__(
        self, name: str, student: FragmentedStudent, weight: float = 1.0, key: str = 'teachers'
    ) -> None:
        check_weight(weight, f'{key}.weight')
        self.name, self.weight, self.key = name, float(weight), key
        self.network = copy.deepcopy(student).eval().requires_grad_(False)
        self.inputs = nn.Identity()
        # It comes from no file.
        self.sha256 = None
        self.outputs = self.columns = ClassIndex(range(student.num_classes), student.num_classes)
        self.graduate()

    def __deepcopy__(self, memo: dict) -> 'PreviousGrade':
        return self

    def graduate(self, student: Optional[FragmentedStudent] = None) -> None:
        """Take over what a student knows now.

        Args:
            student (FragmentedStudent, optional): The student at the end of a grade. Defaults to
                None: there is no previous grade.
        """
        if student is None:
            self.classes = ClassIndex((), len(self.outputs))
            return
        self.load(student.state_dict(), student.depth, student.seen)

    def load(self, state: dict, depth: int, seen: ClassIndex) -> None:
        """Become the student of a grade.

        Args:
            state (dict): State dict of the student at the end of the grade.
            depth (int): Number of fragments of the grade.
            seen (ClassIndex): The classes taught by then.
        """
        self.network.load_state_dict(state)
        self.network.set_grade(depth, seen.classes)
        self.classes = seen

    def check_recorders(self, recorders: dict) -> None:
        """Refuse recorders of features, which a shallower student need not have.

        Raises:
            ConfigurationError: For the first recorder of anything but class scores.
        """
        for name, recorder in recorders.items():
            if getattr(recorder, 'source', '') not in ('head', *self.network.classifier_names):
                raise ConfigurationError(
                    f'{self.key}.architecture is "previous_grade", which teaches by class scores, but '
                    f'distiller.teacher_recorders.{name} records "{recorder.source}"; possible are '
                    f'head, {", ".join(self.network.classifier_names)}'
                )

    def rehearse(self, forward: Callable[[torch.Tensor], Any]) -> Any:
        """Run ``forward`` on a zero image."""
        return dry_run(self.network, forward, self.network.trace.image_shape)

    @property
    def is_generalist(self) -> bool:
        """bool: Whether the previous grade knew all classes of the data set."""
        return self.classes.complete

    def describe(self) -> dict:
        """What a checkpoint says of the teacher: the same at all grades. Its tensors, and with
        them the classes, are in a file of their own."""
        return dict(name=self.name, source='previous_grade', sha256=None, classes=[])

    def teach(self, inputs: torch.Tensor) -> torch.Tensor:
        """Run the student of the previous grade without gradients.

        Args:
            inputs (torch.Tensor): Images of the classes that it knows, [n, C, H, W].

        Returns:
            torch.Tensor: Scores of all classes of the data set, [n, num_classes], minus infinity
            for those that it does not know.
        """
        with torch.no_grad():
            return self.network(inputs, mode='tensor')
