from mmengine.runner import BaseLoop, Runner

from edudistill_mm.compat import switch_off_inplace
from edudistill_mm.distributed import unwrap_model
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.registry import HOOKS, register

from .fading_hook import FadingHook


@register(HOOKS)
class ExitFadeHook(FadingHook):
    """Fades from the exit of the grade before to the new one, after each promotion to a new depth.

    For fragments that follow one another. In iteration ``t`` of a grade, counted from 0, the
    student's scores in training are ``rest`` times those of the teaching reference of the grade
    before plus ``1 - rest`` times those of its own head, with ``rest = max(1 - t / length, 0)``,
    so that a promotion changes them gradually; see :class:`ExitFade`. Task loss and distillation
    read these scores. Validation, tests and exports see the new exit alone. It depends on progress
    only, so a resumed run is exact. The log shows ``rest`` as ``former_exit``.

    Args:
        epochs (int, optional): After how many epochs of a grade the former exit has gone. One of
            ``epochs``, ``iters`` and ``share`` must be given.
        iters (int, optional): The same in iterations.
        share (float, optional): The same as a share of the grade, above 0 and up to 1.

    Raises:
        ConfigurationError: If a value cannot be used or, when the run starts, the unit, or a
            student whose fragments are blocks inside the stages.
    """

    def before_run(self, runner: Runner) -> None:
        """Refuse a student that has no exits."""
        super().before_run(runner)
        if isinstance(runner._train_loop, BaseLoop):
            student = unwrap_model(runner.model).student
            if student.growth:
                raise ConfigurationError(
                    'ExitFadeHook fades between teaching references, which a student has not whose '
                    'fragments are blocks inside the stages: its promotions change no score; leave it out'
                )
            student.exit_fade.check()
            # The former exit needs its features as they were, also behind the next module.
            switch_off_inplace(student)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Set the weight of the former exit."""
        model = unwrap_model(runner.model)
        rest, index = self.rest(runner, model), model.grade.index
        before = model.curriculum.grades[index - 1].fragments if index else model.grade.fragments
        if before == model.grade.fragments:
            rest = 0.0
        model.student.exit_fade.set(before if rest else None, rest)
        runner.message_hub.update_scalar('train/former_exit', rest)

    def after_train(self, runner: Runner) -> None:
        """Leave the student with its own exit."""
        unwrap_model(runner.model).student.exit_fade.set(None, 0.0)
