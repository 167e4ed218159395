"""Data sets that say what is wrong with them."""

import contextlib
from collections.abc import Iterator
from typing import Any

from edudistill_mm.datasets.naming_pipeline import NamingPipeline
from edudistill_mm.datasets.unsliced import unsliced
from edudistill_mm.errors import ConfigurationError, reason_of


@contextlib.contextmanager
def clear_annotation_errors(loader: Any) -> Iterator[None]:
    """Explain failures of MMEngine and MMPretrain on the annotations of a data loader's config."""
    try:
        yield
    except ConfigurationError:
        raise
    except ValueError as error:
        reason, where = reason_of(error), f'the data set {_name(loader)} cannot be read'
        if reason == 'need at least one array to concatenate':
            raise ConfigurationError(f'{where}: it holds no sample') from error
        if reason.startswith(('not enough values to unpack', 'invalid literal for int()')):
            raise ConfigurationError(
                f'{where}: each line of ann_file must hold a path and the number of a class ({reason})'
            ) from error
        raise


def name_samples(dataset: Any) -> None:
    """Let a data set, and those that it wraps, name the samples that they cannot read."""
    dataset = unsliced(dataset)
    for inner in [getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', ())]:
        if inner is not None:
            name_samples(inner)
    if callable(getattr(dataset, 'pipeline', None)):
        dataset.pipeline = NamingPipeline(dataset.pipeline, type(dataset).__name__)


def _name(dataloader: Any) -> str:
    dataset = dataloader.get('dataset') if isinstance(dataloader, dict) else None
    if not isinstance(dataset, dict):
        return 'a data set'
    places = [f'{key}="{dataset[key]}"' for key in ('data_root', 'ann_file') if dataset.get(key)]
    return ' '.join([str(dataset.get('type')), *places])
