"""A decorator that locks the work dir of a training and handles signals and a full disk."""

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
    """Let a training of a RunConfig lock its work dir and handle signals and a full disk.

    The function then raises ConfigurationError if another run is at work in the folder,
    TrainingError if the disk gets full, and :class:`Preempted` at SIGTERM and SIGUSR1, whose
    ``to_resume`` says whether the run goes on by ``resume`` or by the same call.
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
