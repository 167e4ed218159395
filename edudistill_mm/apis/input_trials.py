"""Other ways to prepare the images for a teacher, to find out whether one is better."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edudistill_mm.datasets.channel_order import other_order
from edudistill_mm.models.network import first_input_channels
from edudistill_mm.models.teachers import Teacher
from edudistill_mm.models.teachers.teacher_inputs import TeacherInputs, normalisation

DEVIATIONS = 4  # more standard deviations than chance explains


@dataclass(frozen=True)
class InputTrial:
    """A way to prepare images for a teacher; ``what`` and ``settings`` are parts of a sentence."""

    inputs: TeacherInputs
    what: str
    settings: str


def input_trials(teacher: Teacher, run: nn.Module, order: str | None) -> list[InputTrial]:
    """Trials of the normalisation of the teacher's architecture, of swapped channels, and of both.

    ``run`` is the run's data preprocessor, ``order`` how images are loaded: 'rgb', 'bgr' or
    unknown.
    """
    given, key = teacher.data_preprocessor, teacher.key
    own = getattr(teacher.network, 'data_preprocessor', None)
    swaps_run = normalisation(run)[2]
    trials = []

    def normalised(wanted: object) -> str:
        return '' if wanted is given else f'{key}.data_preprocessor="own"'

    normalisations = [given]
    if getattr(own, '_enable_normalize', False) and given != 'own':
        normalisations.append('own')
        swap = teacher.inputs.swap if teacher.channel_order is not None else None
        trials.append(
            InputTrial(
                teacher.build_inputs('own', swap),
                'the normalisation of its own architecture',
                normalised('own'),
            )
        )
    if first_input_channels(teacher.network) != 3:
        return trials
    for wanted in normalisations:
        before = teacher.inputs if wanted is given else trials[0].inputs
        swap = not before.swap
        what = 'the channels in the other order'
        if wanted is not given:
            what = f'the normalisation of its own architecture and {what}'
        in_dict = isinstance(wanted, dict) and 'to_rgb' in wanted
        if order is None or in_dict:
            setting = f'{key}.data_preprocessor.to_rgb={swaps_run != swap} (with its mean and std)'
        else:
            seen = order if swap == swaps_run else other_order(order)
            setting = ' and '.join(
                filter(None, (normalised(wanted), f'{key}.channel_order="{seen}"'))
            )
        trials.append(InputTrial(teacher.build_inputs(wanted, swap), what, setting))
    return trials


def best_trial(right: Sequence[torch.Tensor], trials: Sequence[InputTrial]) -> str:
    """Say, in a part of a sentence, which trial is clearly better than the config; '' if none is.

    ``right`` says whether the teacher is right on each image, bool [N], first with the config's
    inputs and then with those of each trial.
    """
    best = 0
    for index in range(1, len(right)):
        gained, lost = (
            int((one & ~other).sum())
            for one, other in ((right[index], right[best]), (right[best], right[index]))
        )
        # By the images on which the two differ (McNemar's test).
        if gained - lost > DEVIATIONS * (gained + lost) ** 0.5:
            best = index
    if not best:
        return ''
    was, now = (100 * float(right[index].float().mean()) for index in (0, best))
    trial = trials[best - 1]
    return (
        f'with {trial.what} it is right on {now:.1f} % of {len(right[0])} images instead of '
        f'{was:.1f} %, so set {trial.settings}'
    )
