"""What runs without a curriculum leave to reports, where MMEngine leaves nothing."""

from collections.abc import Callable
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from .early_ends import JUMP
from .validation_record import grade_accuracies

# Where a checkpoint's meta has the best accuracies of class groups.
BEST = 'best_of_groups'


def note_early_end(runner: Runner) -> None:
    """Log that a hook, such as MMEngine's ``EarlyStoppingHook``, has ended the run before its length."""
    loop: Any = runner.train_loop
    if not isinstance(loop, (EpochBasedTrainLoop, IterBasedTrainLoop)):
        return
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    progress, length = (
        (runner.epoch, loop.max_epochs) if by_epoch else (runner.iter, loop.max_iters)
    )
    if loop.stop_training and progress < length:
        runner.visualizer.add_scalars({JUMP: length}, step=progress)


def save_best(runner: Runner, checkpoint: dict) -> None:
    """Save what each :class:`GradeAccuracy` measures forgetting by."""
    best = [metric.state_dict() for metric in grade_accuracies(runner._val_loop)]
    if best:
        checkpoint['meta'][BEST] = best


def load_best(runner: Runner, checkpoint: dict) -> None:
    """Go on, in a resumed run, from what :func:`save_best` has saved."""
    if not runner._resume:
        return
    best = checkpoint.get('meta', {}).get(BEST, [])
    for metric, state in zip(grade_accuracies(runner._val_loop), best):
        metric.load_state_dict(state)


# By the stage of the run, called before its hooks.
RECORDS: dict[str, Callable[..., None]] = dict(
    after_train=note_early_end, before_save_checkpoint=save_best, after_load_checkpoint=load_best
)
