from collections.abc import Sequence

import torch

from edudistill_mm.curriculum import Grade
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.class_index import ClassIndex

from .base_teacher import BaseTeacher
from .weighting import TeacherWeighting


class TeacherEnsemble(BaseTeacher):
    """Teachers of all classes that teach as one, by the mean of their probabilities.

    What it says are the logarithms of the mean: a softmax of them at temperature T is the mean of
    the teachers' probabilities at temperature 1, to the power of 1/T and normalised, and not the
    mean of their probabilities at temperature T. A single teacher is taught by as without an
    ensemble, within rounding, by losses that no constant added to all scores changes.

    Args:
        teachers (Sequence[BaseTeacher]): The teachers; those of the grade are ``members``.
        weighting (TeacherWeighting): How they are weighed, beside their ``weight``.

    Raises:
        ConfigurationError: If one covers a part of the classes only.
    """

    NAME = 'ensemble'

    def __init__(self, teachers: Sequence[BaseTeacher], weighting: TeacherWeighting) -> None:
        number = teachers[0].classes.num_classes
        for teacher in teachers:
            if not teacher.is_generalist:
                raise ConfigurationError(
                    f'model.teacher_ensemble=True takes the mean of probabilities of all classes, but '
                    f'teacher "{teacher.name}" covers {len(teacher.classes)} of {number}; leave the '
                    'teacher out, or set teacher_ensemble=False'
                )
        super().__init__(self.NAME, ClassIndex(range(number), number))
        self.teachers, self.weighting = list(teachers), weighting
        self._members: list[BaseTeacher] = []

    @property
    def members(self) -> list[BaseTeacher]:
        """list[BaseTeacher]: The teachers of the grade."""
        return self._members

    def enter(self, grade: Grade) -> bool:
        """Ask the teachers of a grade from now on, of its classes; whether there are any."""
        self._members = [teacher for teacher in self.teachers if teacher.enter(grade)]
        self._taught = ClassIndex(grade.seen, self.classes.num_classes)
        self._columns = [self._taught.within(teacher.outputs) for teacher in self._members]
        # On each device: a step that is captured copies nothing to it.
        self._weights: dict[torch.device, torch.Tensor] = {}
        return bool(self._members)

    def teach(self, inputs: torch.Tensor) -> torch.Tensor:
        """:meth:`join` what the networks of the members say, by a weighting without labels."""
        return self.join([member.teach(inputs) for member in self._members])

    def join(
        self, scores: Sequence[torch.Tensor | None], labels: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logarithms of the mean probabilities.

        Args:
            scores (Sequence[torch.Tensor]): Scores of each member's outputs, [n, outputs].
            labels (torch.Tensor, optional): The samples' classes in the data set's numbering, [n].
                Defaults to None, which is enough for a weighting without ``needs_labels``.

        Returns:
            torch.Tensor: Float32 [n, C], of the classes taught, ascending; their softmax is over
            these classes alone.
        """
        cut = [
            columns.select(score).float()
            for columns, score in zip(self._columns, scores)
            if score is not None
        ]
        logs = torch.stack([score.log_softmax(1) for score in cut])
        return (logs + self._weigh(cut, labels).log()[..., None]).logsumexp(0)

    def _weigh(self, scores: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
        """The weight of each member on each sample, [K, n] or [K, 1], which sum to 1."""
        device = scores[0].device
        if device not in self._weights:
            fixed = [member.weight for member in self._members]
            self._weights[device] = torch.tensor(fixed, device=device)
        weights = self._weights[device]
        if not self.weighting.by_sample or len(scores) == 1:
            return (weights / weights.sum())[:, None]
        if labels is not None:
            labels = self._taught.positions(device)[labels]
        uncertainty = torch.stack(
            [self.weighting.uncertainty(score, labels) for score in scores]
        ).float()
        covered = torch.ones_like(uncertainty, dtype=torch.bool)
        return self.weighting.weights(uncertainty, covered, weights)
