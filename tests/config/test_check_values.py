from pathlib import Path

import pytest

from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.load import load_config
from edudistill_mm.errors import ConfigurationError

CONFIG = str(Path(__file__).resolve().parents[2] / 'configs' / 'edu_kd_digits.py')


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        (
            'default_hooks.checkpoint.intervall',
            2,
            r'default_hooks.checkpoint has the unknown key "intervall" \(did you mean "interval"\?\)',
        ),
        (
            'default_hooks.checkpoint.backend_args',
            dict(backend='locall'),
            r"checkpoint.backend_args.backend must be one of .*, but got 'locall' \(did you mean",
        ),
        (
            'default_hooks.checkpoint.out_dir',
            5,
            'default_hooks.checkpoint.out_dir must be .*, but got 5',
        ),
        (
            'default_hooks.logger.priority',
            'HIGHST',
            r"default_hooks.logger.priority must be one of HIGHEST, .* got 'HIGHST' \(did you mean",
        ),
        (
            'default_hooks.safe_checkpoint',
            None,
            'default_hooks.safe_checkpoint is None, but MMEngine leaves out only .*logger',
        ),
        (
            'auto_scale_lr.base_batch_size',
            0,
            'auto_scale_lr.base_batch_size must be a positive integer, but got 0',
        ),
        ('env_cfg', None, 'env_cfg must be a dict, but got None'),
        (
            'env_cfg.cudnn_benchmrk',
            True,
            r'env_cfg has the unknown key "cudnn_benchmrk" \(did you mean "cudnn_benchmark"\?\)',
        ),
        (
            'default_scope',
            'mmpretrian',
            r"default_scope must be the name of a package .*'mmpretrian' \(did you mean \"mmpretrain\"",
        ),
        ('default_scope', 5, 'default_scope must be the name of a package .* got 5'),
        (
            'optim_wrapper.paramwise_cfg',
            dict(norm_decay_mul=0),
            r'paramwise_cfg has the unknown key "norm_decay_mul" \(did you mean "norm_decay_mult"\?\)',
        ),
        (
            'train_dataloader.collate_fn',
            dict(type='default_colate'),
            r'train_dataloader.collate_fn.type: "default_colate" is not .* \(did you mean',
        ),
    ],
)
def test_a_mistake_that_a_run_would_ignore_or_end_at_is_found_first(key, value, message):
    with pytest.raises(ConfigurationError, match=message):
        load_config(CONFIG, {key: value})


@pytest.mark.parametrize('kind', ['Accuracy', 'GradeAccuracy'])
def test_accuracies_of_more_places_than_classes_are_refused_before_training(kind):
    run = load_config(CONFIG, {'val_evaluator': [dict(type=kind, topk=(1, 11))]})
    with pytest.raises(ConfigurationError, match=r'val_evaluator\[0\].topk is .*only 10 classes'):
        check_config(run)


@pytest.mark.parametrize(
    'options',
    [
        {'default_hooks.logger': None},
        {'default_hooks.checkpoint.priority': 'low'},
        {'default_hooks.checkpoint.out_dir': 'elsewhere'},
        {'default_hooks.checkpoint.backend_args': dict(backend='local')},
        {'train_dataloader.collate_fn': dict(type='pseudo_collate')},
        {'optim_wrapper.paramwise_cfg': dict(custom_keys={'head': dict(lr_mult=2)})},
        {'env_cfg.resource_limit': 8192},
    ],
)
def test_what_is_possible_passes(options):
    load_config(CONFIG, options)
