"""How much of the data an epoch is."""

from typing import Any

import torch

from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.config.stand_in import build_for_counting
from edudistill_mm.datasets.samplers.grade_sampler import labels_of
from edudistill_mm.errors import ConfigurationError


def images_of(loader: dict, images: int) -> int:
    """How many of so many images of a data set a loader takes: ``num_batch_per_epoch`` cuts them."""
    batches = loader.get('num_batch_per_epoch')
    return images if batches is None else min(images, batches * loader['batch_size'])


def labels_in(loader: dict, dataset: Any) -> torch.Tensor:
    """The labels of the images that a loader takes of its data set, [N]."""
    labels = labels_of(dataset)
    return labels[: images_of(loader, len(labels))]


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


def check_batches(batches: int, images: int, batch_size: int, place: str) -> None:
    """Refuse an epoch without a batch, such as that of a grade.

    Raises:
        ConfigurationError: It names the place.
    """
    if batches == 0:
        raise ConfigurationError(
            f'train_dataloader.drop_last=True leaves {place} without a batch: it has {images} images, '
            f'batch_size is {batch_size}'
            if images
            else f'the training data leave {place} without an image'
        )


def batches_of_grades(run: RunConfig) -> list[int]:
    """Batches of an epoch in each grade of a config, or of its only stage.

    Args:
        run (RunConfig): As for :func:`training_cost`, which counts epochs.
    """
    loader = run.cfg.train_dataloader
    dataset = build_for_counting(loader)
    if not run.is_education:
        return [epoch_size(loader, images_of(loader, len(dataset)), True)[1]]
    labels = labels_in(loader, dataset)
    return [
        epoch_size(loader, int(torch.isin(labels, torch.tensor(grade.seen)).sum()), True)[1]
        for grade in run.curriculum.grades
    ]
