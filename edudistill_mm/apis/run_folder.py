"""What surrounds a training: its folder is its own, and signals and a full disk end it well."""

import functools
import os.path as osp
from collections.abc import Callable
from typing import Any

from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.engine.disk_space import full_disk_told
from edudistill_mm.engine.preemption import preemption
from edudistill_mm.errors import Preempted

from .folder_lock import hold_folder


def in_its_folder(train: Callable) -> Callable:
    """Let a function that trains hold its work dir, heed SIGTERM and SIGUSR1, and tell of a full disk
    in one sentence.

    Args:
        train (Callable): Its first argument is a RunConfig.

    Returns:
        Callable: A function that raises a ConfigurationError if another run is at work in the folder,
        a TrainingError if the disk gets full, and :class:`Preempted` with an attribute
        ``to_resume``: whether the run itself goes on by ``resume``, or by the same call.
    """

    @functools.wraps(train)
    def train_in_folder(run: RunConfig, *args: Any, **kwargs: Any) -> Any:
        folder = run.cfg.work_dir
        with full_disk_told(folder), preemption.heeded(), hold_folder(folder):
            try:
                return train(run, *args, **kwargs)
            except Preempted as stop:
                begun = stop.work_dir
                stop.to_resume = begun is not None and osp.abspath(begun) == osp.abspath(folder)
                raise

    return train_in_folder
