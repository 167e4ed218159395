"""How much of the data an epoch is."""

import torch

from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.stand_in import build_for_counting
from edudistill_mm.datasets.samplers.grade_sampler import labels_of


def epoch_size(loader: dict, images: int, by_epoch: bool) -> tuple[int, int]:
    """Images and batches of an epoch, or of an iteration.

    Args:
        loader (dict): Config of the data loader of training.
        images (int): Number of images that are taught.
        by_epoch (bool): Whether an epoch is meant.
    """
    batch_size = loader['batch_size']
    if not by_epoch:
        return batch_size, 1
    if loader.get('drop_last', False):
        return images // batch_size * batch_size, images // batch_size
    return images, -(-images // batch_size)


def batches_of_grades(run: RunConfig) -> list[int]:
    """Batches of an epoch in each grade of a config, or of its only stage.

    Args:
        run (RunConfig): As for :func:`training_cost`, which counts epochs.
    """
    loader = run.cfg.train_dataloader
    dataset = build_for_counting(loader.dataset)
    if not run.is_education:
        return [epoch_size(loader, len(dataset), True)[1]]
    labels = labels_of(dataset)
    return [
        epoch_size(loader, int(torch.isin(labels, torch.tensor(grade.seen)).sum()), True)[1]
        for grade in run.curriculum.grades
    ]
