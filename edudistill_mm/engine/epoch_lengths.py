"""Epochs of unequal length, and the schedules that follow them."""

import copy
import math
from collections.abc import Sequence
from typing import Any

from mmengine.runner import Runner

from ..config.epochs import check_batches
from ..config.schedule import epochs_to_iters
from ..curriculum import Curriculum
from ..datasets import GradeSampler
from ..errors import ConfigurationError
from .resumed_config import start_from_student


def epoch_lengths(curriculum: Curriculum, loader: Any, sampler: GradeSampler | None) -> list[int]:
    """Count the batches of each epoch; a sampler of None does not follow the curriculum."""
    lengths: list[int] = []
    for grade in curriculum.grades:
        images = len(loader.sampler) if sampler is None else sampler.num_samples(grade)
        if sampler is None:
            batches = len(loader)
        else:
            batches = images / loader.batch_sampler.batch_size
            batches = math.floor(batches) if loader.batch_sampler.drop_last else math.ceil(batches)
        check_batches(batches, images, loader.batch_sampler.batch_size, f'grade "{grade.name}"')
        lengths += [batches] * grade.length
    return lengths


def check_same_lengths(
    curriculum: Curriculum, lengths: Sequence[int], meta: dict, path: str | None
) -> None:
    """Refuse to resume a run whose epochs had another number of batches.

    Its place in the data and in all schedules is counted in batches.

    Args:
        curriculum (Curriculum): The curriculum, which counts epochs.
        lengths (Sequence[int]): The batches of each epoch.
        meta (dict): The checkpoint's.
        path (str, optional): The checkpoint.

    Raises:
        ConfigurationError: It names the first grade of another length.
    """
    saved = meta['education'].get('batches')
    changed = [
        f'an epoch of grade "{grade.name}" had {saved[grade.name]} batches and has '
        f'{lengths[grade.begin]} now'
        for grade in curriculum.grades
        if saved is not None and saved[grade.name] != lengths[grade.begin]
    ]
    epoch = meta['epoch']
    if saved is None and epoch < len(lengths):
        # An earlier version has written it.
        begun = meta['iter'] - sum(lengths[:epoch])
        if not 0 <= begun <= lengths[epoch]:
            changed = [f'its epochs had another number of batches than now, {lengths[epoch]}']
    if changed:
        raise ConfigurationError(
            f'cannot resume from "{path or "the last checkpoint"}": {changed[0]}, as batch_size, the '
            f'number of images or of processes has changed; {start_from_student(path)}'
        )


def rebuild_schedules(runner: Runner, lengths: Sequence[int]) -> None:
    """Rebuild schedules that MMEngine has converted to iterations for epochs of one length."""
    configs = runner.cfg.get('param_scheduler')
    configs = [configs] if isinstance(configs, dict) else configs
    if not isinstance(configs, (list, tuple)) or not any(
        isinstance(cfg, dict) and cfg.get('convert_to_iter_based') for cfg in configs
    ):
        return
    configs = [epochs_to_iters(cfg, lengths) for cfg in copy.deepcopy(list(configs))]
    for group in runner.optim_wrapper.param_groups:
        # The first set of schedulers has taken its first step already.
        for name in [key for key in group if key.startswith('initial_')]:
            group[name.removeprefix('initial_')] = group[name]
        if 'betas' in group and 'initial_momentum' in group:
            # Of which schedules take the momentum.
            group['betas'] = (group['initial_momentum'], *group['betas'][1:])
    runner.param_schedulers = runner.build_param_scheduler(configs)
