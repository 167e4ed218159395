import torch

from edudistill_mm.models.class_index import ClassIndex

from .base_teacher import BaseTeacher


class SelfTeacher(BaseTeacher):
    """The student as its own teacher, in self-distillation: what it teaches is recorded while it
    learns.

    Args:
        num_classes (int): Number of classes of the data set.
    """

    records_from_student = True

    def __init__(self, num_classes: int) -> None:
        super().__init__('self', ClassIndex(range(num_classes), num_classes))

    def teach(self, inputs: torch.Tensor) -> None:
        """Do nothing: the student will run anyway."""
