"""Data loaders whose config says ``resident``: their images lie on the training device."""

from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from edudistill_mm.config.data import DATALOADERS
from edudistill_mm.config.parts import innermost
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.curriculum import Curriculum
from edudistill_mm.datasets import ResidentDataset, whole_batch
from edudistill_mm.datasets.resident.split_pipeline import split_pipeline
from edudistill_mm.datasets.resident.views import MOST_VIEWS, Views
from edudistill_mm.errors import ConfigurationError, reason_of
from edudistill_mm.type_name import type_name
from edudistill_mm.validation.values import check_keys, check_positive

KEYS = ('views_per_image', 'device')
# Of processes that load, which resident data have no need of.
OF_WORKERS = ('num_workers', 'persistent_workers', 'prefetch_factor', 'pin_memory', 'collate_fn')
# What they do to samples is done to resident ones already.
COLLATE_FNS = ('default_collate', 'pseudo_collate', 'stacked_batch', 'whole_batch')


def resident_options(loader: Any, key: str) -> dict | None:
    """What a data loader's ``resident`` says, checked; None if its data are not resident."""
    given = (loader or {}).get('resident', False)
    if given is False or given is None:
        return None
    if given is True:
        return {}
    if not isinstance(given, dict):
        raise ConfigurationError(
            f'{key}.resident must be True, False or a dict with the keys {", ".join(KEYS)}, but got '
            f'{given!r}'
        )
    check_keys(given, KEYS, f'{key}.resident')
    if given.get('views_per_image') is not None:
        check_positive(given['views_per_image'], f'{key}.resident.views_per_image', MOST_VIEWS)
    if given.get('device') is not None:
        _check_device(given['device'], f'{key}.resident.device')
    return dict(given)


def _check_device(device: Any, key: str) -> None:
    try:
        torch.device(device if isinstance(device, str) else '')
    except RuntimeError as error:
        raise ConfigurationError(
            f'{key} must be a device of torch, such as "cuda:0" or "cpu", but got {device!r}'
        ) from error


def with_resident_data(loader: dict, training: bool = False) -> dict:
    """The config of a data loader as MMEngine knows it, its data set around resident data if asked.

    ``training``: see :class:`ResidentDataset`.
    """
    options = resident_options(loader, 'dataloader')
    loader = {key: value for key, value in loader.items() if key != 'resident'}
    if options is None:
        return loader
    dataset = dict(type=ResidentDataset, dataset=loader['dataset'], training=training, **options)
    return dict(
        {key: value for key, value in loader.items() if key not in OF_WORKERS},
        dataset=dataset,
        num_workers=0,
        collate_fn=dict(type=whole_batch),
    )


def count_views(loader: dict, dataset: Any) -> int | None:
    """The number of views of an image, counted without reading the images.

    Args:
        loader (dict): Config of the data loader of training.
        dataset (Any): Its data set, built without ``resident``, or a stand-in.

    Returns:
        int | None: None if the data are not resident, or their views cannot be counted.
    """
    options = resident_options(loader, 'train_dataloader')
    if options is None:
        return None
    fixed, makers, _ = split_pipeline(dataset.pipeline.transforms)
    sample = Compose(fixed)(dataset.get_data_info(0))
    height, width = np.shape(sample['img'])[:2]
    return Views.of_images(makers, (height, width), options.get('views_per_image')).count


def check_augmentation(curriculum: Curriculum, resident: bool, views: int | None) -> None:
    """Refuse an ``augmentation`` of a grade that the data cannot follow.

    Args:
        curriculum (Curriculum): The curriculum.
        resident (bool): Whether the training data are resident.
        views (int, optional): Their ``views_per_image``.

    Raises:
        ConfigurationError: If they are not, or if the views of an image are random ones.
    """
    for grade in curriculum.grades:
        key = f'curriculum.grades[{grade.index}].augmentation'
        if grade.augmentation != 1 and not resident:
            raise ConfigurationError(
                f'{key} is {grade.augmentation:g}, but other data than resident ones are augmented as '
                f'their pipeline says; set train_dataloader.resident=True, or leave {key} out'
            )
        if grade.augmentation != 1 and views is not None:
            raise ConfigurationError(
                f'{key} is {grade.augmentation:g}, but the {views} random views of '
                f'train_dataloader.resident.views_per_image have no neutral one among them; leave one of '
                f'the two out'
            )


def check_augmentation_of(run: RunConfig) -> None:
    """:func:`check_augmentation` of an education whose data have not been read."""
    loader = run.cfg.get('train_dataloader') or {}
    options = resident_options(loader, 'train_dataloader')
    if options is None and type_name(loader.get('dataset') or {}) == 'ResidentDataset':
        options = loader['dataset']
    views = (options or {}).get('views_per_image')
    check_augmentation(run.curriculum, options is not None, views)


def check_resident(run: RunConfig) -> None:
    """Refuse data sets and pipelines that cannot be resident, before anything is read.

    Raises:
        ConfigurationError: For the first of them.
    """
    for key in DATALOADERS:
        loader = run.cfg.get(key)
        if resident_options(loader, key) is None:
            continue
        collate = type_name(loader.get('collate_fn') or COLLATE_FNS[0])
        if collate not in COLLATE_FNS:
            raise ConfigurationError(
                f'{key}.collate_fn of type {collate} would not be called, as resident data come in '
                f'batches; set {key}.resident=False, or take one of {", ".join(COLLATE_FNS)}'
            )
        dataset = loader['dataset']
        while type_name(dataset) in ('ClassSubset', 'HoldOut'):
            dataset = dataset['dataset']
        if dataset is not innermost(loader):
            raise ConfigurationError(
                f'{key}.dataset of type {type_name(dataset)} cannot be resident; set {key}.resident=False'
            )
        if 'pipeline' not in dataset:
            continue  # it makes its own
        try:
            with DefaultScope.overwrite_default_scope('mmpretrain'):
                transforms = Compose(dataset['pipeline'] or []).transforms
        except (KeyError, TypeError, AssertionError, ValueError):
            continue  # errors in building the data set explain it better
        try:
            split_pipeline(transforms)
        except ConfigurationError as error:
            raise ConfigurationError(
                f'{key}.dataset.pipeline: {reason_of(error)}; or set {key}.resident=False'
            ) from error
