"""One stage of a curriculum."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edudistill_mm.errors import ConfigurationError


@dataclass(frozen=True)
class Grade:
    """One stage of a curriculum: how long, how deep, which classes and teachers.

    Attributes:
        index (int): Position in the curriculum, from 0.
        name (str): Name of the grade, unique in its curriculum.
        begin (int): First epoch (or iteration) of the grade, counted from 0.
        end (int): First epoch (or iteration) after the grade.
        fragments (int): How many fragments of the student run, at least 1.
        classes (tuple[int, ...]): Classes that this grade adds, ascending.
        seen (tuple[int, ...]): Classes taught up to and including this grade, ascending.
        new_teachers (tuple[str, ...]): Teachers that join at this grade.
        leaving (tuple[str, ...]): Teachers that leave at this grade.
        teachers (tuple[str, ...]): Teachers that teach at this grade, in the order of joining.
        optimizer (str): 'keep' or 'reset' the optimizer's state at the promotion into this grade.
        samples (str): Order of the samples, 'mixed' or 'by_teacher'.
        task_loss_weight (float, optional): Factor of the student's own loss. None: the model's.
        distill_loss_weight (float, optional): Factor of the distillation losses. None: the model's.
        temperature (float, optional): That of the distillation losses. None: their own.
        image_size (tuple[int, int] | float, optional): Height and width, or the share of the
            sides, of what the student sees in
            training. None: as its data come.
        augmentation (float): The probability with which an image is augmented, from 0 to 1.
    """

    index: int
    name: str
    begin: int
    end: int
    fragments: int
    classes: tuple[int, ...]
    seen: tuple[int, ...]
    new_teachers: tuple[str, ...]
    leaving: tuple[str, ...]
    teachers: tuple[str, ...]
    optimizer: str
    samples: str
    task_loss_weight: float | None = None
    distill_loss_weight: float | None = None
    temperature: float | None = None
    image_size: tuple[int, int] | float | None = None
    augmentation: float = 1.0

    def value(self, key: str, default: Any) -> Any:
        """What the grade gives for a key; the default if it gives nothing."""
        value = getattr(self, key)
        return default if value is None else value

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the student sees images of a size in training."""
        if not isinstance(self.image_size, float):
            return self.image_size or (height, width)
        share = self.image_size
        return max(1, int(share * height + 0.5)), max(1, int(share * width + 0.5))

    def describe_size(self) -> str:
        """The size of the student's images for a table."""
        if self.image_size is None:
            return 'full'
        if isinstance(self.image_size, float):
            return f'{self.image_size:.4g} of the sides'
        return '{}x{}'.format(*self.image_size)

    def check_depth(self, recorded: Iterable[Mapping[str, Any]], where: str) -> None:
        """Refuse what a run with another depth of this grade has written.

        Args:
            recorded (Iterable[Mapping]): The grades of its curriculum.
            where (str): Where they are recorded, for the message.

        Raises:
            ConfigurationError: The grade had more or fewer fragments.
        """
        for grade in recorded:
            depth = grade.get('fragments', self.fragments)
            if grade.get('name') == self.name and depth != self.fragments:
                raise ConfigurationError(
                    f'{where} was saved in grade "{self.name}" with {depth} fragments, of which the '
                    f'config has {self.fragments}, and others were not trained; use the config of its run'
                )

    @property
    def length(self) -> int:
        """Duration in epochs (or iterations)."""
        return self.end - self.begin
