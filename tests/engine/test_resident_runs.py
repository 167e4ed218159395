"""Runs whose images are resident."""

import pytest
from runs import scalars, school_config

from edudistill_mm.engine import EducationRunner


def results(config, tmp_path, name, **sampler):
    """The accuracies of all validations."""
    config = config.copy()
    config.val_dataloader.update(sampler=dict(type='DefaultSampler', **sampler))
    config.work_dir = str(tmp_path / name)
    config.experiment_name = f'{tmp_path.name}_{name}'
    runner = EducationRunner.from_completed_cfg(config)
    runner.train()
    assert runner.train_dataloader.dataset.training
    assert not runner.val_dataloader.dataset.training
    return [row['seen/top1'] for row in scalars(config.work_dir)[1]]


@pytest.mark.parametrize(
    'sampler', [dict(shuffle=True), pytest.param(dict(), marks=pytest.mark.slow)], ids=str
)
def test_a_validation_that_shuffles_finds_what_one_in_order_does(sampler, tmp_path):
    config = school_config(tmp_path)
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.resident = True
        loader.pop('collate_fn')
    config.val_evaluator = [dict(type='GradeAccuracy')]
    config.default_hooks.checkpoint = dict(type='CheckpointHook', interval=-1)
    in_order = results(config, tmp_path, 'in_order', shuffle=False)
    assert len(in_order) == 7 and max(in_order) > 30
    assert results(config, tmp_path, 'shuffled', **sampler) == in_order
