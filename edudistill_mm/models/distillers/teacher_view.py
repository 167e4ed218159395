from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from mmrazor.models.task_modules.recorder import ModuleInputsRecorder, ModuleOutputsRecorder
from torch import nn

from edudistill_mm.models.class_index import ClassIndex
from edudistill_mm.models.students import FragmentedStudent
from edudistill_mm.models.teachers import BaseTeacher, Lesson
from edudistill_mm.models.teachers.weighting import TeacherWeighting


class TeacherView:
    """What one teacher's distiller sees of a batch: that teacher's rows, classes and labels.

    The records of MMRazor's recorders are rewritten between the forward passes and the losses, so
    that no recorder, connector or loss has to know of rows or classes: batch-first tensors and
    lists keep the teacher's rows; class scores, of the student as of the teacher, keep the columns
    of the classes that the teacher knows *and* that have been taught; integer labels are numbered
    within those. If all of that is the identity, records are not touched. Under autocast, losses
    and connectors are computed in float32 from the records.

    Args:
        distiller (nn.Module): A distiller of MMRazor that belongs to this teacher alone.
        teacher (BaseTeacher): The teacher.
        student (FragmentedStudent): The student, set to the grade.
        losses (dict): The distiller's complete ``loss_forward_mappings``.
        awake (Sequence[str]): Names of the losses whose records exist at this grade.
        by_sample (dict[str, bool]): Which losses are means over samples, shared by all views.
        channels_last (bool): Whether records may be in this memory format, in which some losses
            cannot view them as rows of one channel.
    """

    def __init__(
        self,
        distiller: nn.Module,
        teacher: BaseTeacher,
        student: FragmentedStudent,
        losses: dict[str, dict],
        awake: list[str],
        by_sample: dict[str, bool],
        channels_last: bool = False,
    ) -> None:
        self.distiller, self.teacher, self.student = distiller, teacher, student
        self.by_sample, self.channels_last = by_sample, channels_last
        taught = set(student.seen.classes)
        self.classes = ClassIndex(
            [label for label in teacher.classes.classes if label in taught], student.num_classes
        )
        # WSLD and its like expand labels to one-hot vectors of the width that they are told.
        for loss in distiller.distill_losses.values():
            if hasattr(loss, 'num_classes'):
                loss.num_classes = len(self.classes)
        distiller.loss_forward_mappings = {name: losses[name] for name in awake}
        # Head and classifier give scores of all classes, the inputs of the loss are cut to the
        # classes taught.
        self._of_student = {
            student.num_classes: self.classes,
            len(student.seen): self.classes.within(student.seen),
        }
        self._answers = self.classes.within(teacher.outputs)
        # What is recorded of the teacher has all columns of its network.
        self._of_teacher = {teacher.columns.num_classes: self._answers.through(teacher.columns)}
        self._labels = self.classes.within(student.seen)

    @staticmethod
    def _has_scores(recorder: Any, classifiers: Sequence[str] | None) -> bool:
        """Whether a recorder's two-dimensional records of a fitting width are class scores."""
        source = recorder.source
        if isinstance(recorder, ModuleInputsRecorder):
            return source.endswith('loss_module')
        if isinstance(recorder, ModuleOutputsRecorder):
            return (
                source in ('', 'head', *classifiers)
                if classifiers
                else source.split('.')[0] in ('', 'head')
            )
        # A method or a function: only those of heads return class scores.
        return 'head' in source.lower()

    @property
    def taught(self) -> tuple[int, ...]:
        """tuple[int, ...]: The teacher's classes that have been taught, by the data set's numbers."""
        return self.classes.classes

    def losses(
        self, lesson: Lesson, records: dict[str, list], batch_size: int
    ) -> dict[str, torch.Tensor]:
        """The losses of a lesson, weighted by its share of the batch.

        ``records`` are those of each student recorder, of the whole batch.
        """
        for name, recorder in self.distiller.student_recorders.recorders.items():
            self._rewrite(recorder, records[name], batch_size, lesson.rows)
        for recorder in self.distiller.teacher_recorders.recorders.values():
            if self.teacher.records_from_student:
                self._rewrite(recorder, recorder.data_buffer, batch_size, lesson.rows)
                continue
            columns = self._of_teacher if self._has_scores(recorder, None) else {}
            recorder._data_buffer = [
                self._view(record, None, None, columns, None) for record in recorder.data_buffer
            ]
        # Half precision has too few digits for sums over features and for logarithms of softmaxes.
        device = next(self.student.parameters()).device.type
        with torch.autocast(device, enabled=False):
            if lesson.weights is None:
                computed = self.distiller.compute_distill_losses()
                losses = {name: mean_of(value) for name, value in computed.items()}
            else:
                losses = self._losses_by_sample(lesson, batch_size)
        # What the recorders hold would keep the graph of the step alive until the next one.
        for recorders in (self.distiller.student_recorders, self.distiller.teacher_recorders):
            for recorder in recorders.recorders.values():
                recorder.reset_data_buffer()
        if lesson.share is None or lesson.weights is not None:
            return losses
        return {name: value * lesson.share for name, value in losses.items()}

    def _losses_by_sample(self, lesson: Lesson, batch_size: int) -> dict[str, torch.Tensor]:
        """The losses with a weight for each sample.

        Those that are no mean over samples, as relations are not, take the mean of the weights.
        """
        losses = {}
        for name, mapping in self.distiller.loss_forward_mappings.items():
            values = {key: self.distiller.get_record(**record) for key, record in mapping.items()}
            loss = self.distiller.distill_losses[name]
            if name not in self.by_sample:
                self.by_sample[name] = is_mean_over_samples(loss, values)
            if self.by_sample[name]:
                rows = loss_of_rows(loss, values)
                losses[name] = (rows * lesson.weights).sum() / batch_size
            else:
                losses[name] = mean_of(loss(**values)) * lesson.share
        return losses

    def uncertainty(
        self, weighting: TeacherWeighting, scores: torch.Tensor, labels: torch.Tensor | None
    ) -> torch.Tensor:
        """How unsure the teacher of scores [n, C] is, among its classes taught so far, [n].

        ``labels`` [n] are in the data set's numbering.
        """
        scores = self._answers.select(scores).float()
        if labels is not None:
            labels = self.classes.positions(labels.device)[labels]
        return weighting.uncertainty(scores, labels)

    def _rewrite(
        self, recorder: Any, records: list, batch_size: int, rows: torch.Tensor | None
    ) -> None:
        """Put this view of the student's records into a recorder."""
        scores = self._has_scores(recorder, self.student.classifier_names)
        columns = self._of_student if scores else {}
        recorder._data_buffer = [
            self._view(record, batch_size, rows, columns, self._labels) for record in records
        ]

    def _view(
        self,
        record: Any,
        batch_size: int | None,
        rows: torch.Tensor | None,
        columns: dict[int, ClassIndex],
        labels: ClassIndex | None,
    ) -> Any:
        if isinstance(record, nn.Parameter):
            return record
        if isinstance(record, torch.Tensor) and record.dtype in (torch.float16, torch.bfloat16):
            record = record.float()
        if isinstance(record, torch.Tensor) and record.ndim:
            if batch_size is not None and len(record) != batch_size:
                return record
            if rows is not None:
                record = record[rows]
            if self.channels_last:
                record = record.contiguous()
            if record.ndim == 2 and record.shape[1] in columns:
                return columns[record.shape[1]].select(record)
            if (
                labels is not None
                and not labels.complete
                and record.ndim == 1
                and not record.is_floating_point()
            ):
                return labels.positions(record.device)[record]
            return record
        if isinstance(record, (list, tuple)):
            if (
                rows is not None
                and len(record) == batch_size
                and isinstance(record[0], BaseDataElement)
            ):
                return [record[row] for row in rows.tolist()]
            if rows is not None and len(record) == 1 and isinstance(record[0], BaseDataElement):
                return [rows_of(record[0], rows, batch_size)]
            return type(record)(
                self._view(item, batch_size, rows, columns, labels) for item in record
            )
        return record


