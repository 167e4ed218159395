"""Data sets whose mistakes are sentences, and loaders that end."""

import contextlib
import functools
from typing import Any, Dict, Iterator, Optional, Sequence

from mmengine.config import Config
from mmengine.runner import Runner

from edudistill_mm.datasets.class_lists import check_class_lists
from edudistill_mm.datasets.naming_pipeline import NamingPipeline
from edudistill_mm.datasets.samplers.grade_sampler import check_number_of_classes
from edudistill_mm.engine.preemption import shield_workers
from edudistill_mm.errors import ConfigurationError, reason_of

from .config import DATALOADERS, class_names, curriculum_of, is_education


def check_classes(
    cfg: Config,
    trained: Optional[Sequence[str]] = None,
    where: str = 'the checkpoint',
    loaders: Sequence[str] = DATALOADERS,
) -> None:
    """See that a class has one number in all data sets of a config, as far as they name classes.

    A data set whose names cannot be read is passed over: what needs it says what is wrong with it.

    Args:
        cfg (Config): The config.
        trained (Sequence[str], optional): The names of the classes, by number, to compare all data
            sets with. Defaults to None: those of the first data set, as a rule the training's.
        where (str): What has these names, for the error message. Defaults to 'the checkpoint'.
        loaders (Sequence[str]): Whose data sets to compare. Defaults to those of training,
            validation and testing.

    Raises:
        ConfigurationError: If a class has another number in one of them; it is named. If the
            curriculum has another number of classes than the training data.
    """
    read: Dict[str, Optional[Sequence[str]]] = {}
    for loader in loaders:
        dataset = (cfg.get(loader) or {}).get('dataset')
        if not isinstance(dataset, dict):
            continue
        # The data sets of validation and testing are the same more often than not.
        text = repr(dataset)
        if text not in read:
            try:
                read[text] = class_names(dataset)
            except Exception:  # data sets fail in all ways
                read[text] = None
        names = read[text]
        check_class_lists(trained, where, names, f'{loader}.dataset')
        if trained is None:
            trained, where = names, f'{loader}.dataset'
    # After the lists, which name the class.
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    if 'train_dataloader' in loaders and isinstance(dataset, dict) and is_education(cfg):
        check_number_of_classes(read[repr(dataset)], curriculum_of(cfg))


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


@contextlib.contextmanager
def clear_annotation_errors(loader: Any) -> Iterator[None]:
    """Say what MMEngine and MMPretrain mean where they fail on annotations without a message.

    Args:
        loader (dict): Config of the data loader that is built.

    Raises:
        ConfigurationError: Instead of such an error; others are passed on.
    """
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
    for inner in [getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', ())]:
        if inner is not None:
            name_samples(inner)
    if callable(getattr(dataset, 'pipeline', None)):
        dataset.pipeline = NamingPipeline(dataset.pipeline, type(dataset).__name__)


def _name(dataloader: Any) -> str:
    """What a loader's config says of its data set."""
    dataset = dataloader.get('dataset') if isinstance(dataloader, dict) else None
    if not isinstance(dataset, dict):
        return 'a data set'
    places = [f'{key}="{dataset[key]}"' for key in ('data_root', 'ann_file') if dataset.get(key)]
    return ' '.join([str(dataset.get('type')), *places])
