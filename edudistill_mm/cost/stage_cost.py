"""What one stage of a training costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class StageCost:
    """Cost of one epoch (or iteration) of a grade, or of a plain training.

    Attributes:
        length (int): Epochs (or iterations) that the config gives it.
        images (int): Images that an epoch (or iteration) shows the student.
        batches (int): Iterations of an epoch; 1 if iterations are counted.
        parameters (int): Parameters of the student that are in training.
        flops_per_image (int): Of the student's forward pass at this depth, two for a multiply-add.
        teachers (Mapping[str, tuple[float, int]]): For each teacher that is asked the images of an
            epoch (or iteration) that are routed to it, in the mean, and the FLOPs of its forward
            pass of one image.
        kept (Mapping[str, Tuple[int, int]]): For each teacher whose answers are kept how many
            different images are routed to it, and the number of views of each.
        augmentation (float): The probability with which an image is augmented; otherwise its
            neutral view is shown.
    """

    length: int
    images: int
    batches: int
    parameters: int
    flops_per_image: int
    teachers: Mapping[str, tuple[float, int]]
    kept: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    augmentation: float = 1.0

    @property
    def student_flops(self) -> int:
        """int: FLOPs of the student's forward passes of an epoch (or iteration)."""
        return self.images * self.flops_per_image

    @property
    def teacher_flops(self) -> int:
        """int: FLOPs of an epoch's (or iteration's) teachers, but those whose answers are kept."""
        passes = [each for name, each in self.teachers.items() if name not in self.kept]
        return round(sum(images * flops for images, flops in passes))

    @property
    def total_flops(self) -> int:
        """int: FLOPs of an epoch (or iteration): three student passes, and the teachers that run.

        A backward pass costs about twice its forward pass.
        """
        return 3 * self.student_flops + self.teacher_flops
