"""The number of classes of a run, taken from its data."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mmengine.config import Config

from edudistill_mm.config.data import class_names
from edudistill_mm.config.stand_in import stand_in
from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError

AUTO = 'auto'
NamesOf = Callable[[dict], Sequence[str] | None]


def fill_in_classes(cfg: Config, names_of: NamesOf = class_names) -> None:
    """Replace each ``num_classes='auto'`` of a config by the number that the data have.

    The head of a teacher gets as many outputs as the teacher has classes, everything else the
    number of classes of the data set. Without an ``'auto'`` no data are read.

    Args:
        cfg (Config): The config, changed in place.
        names_of (Callable): Gives the names of the classes of a data set's config, or None.
            Defaults to :func:`class_names`.

    Raises:
        ConfigurationError: If the data are not there or do not name their classes, or if the
            classes of a teacher cannot be found.
    """
    # The parts of the bases stay in a config beside the model that is made of them; they do not
    # count.
    if not any(_places([cfg.model, cfg.get('data_preprocessor')])):
        return
    count = _number_of_classes(cfg, names_of)
    curriculum = cfg.model.get('curriculum')
    if curriculum is not None:
        _fill(curriculum, count)
        teachers = cfg.model.get('teachers')
        teachers = teachers if isinstance(teachers, (list, tuple)) else []
        teachers = [teacher for teacher in teachers if isinstance(teacher, dict)]
        experts = [teacher for teacher in teachers if any(_places(teacher))]
        if experts:
            names = [teacher.get('name') for teacher in teachers]
            curriculum = Curriculum.from_cfg(curriculum, names)
        for teacher in experts:
            _fill(teacher, len(curriculum.classes_of(teacher.get('classes', 'all'))))
    _fill(cfg._cfg_dict, count)


def _places(node: Any) -> Iterator[dict]:
    """The dicts that hold ``num_classes='auto'``."""
    if isinstance(node, dict):
        if node.get('num_classes') == AUTO:
            yield node
        for value in node.values():
            yield from _places(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _places(value)


def _fill(node: Any, count: int) -> None:
    for place in list(_places(node)):
        place['num_classes'] = count


def _number_of_classes(cfg: Config, names_of: NamesOf) -> int:
    loader = cfg.get('train_dataloader') or cfg.get('test_dataloader') or {}
    if not isinstance(loader.get('dataset'), dict):
        raise ConfigurationError(
            'num_classes="auto" is counted in the training data, but there is no '
            'train_dataloader.dataset'
        )
    names = names_of(stand_in(loader['dataset']) or loader['dataset'])
    if names is None:
        raise ConfigurationError(
            f'num_classes="auto" needs a data set that names its classes, but '
            f'{loader["dataset"].get("type")} does not; give the number'
        )
    return len(names)
