"""Validation on a share of the training images, which is then held out of the training."""

import copy
from typing import Any

from mmengine.config import Config

from edudistill_mm.checkpoint.log_once import log_once
from edudistill_mm.config.parts import innermost
from edudistill_mm.datasets.hold_out import check_share
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.type_name import type_name
from edudistill_mm.validation.values import check_bool, check_keys

KEYS = ('share', 'seed', 'validate')


def hold_out(cfg: Config) -> None:
    """Put the ``hold_out`` of a config, which goes, into its data loaders, in place.

    ``hold_out=dict(share=0.1, seed=0)`` trains on nine tenths of each class of the training images
    and validates on the rest, by the pipeline of validation; see
    :class:`~edudistill_mm.datasets.HoldOut`. The test data stay. ``dataset_name`` gets share and
    seed added, so that teachers whose checkpoints are named by it are trained on the same images.
    With ``validate=False`` the validation data stay, too: what was chosen on the held-out images is
    so confirmed on those of the test, with the same training images and teachers.

    Raises:
        ConfigurationError: If a value is none of these, or a data loader is missing.
    """
    given = cfg.get('hold_out')
    if given is None:
        return
    check_keys(given, KEYS, 'hold_out')
    options = dict(share=given.get('share', 0.1), seed=given.get('seed', 0))
    check_share(**options, where='of hold_out')
    validate = given.get('validate', True)
    check_bool(validate, 'hold_out.validate')
    loaders = {key: cfg.get(key) for key in ('train_dataloader', 'val_dataloader')}
    for key, loader in loaders.items():
        if not isinstance(_what_is_split(loader), dict):
            raise ConfigurationError(
                f'hold_out splits the training images for training and validation, but there is no '
                f'{key}.dataset'
            )
    # The test data may be the same object.
    for key in loaders:
        cfg[key] = loaders[key] = copy.deepcopy(loaders[key])
    # Below wrappers that choose classes or fewer images, so that all who learn from a part of the
    # data set, its teachers among them, leave out the same.
    inner = _what_is_split(loaders['train_dataloader'])
    held, wrappers = copy.deepcopy(inner), _wrappers(loaders['train_dataloader'])
    _wrap(inner, part='train', **options)
    if validate:
        of_validation = _what_is_split(loaders['val_dataloader'])
        pipeline = innermost(loaders['val_dataloader']).get('pipeline')
        images = innermost(dict(dataset=held))
        if images.pop('pipeline', None) is not None and pipeline is None:
            raise ConfigurationError(
                'hold_out validates on training images by the pipeline of val_dataloader.dataset, which '
                'has none; with hold_out.validate=False the validation data stay as they are'
            )
        if pipeline is not None:
            images.pipeline = pipeline
        of_validation.clear()
        of_validation.update(held)
        _wrap(of_validation, part='held_out', **options)
    of_teachers = (cfg.get('teacher_training') or {}).get('train_dataloader') or {}
    _leave_out_for_teachers(of_teachers, wrappers, options)
    _warn_of_teachers(cfg)
    if isinstance(cfg.get('dataset_name'), str):
        cfg.dataset_name += '_without_{share}_{seed}'.format(**options)
    cfg.pop('hold_out')


def _what_is_split(loader: dict | None) -> Any:
    """The data set of a loader that is split, below wrappers.

    One that is itself a part of the images, as their rest is for the test, is not taken apart.
    """
    dataset: Any = (loader or {}).get('dataset')
    for _ in range(_wrappers(loader)):
        dataset = dataset['dataset']
    return dataset


def _wrappers(loader: dict | None) -> int:
    """How many wrappers there are around the data set that is split."""
    dataset, count = (loader or {}).get('dataset'), 0
    while (
        isinstance(dataset, dict)
        and type_name(dataset) != 'HoldOut'
        and isinstance(dataset.get('dataset'), dict)
    ):
        dataset, count = dataset['dataset'], count + 1
    return count


def _leave_out_for_teachers(loader: dict, wrappers: int, options: dict) -> None:
    """Let what ``teacher_training`` says of the training data leave out the same images, in place.

    Args:
        loader (dict): The ``train_dataloader`` of ``teacher_training``.
        wrappers (int): How many wrappers are around the data set that the run splits.
        options (dict): Share and seed of :class:`HoldOut`.
    """
    node, replaced = loader, loader.get('_delete_', False)
    for _ in range(wrappers + 1):
        if not isinstance(node.get('dataset'), dict):
            return
        above, node = node, node['dataset']
        replaced = replaced or node.get('_delete_', False)
        if replaced:
            # A data set of the teacher's own.
            delete = node.pop('_delete_', None)
            _wrap(_what_is_split(above), part='train', **options)
            if delete:
                node['_delete_'] = True
            return
    # It changes the data set that is now inside.
    above['dataset'] = dict(dataset=node)


def _wrap(dataset: dict, **options: Any) -> None:
    inside = copy.deepcopy(dataset)
    dataset.clear()
    dataset.update(type='HoldOut', **options, dataset=inside)


def _warn_of_teachers(cfg: Config) -> None:
    """Say which teachers may have learned from the images that are held out."""
    model = cfg.get('model') or {}
    given = [('teacher', model.get('teacher_ckpt'))]
    given += [(one.get('name'), one.get('ckpt')) for one in model.get('teachers') or ()]
    for name, ckpt in given:
        if isinstance(ckpt, str) and '{dataset}' not in ckpt:
            log_once(
                f'hold_out: the teacher "{name}" is read from "{ckpt}" and may have been trained on the '
                f'images that are held out; with {{dataset}} in its path it is trained without them'
            )
