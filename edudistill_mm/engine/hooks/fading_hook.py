from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from edudistill_mm.distributed import unwrap_model
from edudistill_mm.engine.epoch_lengths import epoch_lengths
from edudistill_mm.engine.grade_data import grade_sampler
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.validation.values import check_number, check_positive


class FadingHook(Hook):
    """Something that is strong at a promotion and fades in the grade that follows.

    Args:
        epochs (int, optional): After how many epochs of a grade it has faded. One of ``epochs``,
            ``iters`` and ``share`` must be given. At the end of its grade it has faded at last.
        iters (int, optional): The same in iterations.
        share (float, optional): The same as a share of the grade, above 0 and up to 1.

    Raises:
        ConfigurationError: If a value cannot be used or, when the run starts, the unit.
    """

    # After the promotion by GradeSchedulerHook.
    priority = 'HIGH'

    def __init__(
        self, epochs: int | None = None, iters: int | None = None, share: float | None = None
    ) -> None:
        self._name = type(self).__name__
        given = dict(epochs=epochs, iters=iters, share=share)
        given = {key: value for key, value in given.items() if value is not None}
        if len(given) != 1:
            raise ConfigurationError(
                f'{self._name} needs one of epochs, iters and share, but got {", ".join(given) or "none"}'
            )
        ((self._unit, self._length),) = given.items()
        if self._unit == 'share':
            check_number(self._length, f'{self._name}.share', 1.0)
        else:
            check_positive(self._length, f'{self._name}.{self._unit}')

    def before_run(self, runner: Runner) -> None:
        """Refuse a run without a curriculum, or one that counts otherwise."""
        if not isinstance(runner._train_loop, BaseLoop):
            return
        curriculum = getattr(unwrap_model(runner.model), 'curriculum', None)
        if curriculum is None or (self._unit == 'epochs' and not curriculum.by_epoch):
            raise ConfigurationError(
                f'{self._name} needs a curriculum, whose promotions bring what is new'
                if curriculum is None
                else f'{self._name}.epochs needs a curriculum that counts epochs; give iters or share'
            )
        depths = [grade.fragments for grade in curriculum.grades]
        if depths[0] == depths[-1]:
            raise ConfigurationError(
                f'{self._name} would do nothing: all grades have {depths[0]} fragments, so that no promotion '
                f'brings new ones; leave it out'
            )

    def before_train(self, runner: Runner) -> None:
        """Count the iterations of each epoch."""
        loader, curriculum = runner.train_dataloader, unwrap_model(runner.model).curriculum
        self._batches = [1] * curriculum.length
        if curriculum.by_epoch:
            self._batches = epoch_lengths(curriculum, loader, grade_sampler(loader))

    def rest(self, runner: Runner, model: Any) -> float:
        """What is left of it in this iteration, from 1 at a promotion to 0; 0 in the first grade.

        In iteration ``t`` of a grade, counted from 0, this is ``max(1 - t / length, 0)``.
        """
        grade = model.grade
        if grade.index == 0:
            return 0.0
        first, batches = sum(self._batches[: grade.begin]), self._batches[grade.begin]
        whole = grade.length * batches
        length = dict(epochs=batches, iters=1, share=whole)[self._unit] * self._length
        return max(1 - (runner.iter - first) / min(length, whole), 0)
