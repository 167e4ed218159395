"""Images a second of the training loader, against MMPretrain's pipeline in the main process."""

import time
from collections.abc import Callable

import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from edudistill_mm.engine import EducationRunner

from .timed_run import loader_config
from .turns import median_of, median_ratio, take_turns


def loader_benchmark(
    batch_size: int = 64, repeats: int = 10, iterations: int = 100
) -> list[tuple[str, float]]:
    """Measure how many images a second of CPU time each loader hands over, as uint8 batches.

    Both crop and flip images of CIFAR-100's size. MMPretrain's samples are stacked to a batch, as
    its data preprocessor does it.
    """
    count = batch_size * iterations
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        cfg = loader_config(count, batch_size)
        plain = Runner.build_dataloader(dict(cfg, collate_fn=stacked), seed=0)
        sampler = dict(type='GradeSampler', shuffle=True)
        resident = EducationRunner.build_dataloader(
            dict(cfg, sampler=sampler, resident=True), seed=0, training=True
        )
    turns = take_turns(dict(own=pace(resident, count), plain=pace(plain, count)), repeats)
    name = "images/s: this package / MMPretrain's pipeline"
    return [
        (name, median_ratio(turns, 'own', 'plain')),
        ('images/s: this package', median_of(turns, 'own')),
        ("images/s: MMPretrain's pipeline", median_of(turns, 'plain')),
    ]


def stacked(samples: list) -> dict:
    """MMEngine's collation, and the images as one tensor."""
    batch = pseudo_collate(samples)
    return dict(batch, inputs=torch.stack(batch['inputs']))


def pace(loader: torch.utils.data.DataLoader, count: int) -> Callable[[], float]:
    """A function that runs through a loader of so many images, and tells how many it loads a second."""

    def run() -> float:
        begin = time.process_time()
        for batch in loader:
            assert batch['inputs'].dtype == torch.uint8
        return count / (time.process_time() - begin)

    return run
