"""Validation on a share of the training images, which is then held out of the training."""

import copy

from mmengine.config import Config

from edudistill_mm.config.parts import innermost
from edudistill_mm.datasets.hold_out import check_share
from edudistill_mm.errors import ConfigurationError
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
        if not isinstance(innermost(loader), dict):
            raise ConfigurationError(
                f'hold_out splits the training images for training and validation, but there is no '
                f'{key}.dataset'
            )
    training = loaders['train_dataloader'].dataset
    of_validation = innermost(loaders['val_dataloader'])
    for key, part in (('train_dataloader', 'train'), ('val_dataloader', 'held_out')):
        loader = copy.deepcopy(loaders[key])
        loader.dataset = dict(
            type='HoldOut', part=part, **options, dataset=copy.deepcopy(training)
        )
        if part == 'held_out' and 'pipeline' in of_validation:
            innermost(loader)['pipeline'] = copy.deepcopy(of_validation.pipeline)
        if part == 'train' or validate:
            cfg[key] = loader
    of_teachers = (cfg.get('teacher_training') or {}).get('train_dataloader') or {}
    if 'dataset' in of_teachers:
        # It changes the data set that is now inside.
        of_teachers['dataset'] = dict(dataset=of_teachers['dataset'])
    if isinstance(cfg.get('dataset_name'), str):
        cfg.dataset_name += '_without_{share}_{seed}'.format(**options)
    cfg.pop('hold_out')
