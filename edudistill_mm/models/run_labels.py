import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from mmpretrain.structures import DataSample
from torch import nn

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.batch_augments import adopt_augments, names_of_augments
from edudistill_mm.models.labels import MIXED, set_label_width, split_for_scores
from edudistill_mm.models.network import dry_run
from edudistill_mm.models.students import FragmentedStudent
from edudistill_mm.models.teachers import BaseTeacher
from edudistill_mm.models.teachers.weighting import TeacherWeighting
from edudistill_mm.models.unpacked import refuse_unpacked


class RunLabels:
    """The form in which the labels of a run reach its losses: as classes, one-hot, or mixed.

    Args:
        preprocessor (nn.Module): The data preprocessor of the run. It gets the batch augmentations
            of the student's own, and the width of one-hot labels.
        given (dict | nn.Module): What it was built from.
        student (FragmentedStudent): The student.
    """

    def __init__(self, preprocessor: nn.Module, given: Any, student: FragmentedStudent) -> None:
        from_student = adopt_augments(preprocessor, given, student.data_preprocessor)
        set_label_width(preprocessor, student.num_classes)
        split_for_scores(preprocessor)
        refuse_unpacked(preprocessor)
        self.num_classes = student.num_classes
        #: bool: Whether samples have scores beside the class.
        self.one_hot = bool(getattr(preprocessor, 'to_onehot', False))
        names = names_of_augments(preprocessor)
        #: str: What mixes the labels, in words; empty if nothing does.
        self.mixing = names and (
            f'data_preprocessor.batch_augments ({names}'
            f'{", from architecture.student.train_cfg" if from_student else ""})'
        )
        self._told = False

    @property
    def origin(self) -> str:
        """str: Why labels are no class indices, the end of a sentence."""
        if self.mixing:
            return f'{self.mixing} mixes the labels of several images; remove it'
        return 'data_preprocessor.to_onehot=True makes one-hot labels; remove it'

    def samples(
        self, labels: Sequence[int], device: torch.device, other_form: bool = False
    ) -> list[DataSample]:
        """Samples for a dry run, labelled as the run's, with MMRazor's ``sample_idx`` for CRDLoss.

        A mixed label has a quarter of the class of the sample before. ``other_form``: class indices
        where the run has one-hot labels, and the reverse.
        """
        one_hot = self.one_hot != other_form
        scores = torch.eye(self.num_classes, dtype=torch.long, device=device)[list(labels)]
        if self.mixing and not other_form:
            scores = 0.75 * scores + 0.25 * scores.roll(1, 0)
        samples = []
        for number, (label, score) in enumerate(zip(labels, scores)):
            sample = DataSample().set_gt_label(label).to(device)
            sample.set_field(torch.tensor(number, device=device), 'sample_idx')
            samples.append(sample.set_gt_score(score) if one_hot else sample)
        return samples

    def try_student(self, student: FragmentedStudent) -> None:
        """Compute the loss of a student, set to all classes, on a zero image."""
        # Were there as many images as classes, indices could pass for scores.
        labels = [0, 1, 0] if self.num_classes == 2 else [0, min(1, self.num_classes - 1)]

        def run(other_form: bool = False) -> None:
            def forward(image: torch.Tensor) -> None:
                samples = self.samples(labels, image.device, other_form)
                student(image[:1].expand(len(labels), *image.shape[1:]), samples, mode='loss')

            dry_run(student, forward, student.trace.image_shape)

        try:
            run()
            return
        except RuntimeError as failure:
            error = failure
        if 'in "head.loss_module' in str(error):
            wanted = 'class indices' if self.one_hot else 'one-hot labels'
            why = (
                f'but {self.origin}' if self.one_hot else 'so set data_preprocessor.to_onehot=True'
            )
            with suppress(RuntimeError):
                run(other_form=True)
                raise ConfigurationError(
                    f'architecture.student.head.loss of type {type(student.head.loss_module).__name__} '
                    f'needs {wanted}, {why}'
                ) from error
        raise ConfigurationError(
            f'architecture.student cannot compute its loss: {error}'
        ) from error

    def tell_of_mixed(
        self,
        classes: torch.Tensor,
        data_samples: list[DataSample],
        teachers: Sequence[BaseTeacher],
    ) -> None:
        """Warn once of samples that nobody teaches because the data set mixes their labels.

        ``classes`` are those of :func:`classes_of`. If the first such batch has no other samples,
        nothing would be distilled: a ConfigurationError.
        """
        if self._told or 'gt_score' not in data_samples[0]:
            return
        if any(teacher.is_generalist for teacher in teachers):
            return
        mixed = int((classes == MIXED).sum())
        if mixed == len(classes):
            raise ConfigurationError(
                'the data set gives all samples of a batch a gt_score below 1 for every class: experts '
                'do not teach what may be of several classes, and this grade has no generalist, so '
                'nothing would be distilled; add a teacher with classes="all", or give gt_label alone'
            )
        if mixed:
            self._told = True
            warnings.warn(
                f'{mixed} of {len(classes)} samples of a batch have a gt_score below 1 for '
                'every class: experts do not teach them, because they may be of several classes, and '
                'this grade has no generalist; they are trained without distillation',
                stacklevel=2,
            )

    @staticmethod
    def refuse_mixed(
        classes: torch.Tensor, data_samples: list[DataSample], weighting: TeacherWeighting
    ) -> None:
        """Refuse samples of several classes, where a weighting needs the class."""
        if 'gt_score' in data_samples[0] and (classes == MIXED).any():
            raise ConfigurationError(
                f'{weighting.why_labels}, but some samples have a gt_score below 1 for every class; '
                f'{weighting.advice}'
            )
