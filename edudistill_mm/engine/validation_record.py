import copy
from collections.abc import Mapping
from typing import Any

from mmengine.runner import Runner

from edudistill_mm.curriculum import Curriculum, Grade
from edudistill_mm.evaluation import GradeAccuracy

# Names of the accuracy over all classes. MMRazor's SingleTeacherDistillValLoop puts the network's
# name first.
ACCURACIES = ('accuracy/top1', 'student.accuracy/top1')


class ValidationRecord:
    """What the validations of a run have found, saved in each checkpoint.

    Attributes:
        history (dict[str, dict[str, float]]): Results of the last validation of each grade, by its
            name.
        progress (int): The epoch (or iteration) of the last validation, 0 before the first.
    """

    def __init__(self) -> None:
        self.history: dict[str, dict[str, float]] = {}
        self.progress = 0

    def set_grade(self, loop: Any, curriculum: Curriculum, grade: Grade) -> None:
        """Tell each :class:`GradeAccuracy` of a validation or test loop what is taught."""
        for metric in grade_accuracies(loop):
            metric.set_grade(curriculum, grade)

    def add(self, grade: Grade, progress: int, metrics: Mapping[str, Any] | None) -> None:
        """Note the results of a validation; what is no number is left out."""
        self.progress = progress
        self.history[grade.name] = {
            key: float(value)
            for key, value in (metrics or {}).items()
            if isinstance(value, (int, float))
        }

    def is_missing(self, loop: Any, progress: int, length: int) -> bool:
        """Whether the train loop wants a validation after this progress, and there was none.

        ``length`` is the progress at which the run ends.
        """
        due = progress >= max(loop.val_begin, 1) and (
            progress % loop.val_interval == 0 or progress == length
        )
        return due and self.progress < progress

    def state_dict(self, runner: Runner) -> dict[str, Any]:
        """'history', 'validated' and, for each :class:`GradeAccuracy`, its 'accuracy'."""
        return dict(
            history=copy.deepcopy(self.history),
            validated=self.progress,
            accuracy=[metric.state_dict() for metric in grade_accuracies(runner._val_loop)],
        )

    def load_state_dict(self, runner: Runner, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self.history, self.progress = copy.deepcopy(state['history']), state['validated']
        for metric, accuracy in zip(grade_accuracies(runner._val_loop), state['accuracy']):
            metric.load_state_dict(accuracy)


def grade_accuracies(loop: Any) -> list[GradeAccuracy]:
    """The metrics of a validation or test loop that measure by class groups."""
    # A loop that is not built yet is a dict or None.
    metrics = getattr(getattr(loop, 'evaluator', None), 'metrics', ())
    return [metric for metric in metrics if isinstance(metric, GradeAccuracy)]
