from collections.abc import Sequence

from mmengine.hooks import EMAHook
from mmengine.model import (
    BaseAveragedModel,
    ExponentialMovingAverage,
    MomentumAnnealingEMA,
    StochasticWeightAverage,
)
from mmengine.runner import Runner

from edudistill_mm.curriculum import Curriculum


def warn_of_slow_averages(runner: Runner, curriculum: Curriculum, lengths: Sequence[int]) -> None:
    """Warn if averaged weights hold more of what was before the last grade, or are not measured.

    Before it the last fragment, the classifier and the newest classes are untrained. After n
    updates by a momentum m the average holds (1 - m)^n of that, which is more than 1/e if 1/m
    exceeds n. ``lengths`` are the batches of each epoch (or iteration) of the run.
    """
    grade, total = curriculum.grades[-1], sum(lengths)
    for hook in runner.hooks:
        if not isinstance(hook, EMAHook):
            continue
        if not getattr(hook, 'evaluate_on_ema', True):
            runner.logger.warning(
                'EMAHook.evaluate_on_ema=False validates, and chooses the best of, the weights as they are '
                'trained, but what is saved and exported are their averages, which nothing measures'
            )
        begin = max(hook.begin_iter - 1, 0)
        if hook.enabled_by_epoch and curriculum.by_epoch:
            begin = sum(lengths[: hook.begin_epoch - 1])
        border = max(begin, sum(lengths[: grade.begin]))
        average = hook.ema_model
        updates = (total - border) // average.interval
        window = _window(average, total - begin)
        # The first update of an average takes the weights over.
        if window is None or window <= updates + (begin >= border):
            continue
        if type(average) is MomentumAnnealingEMA:
            advice = 'give it a larger gamma or momentum'
        elif type(average) is StochasticWeightAverage:
            key = 'begin_epoch' if curriculum.by_epoch else 'begin_iter'
            advice = f'let it begin with the grade, by {key}={grade.begin + 1}'
        else:
            advice = 'ema_type="MomentumAnnealingEMA" fits runs of any length'
        runner.logger.warning(
            f'EMAHook: {type(average).__name__} averages over about {window:,} updates, but the last '
            f'grade "{grade.name}" has {updates:,} of them, so that what is validated and exported is '
            f'still near the weights of before; {advice}'
        )


def _window(average: BaseAveragedModel, steps: int) -> int | None:
    """Over how many updates an average reaches at its end; None if its formula is not known."""
    if type(average) is StochasticWeightAverage:
        return steps // average.interval + 1
    if type(average) is ExponentialMovingAverage:
        return round(1 / average.momentum)
    if type(average) is MomentumAnnealingEMA:
        return round(1 / max(average.momentum, average.gamma / (average.gamma + steps)))
    return None
