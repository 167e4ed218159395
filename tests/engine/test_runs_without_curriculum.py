"""What plain trainings of MMPretrain leave behind."""

import copy
import json
from pathlib import Path

import pytest
from mmengine.config import Config
from networks import resnet
from runs import school_config, train

from edudistill_mm.comparison.run_record import RunRecord
from edudistill_mm.config.complete import complete_config
from edudistill_mm.engine import EducationRunner

GROUPS = dict(first=[0, 1], second=[2, 3], third=[4, 5])


@pytest.fixture
def plain(tmp_path):
    """Config of a plain training of six epochs, whose groups change much from one to the next."""
    config = school_config(tmp_path)
    config.model = resnet(6)
    config.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    config.val_evaluator[1].groups = GROUPS
    config.train_cfg.max_epochs = 6
    config.optim_wrapper.optimizer.lr = 0.3
    config.custom_hooks = []
    return config


def again(config, **changes):
    config = copy.deepcopy(config)
    config.update(changes)
    return config


def test_early_stopping_ends_a_run_that_counts_as_finished(plain):
    plain.custom_hooks.append(
        dict(type='EarlyStoppingHook', monitor='accuracy/top1', patience=1, min_delta=200)
    )
    train(plain)
    record = RunRecord.read(plain.work_dir)
    assert (record.progress, record.jumps, record.spent([6])) == (2, {2: 6}, [2])
    assert record.end(6) == 2 and sorted(record.accuracy) == [1, 2]


def test_a_run_that_is_not_stopped_ends_at_its_length(plain):
    train(plain)
    record = RunRecord.read(plain.work_dir)
    assert (record.end(6), record.jumps) == (6, {})


def test_a_resumed_run_measures_forgetting_by_the_validations_before(plain):
    train(plain)
    whole = RunRecord.read(plain.work_dir).validations
    halves = again(plain, work_dir=f'{plain.work_dir}_halves', experiment_name='first half')
    halves.custom_hooks = [dict(type='EndAfterHook', epoch=4)]
    train(halves)
    rest = again(plain, work_dir=halves.work_dir, experiment_name='second half')
    rest.load_from, rest.resume = f'{halves.work_dir}/epoch_4.pth', True
    train(rest)
    found = RunRecord.read(halves.work_dir).validations
    # The checkpoint is older than the validation after its epoch, whose groups cannot count.
    best = {name: max(whole[at][f'seen/top1_{name}'] for at in (1, 2, 3, 5)) for name in GROUPS}
    drops = [best[name] - found[5][f'seen/top1_{name}'] for name in ('first', 'second')]
    assert found[5]['seen/forgetting'] == pytest.approx(sum(drops) / 2) and sum(drops) > 0


def test_a_run_of_iterations_logs_and_saves_by_them(plain):
    plain.train_cfg = dict(by_epoch=False, max_iters=12, val_interval=4)
    plain.val_evaluator = [dict(type='Accuracy')]
    EducationRunner.from_cfg(plain).train()
    record = RunRecord.read(plain.work_dir, by_epoch=False)
    assert (sorted(record.accuracy), record.progress) == ([4, 8, 12], 12)
    assert sorted(file.name for file in Path(plain.work_dir).glob('iter_*.pth')) == [
        f'iter_{at}.pth' for at in (12, 4, 8)
    ]
    (log,) = Path(plain.work_dir).glob('*/*.log')
    assert 'Iter(train)' in log.read_text() and 'Epoch(' not in log.read_text()


def test_what_a_config_of_iterations_says_of_logs_and_checkpoints_stays():
    hooks = dict(
        logger=dict(type='LoggerHook', log_metric_by_epoch=True),
        checkpoint=dict(type='CheckpointHook', interval=500),
    )
    cfg = dict(model=resnet(6), train_cfg=dict(by_epoch=False, max_iters=12), default_hooks=hooks)
    made = complete_config(Config(copy.deepcopy(cfg))).cfg
    assert made.default_hooks.logger.log_metric_by_epoch is True
    assert made.default_hooks.checkpoint == dict(hooks['checkpoint'], by_epoch=False)
    assert complete_config(copy.deepcopy(made)).cfg.to_dict() == made.to_dict()
    hooks['checkpoint'] = None
    assert complete_config(Config(copy.deepcopy(cfg))).cfg.default_hooks.checkpoint is None
    by_epoch = dict(cfg, train_cfg=dict(by_epoch=True, max_epochs=3))
    untouched = complete_config(Config(copy.deepcopy(by_epoch))).cfg
    assert (
        untouched.default_hooks == hooks and json.dumps(untouched.get('log_processor')) == 'null'
    )
