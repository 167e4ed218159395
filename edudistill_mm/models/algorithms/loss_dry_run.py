import io
import re
from contextlib import redirect_stdout
from typing import Any

import torch

from edudistill_mm.curriculum import Grade
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.distillers import reads_labels
from edudistill_mm.models.network import dry_run
from edudistill_mm.models.run_labels import RunLabels


class LossDryRun:
    """Computes an algorithm's losses on zero images, so that misfits show before training."""

    def __init__(self, algorithm: Any, labels: RunLabels) -> None:
        self.algorithm, self.labels = algorithm, labels
        self.image_shape = algorithm.student.trace.image_shape

    def run(self) -> None:
        """Compute the losses of every grade once.

        Each teacher gets images of two of its classes, in each grade that is deeper than the one
        before or teaches more of its classes.

        Raises:
            ConfigurationError: If the losses of a grade cannot be computed, or it has none.
        """
        tried: set = set()
        for grade in self.algorithm.curriculum.grades:
            self.algorithm.set_grade(grade)
            views = self.algorithm.views
            # A model without distillers is one to test or to export.
            nothing = not views and not self.algorithm.calculate_student_loss
            if nothing and self.algorithm.distillers:
                reason, advice = 'no teacher teaches in it', 'let a teacher join or stay'
                if grade.teachers and not self.algorithm.losses_awake:
                    reason, advice = 'all distillation losses are asleep', 'record what is there'
                raise ConfigurationError(
                    f'grade "{grade.name}" has nothing to learn: {reason}, and '
                    f"calculate_student_loss=False leaves out the student's own loss; {advice}, "
                    f'or set calculate_student_loss=True'
                )
            new = {(name, grade.fragments, view.taught) for name, view in views.items()} - tried
            tried |= new
            labels = {label for *_, taught in new for label in taught[:2]} or set(grade.seen[:2])
            self._try_grade(grade, sorted(labels) * 2)

    def _try_grade(self, grade: Grade, labels: list[int]) -> None:
        def forward(image: torch.Tensor) -> Any:
            return self.algorithm.parse_losses(self._losses(image, labels))

        try:
            # CRDLoss prints what it normalises its memory by.
            with redirect_stdout(io.StringIO()):
                dry_run(self.algorithm, forward, self.image_shape)
        except RuntimeError as error:
            self._check_labels_of(grade, error)
            # Each teacher's distiller is a copy of the one in the config.
            reason = re.sub(r'"distillers\.(\w+)\.', r'"distiller.', str(error))
            hint = ''
            if grade.image_size is not None:
                hint = (
                    f', and the student saw them at {grade.describe_size()} '
                    f'(curriculum.grades[{grade.index}].image_size), '
                    f'which it must be able to take, and at which its features are smaller than those of '
                    f'its teachers'
                )
            raise ConfigurationError(
                f'the losses of grade "{grade.name}" cannot be computed: {reason}; the images '
                f'had the shape {self.image_shape} (see architecture.input_shape, '
                f'and input_size of a teacher){hint}'
            ) from error

    def _losses(self, image: torch.Tensor, labels: list[int]) -> dict[str, torch.Tensor]:
        inputs = image[:1].expand(len(labels), *image.shape[1:])
        return self.algorithm.loss(inputs, self.labels.samples(labels, image.device))

    def _check_labels_of(self, grade: Grade, error: RuntimeError) -> None:
        """Name a distillation loss that has failed because it reads labels that are no indices."""
        place = re.search(r'in "distillers\.([\w-]+)\.distill_losses\.(\w+)', str(error))
        if place is None or not self.labels.one_hot:
            return
        distiller, name = self.algorithm.distillers[place[1]], place[2]
        if reads_labels(distiller, distiller.loss_forward_mappings[name]):
            raise ConfigurationError(
                f'the losses of grade "{grade.name}" cannot be computed: '
                f'distiller.distill_losses.{name} of type {type(distiller.distill_losses[name]).__name__} '
                f'needs class indices, but {self.labels.origin}'
            ) from error

    def rows_needed(self) -> int:
        """How many samples of a teacher the losses of the last grade with one need to be finite.

        Two for BatchNorm in connectors or relations between samples, else one.
        """
        for grade in reversed(self.algorithm.curriculum.grades):
            self.algorithm.set_grade(grade)
            if self.algorithm.views:
                break
        view = next(iter(self.algorithm.views.values()), None)
        if view is None:
            return 1

        def forward(image: torch.Tensor) -> bool:
            self.algorithm.distillers.train()
            noise = torch.randn(image.shape, device=image.device)
            losses = self._losses(noise, [view.taught[0]])
            return all(
                torch.isfinite(torch.as_tensor(loss)).all()
                for name, loss in losses.items()
                if name.startswith('distill') and isinstance(loss, torch.Tensor)
            )

        try:
            return 1 if dry_run(self.algorithm, forward, self.image_shape) else 2
        except RuntimeError:
            return 2
