"""Data loaders that name what they cannot read, and that end."""

import functools
from typing import Any

from mmengine.runner import Runner

from edudistill_mm.datasets.reading_errors import clear_annotation_errors, name_samples
from edudistill_mm.engine.preemption import shield_workers


def guard_data(runner: Runner) -> Runner:
    """Let a runner's data sets say what is wrong with them.

    Args:
        runner (Runner): A runner that has built no data loader yet.

    Returns:
        Runner: The same. Annotations without labels or samples, and later a sample that cannot be
        read, raise a ConfigurationError that names the data set, or the sample's file. Workers leave
        a scheduler's signals to the run.
    """
    build = runner.build_dataloader

    @functools.wraps(build)
    def build_or_refuse(dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        with clear_annotation_errors(dataloader):
            loader = build(dataloader, *args, **kwargs)
        name_samples(loader.dataset)
        shield_workers(loader)
        return loader

    runner.build_dataloader = build_or_refuse
    return runner


def end_workers(runner: Runner) -> None:
    """End the worker processes that the data loaders of a finished runner keep.

    Once the garbage collection finds them, PyTorch waits five seconds in vain for each.

    Args:
        runner (Runner): A runner that has trained.
    """
    for loop in (runner._train_loop, runner._val_loop):
        loader = getattr(loop, 'dataloader', None)
        for owner in (loader, getattr(loop, 'dataloader_iterator', None)):
            iterator = getattr(owner, '_iterator', None)
            if hasattr(iterator, '_shutdown_workers'):
                iterator._shutdown_workers()
                owner._iterator = None
