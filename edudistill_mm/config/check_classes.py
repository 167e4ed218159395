"""One number for a class in all data sets of a config."""

from collections.abc import Sequence

from edudistill_mm.config.data import DATALOADERS, class_names
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.datasets.class_lists import check_class_lists
from edudistill_mm.datasets.samplers.grade_sampler import check_number_of_classes
from edudistill_mm.errors import ConfigurationError


def check_classes(
    run: RunConfig,
    trained: Sequence[str] | None = None,
    where: str = 'the checkpoint',
    loaders: Sequence[str] = DATALOADERS,
) -> None:
    """See that a class has one number in all data sets of a config, as far as they name classes.

    A data set whose names cannot be read is passed over: what needs it says what is wrong with it.

    Args:
        run (RunConfig): The config.
        trained (Sequence[str], optional): The names of the classes, by number, to compare all data
            sets with. Defaults to None: those of the first data set, as a rule the training's.
        where (str): What has these names, for the error message. Defaults to 'the checkpoint'.
        loaders (Sequence[str]): Whose data sets to compare. Defaults to those of training,
            validation and testing.

    Raises:
        ConfigurationError: If a class has another number in one of them; it is named. If the
            curriculum has another number of classes than the training data, or a classifier fewer.
    """
    read: dict[str, Sequence[str] | None] = {}
    for loader in loaders:
        dataset = (run.cfg.get(loader) or {}).get('dataset')
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
    dataset = (run.cfg.get('train_dataloader') or {}).get('dataset')
    if 'train_dataloader' not in loaders or not isinstance(dataset, dict):
        return
    names = read[repr(dataset)]
    if run.is_education:
        check_number_of_classes(names, run.curriculum)
        return
    outputs = (run.cfg.model.get('head') or {}).get('num_classes')
    if names is not None and isinstance(outputs, int) and outputs < len(names):
        raise ConfigurationError(
            f'model.head.num_classes is {outputs}, but train_dataloader.dataset has {len(names)} classes; '
            f'give {len(names)}, or "auto"'
        )
