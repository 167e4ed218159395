"""The data sets that a config names."""

import copy
import inspect
import os.path as osp
from collections.abc import Sequence
from typing import Any

from mmengine.registry import (
    DATASETS,
    DefaultScope,
)
from mmpretrain.datasets import CustomDataset
from mmpretrain.datasets.custom import find_folders

from edudistill_mm.config.parts import innermost
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.distributed import broadcast_from_main
from edudistill_mm.errors import ConfigurationError, reason_of
from edudistill_mm.type_name import type_name

DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def check_data(run: RunConfig) -> None:
    """See that the data sets are there; download those that can be downloaded.

    Args:
        run (RunConfig): The config.

    Raises:
        ConfigurationError: If a data set is neither there nor to be had.
    """
    for loader in DATALOADERS:
        dataset = innermost(run.cfg.get(loader))
        root = (dataset or {}).get(root_key(dataset))
        if not root or '://' in root:
            continue
        where = f'{loader}.dataset: the data set {type_name(dataset)}'
        hint = 'name the folder where it is by --cfg-options data_root=FOLDER'
        cls = dataset_class(dataset)
        downloads = (
            getattr(cls, 'url', None)
            and dataset.get('download', True)
            and 'download' in inspect.signature(cls).parameters
        )
        if not downloads:
            if hasattr(cls, 'source'):
                # Those of this package look for their folders and say where to get them.
                build_dataset(dict(dataset, lazy_init=True))
            elif not osp.isdir(root):
                raise ConfigurationError(
                    f'{where} is not in "{root}": there is no such folder; {hint}'
                )
        elif broadcast_from_main(not _is_complete(root, cls)):
            try:
                # In all processes: the first downloads, and the others wait for it in there.
                build_dataset(dataset)
            except (OSError, RuntimeError, AssertionError, EOFError) as error:
                raise ConfigurationError(
                    f'{where} is not in "{root}" and cannot be downloaded from {cls.url} '
                    f'({reason_of(error)}); {hint}'
                ) from error


def build_dataset(dataset: dict) -> Any:
    """Build a data set as the runner does."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(copy.deepcopy(dataset))


def class_names(dataset: dict) -> Sequence[str] | None:
    """Names of the classes of a data set's config; the samples are read only if they are needed."""
    parameters = inspect.signature(dataset_class(dataset)).parameters.values()
    lazy = any(p.name == 'lazy_init' or p.kind is p.VAR_KEYWORD for p in parameters)
    if not lazy and isinstance(dataset.get('dataset'), dict):
        # A wrapper that adds something to each sample, such as MMRazor's CRDDataset.
        return class_names(dataset['dataset'])
    try:
        built = build_dataset({**dataset, 'lazy_init': True} if lazy else dataset)
        names = getattr(built, 'metainfo', {}).get('classes')
        if names is None and isinstance(built, CustomDataset) and not built.ann_file:
            # Its folders are its classes: there is no need to look for the files in them.
            names = find_folders(built.img_prefix)[0] if built.with_label else None
        elif names is None and hasattr(built, 'full_init'):
            built.full_init()
            names = getattr(built, 'metainfo', {}).get('classes')
    except ConfigurationError:
        raise
    except (OSError, RuntimeError, AssertionError, TypeError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f'num_classes="auto" is counted in the data set {type_name(dataset)}, which cannot be read: '
            f'{reason_of(error)}'
        ) from error
    return names


def _is_complete(root: str, cls: type) -> bool:
    """Whether the folder into which a data set unpacks itself is there."""
    return osp.isdir(osp.join(root, getattr(cls, 'base_folder', '')))


def dataset_class(dataset: dict) -> Any:
    """The class of a data set's config."""
    cls = dataset['type']
    if isinstance(cls, str):
        with DATASETS.switch_scope_and_registry(dataset.get('_scope_', 'mmpretrain')) as registry:
            cls = registry.get(cls)
    if cls is None:
        raise ConfigurationError(f'the data set type "{dataset["type"]}" is not registered')
    return cls


def root_key(dataset: dict | None) -> str | None:
    """The key that holds a data set's folder: ``data_prefix`` in configs written for mmcls."""
    if dataset is None:
        return None
    if 'data_root' in dataset:
        return 'data_root'
    return 'data_prefix' if isinstance(dataset.get('data_prefix'), str) else None
