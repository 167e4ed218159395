from contextlib import ExitStack
from typing import Any

from mmrazor.models.task_modules.recorder import ModuleInputsRecorder, ModuleOutputsRecorder
from torch import nn

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.run_labels import RunLabels
from edudistill_mm.models.students import FragmentedStudent

from .recorders import attach_recorders


class StudentRecords:
    """What a distiller records of the student.

    The student runs once in a step, so the recorders of one distiller record it, and the views of
    all teachers are made from these records. At a lower grade, the teaching reference is recorded
    in the place of the head.

    Args:
        student (FragmentedStudent, optional): The student.
        distiller (nn.Module, optional): The distiller; nothing is recorded without one.
        of_itself (bool): Whether the student is the distiller's teacher, too.

    Attributes:
        mappings (dict): The distiller's complete ``loss_forward_mappings``.
    """

    def __init__(
        self,
        student: FragmentedStudent | None = None,
        distiller: nn.Module | None = None,
        of_itself: bool = False,
    ) -> None:
        self.student = student
        self.mappings: dict[str, dict] = {}
        # By the from_student of the losses that read them.
        self._managers: dict[bool, Any] = {}
        if distiller is not None:
            self.mappings = dict(distiller.loss_forward_mappings)
            self._managers[True] = distiller.student_recorders
            if of_itself:
                self._managers[False] = distiller.teacher_recorders
        # Each module that a recorder watches.
        self._watched: list[tuple[ModuleOutputsRecorder, nn.Module]] = []
        for from_student, manager in self._managers.items():
            key = 'student_recorders' if from_student else 'teacher_recorders'
            attach_recorders(manager.recorders, student, key, 'the student')
            for recorder in manager.recorders.values():
                if isinstance(recorder, ModuleOutputsRecorder):
                    self._watch(recorder)

    def _watch(self, recorder: ModuleOutputsRecorder) -> None:
        self._watched.append((recorder, self.student.get_submodule(recorder.source)))
        # A reference's head reads the reference's own features, of another size.
        of_inputs = isinstance(recorder, ModuleInputsRecorder)
        if of_inputs and not recorder.source.endswith('loss_module'):
            return
        for module in self.student.counterparts(recorder.source):
            module.register_forward_hook(recorder.forward_hook)

    def follow_conversion(self) -> None:
        """Record the modules that a runner has put in the place of recorded ones.

        MMEngine replaces each BatchNorm by a synchronised one (``sync_bn``), or the reverse in a
        single process, after the algorithm has been built.
        """
        for index, (recorder, module) in enumerate(self._watched):
            current = self.student.get_submodule(recorder.source)
            if current is not module:
                current.register_forward_hook(recorder.forward_hook)
                self._watched[index] = (recorder, current)

    def recording(self) -> ExitStack:
        """A context in which the student is recorded."""
        stack = ExitStack()
        for manager in self._managers.values():
            stack.enter_context(manager)
        return stack

    def take(self) -> dict[str, list]:
        """Empty the student's recorders and return the records of each."""
        records = {}
        if True in self._managers:
            for name, recorder in self._managers[True].recorders.items():
                records[name] = list(recorder.data_buffer)
                recorder.reset_data_buffer()
        return records

    def find_awake(self, fragments: int, labels: RunLabels) -> list[str]:
        """Names of the distillation losses whose records of the student exist at a depth.

        A run of the student on a zero image shows it, for recorders of all kinds. The student is
        left at that depth, with all classes. A loss without records in the complete student is an
        error.
        """
        self.student.set_grade(fragments, range(self.student.num_classes))
        with self.recording():
            labels.try_student(self.student)
        empty = {}
        for from_student, manager in self._managers.items():
            for name, recorder in manager.recorders.items():
                if not recorder.data_buffer:
                    empty[from_student, name] = recorder.source
                recorder.reset_data_buffer()
        awake = []
        for loss, mapping in self.mappings.items():
            read = ((bool(r.get('from_student')), r['recorder']) for r in mapping.values())
            asleep = next((key for key in read if key in empty), None)
            if asleep is None:
                awake.append(loss)
            elif fragments == self.student.num_fragments:
                raise ConfigurationError(
                    f'distiller.distill_losses.{loss} would never wake up: its recorder '
                    f'"{asleep[1]}" (source "{empty[asleep]}") never runs, not even in the '
                    'complete student'
                )
        return awake