def rows_of(
    sample: BaseDataElement, rows: torch.Tensor, batch_size: int | None
) -> BaseDataElement:
    """The part of one sample for a whole batch that belongs to some of its images."""
    part = sample.new()
    for name, value in sample.items():
        if isinstance(value, torch.Tensor) and value.ndim and len(value) == batch_size:
            part.set_data({name: value[rows]})
    return part


def mean_of(value: Any) -> torch.Tensor:
    """What MMEngine takes a loss for: its mean, and the sum of the means of several.

    So losses without a reduction can be added up over teachers of different numbers of samples.
    """
    values = value if isinstance(value, (list, tuple)) else [value]
    if not values or not all(isinstance(item, torch.Tensor) for item in values):
        raise TypeError(
            f'a distillation loss returns a {type(value).__name__}, where a tensor or a list of '
            f'tensors is needed'
        )
    # A scalar is its own mean, and its own sum: no kernel is launched for it.
    means = [item.mean() if item.ndim else item for item in values]
    return sum(means[1:], means[0])


def is_mean_over_samples(loss: nn.Module, values: dict[str, Any]) -> bool:
    """Whether a loss is the mean of what it is for each sample by itself, tried on random numbers.

    ``values`` are arguments of the kind that it gets; integers, as labels are, are kept. The
    answer is False also if one is no tensor with one row a sample.
    """
    tensors = values.values()
    if not all(isinstance(value, torch.Tensor) and value.ndim for value in tensors):
        return False
    if len({len(value) for value in tensors}) != 1:
        return False
    random = torch.Generator().manual_seed(0)
    tried = {}
    for key, value in values.items():
        # Three rows: relations between fewer may be trivial.
        value = value.detach()[:1].expand(3, *value.shape[1:])
        if value.is_floating_point():
            value = torch.randn(value.shape, generator=random).to(value)
        tried[key] = value
    with torch.no_grad():
        rows, whole = loss_of_rows(loss, tried), mean_of(loss(**tried))
    return torch.allclose(rows.mean(), whole, rtol=1e-3, atol=1e-6)


def loss_of_rows(loss: nn.Module, values: dict[str, torch.Tensor]) -> torch.Tensor:
    """A loss of each sample by itself, [n], from arguments with one row a sample."""

    def of_row(*row: torch.Tensor) -> torch.Tensor:
        return mean_of(loss(**{key: value.unsqueeze(0) for key, value in zip(values, row)}))

    tensors = list(values.values())
    try:
        return torch.vmap(of_row, randomness='different')(*tensors)
    except RuntimeError:
        # Some functions of torch, as one_hot, cannot be mapped.
        return torch.stack([of_row(*row) for row in zip(*tensors)])
