from typing import Any, Dict, List, Optional

import torch
from mmengine.structures import BaseDataElement
from mmrazor.models.task_modules.recorder import (
    ModuleInputsRecorder, ModuleOutputsRecorder, ParameterRecorder)
from torch import nn

from edudistill_mm.models.class_index import ClassIndex
from edudistill_mm.models.students import FragmentedStudent
from edudistill_mm.models.teachers import Lesson, Teacher


class TeacherView:
    """What the distiller of one teacher sees of a batch: the teacher's rows, its classes, its labels.

    The records of MMRazor's recorders are rewritten between the forward passes and the losses, so that no
    recorder, connector or loss has to know of rows or classes: batch-first tensors and lists keep the teacher's
    rows; class scores, of the student as of the teacher, keep the columns of the classes that the teacher knows
    *and* that have been taught; integer labels are numbered within those. If all of that is the identity, records
    are not touched.

    Args:
        distiller (nn.Module): A distiller of MMRazor that belongs to this teacher alone.
        teacher (Teacher): The teacher.
        student (FragmentedStudent): The student, set to the grade.
        losses (dict): The distiller's complete ``loss_forward_mappings``.
        awake (Sequence[str]): Names of the losses whose records exist at this grade.
    """

    def __init__(self, distiller: nn.Module, teacher: Teacher, student: FragmentedStudent,
                 losses: Dict[str, dict], awake: List[str]) -> None:
        self.distiller, self.teacher, self.student = distiller, teacher, student
        self.awake = list(awake)
        taught = set(student.seen.classes)
        self.classes = ClassIndex(
            [label for label in teacher.classes.classes if label in taught], student.num_classes)
        # WSLD and its like expand labels to one-hot vectors of the width that they are told.
        for loss in distiller.distill_losses.values():
            if hasattr(loss, 'num_classes'):
                loss.num_classes = len(self.classes)
        distiller.loss_forward_mappings = {name: losses[name] for name in awake}
        self._of_student = {
            student.num_classes: self.classes,
            len(student.seen): self.classes.within(student.seen)}
        self._of_teacher = {len(teacher.classes): self.classes.within(teacher.classes)}
        self._labels = self.classes.within(student.seen)

    @staticmethod
    def _has_scores(recorder: Any, network: nn.Module, classifier: Optional[str]) -> bool:
        """Whether a recorder's two-dimensional records of a fitting width are class scores."""
        if isinstance(recorder, ModuleInputsRecorder):
            return recorder.source.endswith('loss_module')
        if isinstance(recorder, ModuleOutputsRecorder):
            if classifier is not None:
                return recorder.source in ('', 'head', classifier)
            return recorder.source == '' or recorder.source.split('.')[0] == 'head'
        return True

    def losses(self, lesson: Lesson, batch_size: int) -> Dict[str, torch.Tensor]:
        """Compute the distillation losses of the lesson from the records of both forward passes.

        Args:
            lesson (Lesson): The rows that the teacher has seen.
            batch_size (int): Number of samples that the student has seen.

        Returns:
            dict[str, torch.Tensor]: The distiller's losses, weighted by the lesson's share of the batch.
        """
        for recorder in self.distiller.student_recorders.recorders.values():
            scores = self._has_scores(recorder, self.student, self.student.classifier_name)
            self._rewrite(recorder, batch_size, lesson.rows, self._of_student if scores else {}, self._labels)
        for recorder in self.distiller.teacher_recorders.recorders.values():
            scores = self._has_scores(recorder, self.teacher.network, None)
            self._rewrite(recorder, None, None, self._of_teacher if scores else {}, None)
        losses = self.distiller.compute_distill_losses()
        if lesson.share is None:
            return losses
        return {name: _scale(value, lesson.share) for name, value in losses.items()}

    def _rewrite(self, recorder: Any, batch_size: Optional[int], rows: Optional[torch.Tensor],
                 columns: Dict[int, ClassIndex], labels: Optional[ClassIndex]) -> None:
        if isinstance(recorder, ParameterRecorder):
            return
        columns = {width: index for width, index in columns.items() if not index.complete}
        if labels is not None and labels.complete:
            labels = None
        if rows is None and not columns and labels is None:
            return

        def view(record: Any) -> Any:
            if isinstance(record, torch.Tensor) and record.ndim:
                if batch_size is not None and len(record) != batch_size:
                    return record
                if rows is not None:
                    record = record[rows]
                if record.ndim == 2 and record.shape[1] in columns:
                    record = columns[record.shape[1]].select(record)
                elif labels is not None and record.ndim == 1 and not record.is_floating_point():
                    record = labels.positions(record.device)[record]
                return record
            if isinstance(record, (list, tuple)):
                if rows is not None and len(record) == batch_size and isinstance(record[0], BaseDataElement):
                    return [record[row] for row in rows.tolist()]
                return type(record)(view(item) for item in record)
            return record

        recorder._data_buffer = [view(record) for record in recorder.data_buffer]


def _scale(value: Any, factor: torch.Tensor) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_scale(item, factor) for item in value)
    return value * factor
