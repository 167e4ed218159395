"""Data loaders whose mistakes are sentences."""

import functools
from typing import Any, Iterator

from mmengine.runner import Runner

from edudistill_mm.datasets.naming_pipeline import NamingPipeline
from edudistill_mm.errors import ConfigurationError, reason_of


def guard_data(runner: Runner) -> Runner:
    """Let whatever is wrong with a runner's data sets end in one sentence.

    Args:
        runner (Runner): A runner that has built no data loader yet.

    Returns:
        Runner: The same. A data set that cannot be built, and a sample that cannot be read later,
        raise a ConfigurationError that names the data set, or the sample and its file.
    """
    build = runner.build_dataloader

    @functools.wraps(build)
    def build_or_refuse(dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            loader = build(dataloader, *args, **kwargs)
        except ConfigurationError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f'the data loader of {_name(dataloader)} cannot be built: {_reason(error)}'
            ) from error
        for dataset in _datasets(loader.dataset):
            if callable(getattr(dataset, 'pipeline', None)):
                dataset.pipeline = NamingPipeline(dataset.pipeline, type(dataset).__name__)
        return loader

    runner.build_dataloader = build_or_refuse
    return runner


def _reason(error: Exception) -> str:
    """What MMEngine and MMPretrain say of data sets, or mean."""
    reason = reason_of(error)
    if reason == 'need at least one array to concatenate':
        return 'it holds no sample'
    if reason.startswith(('not enough values to unpack', 'invalid literal for int()')):
        return f'each line of ann_file must hold a path and the number of a class ({reason})'
    return reason


def _datasets(dataset: Any) -> Iterator[Any]:
    """A data set and those that it wraps."""
    yield dataset
    for inner in [getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', ())]:
        if inner is not None:
            yield from _datasets(inner)


def _name(dataloader: Any) -> str:
    """What a loader's config says of its data set."""
    dataset = dataloader.get('dataset') if isinstance(dataloader, dict) else None
    if not isinstance(dataset, dict):
        return 'a data set'
    places = [f'{key}="{dataset[key]}"' for key in ('data_root', 'ann_file') if dataset.get(key)]
    return ' '.join([str(dataset.get('type')), *places])
