"""Early stopping ends a grade, and in the last grade the run."""

import copy
import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from runs import scalars, school_config, train

from edudistill_mm.engine.early_ends import JUMP

# Which validation is the last of its grade does not depend on what is learnt: nothing is an
# improvement after the first.
STOP = dict(type='EarlyStoppingHook', monitor='seen/top1', patience=1, min_delta=200)
EPOCHS = (4, 3, 4)  # of 2, 4 and 6 batches; stopped after 2, 2 and 2
TRAINED = [1, 2, 5, 6, 8, 9]
ITERATIONS = (6, 5, 8)  # stopped after 4, 4 and 3
SCHEDULES = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=3),
    dict(type='CosineRestartLR', periods=[4, 3, 4], restart_weights=[1, 1, 1], eta_min=0.001),
    dict(type='MultiStepLR', milestones=[3, 5, 9], gamma=0.3),
    dict(type='LinearMomentum', start_factor=0.5, begin=0, end=9),
]
WARNING = 'EarlyStoppingHook.monitor is "accuracy/top1", for which classes that are not taught yet'


@HOOKS.register_module(force=True)
class Recorder(Hook):
    """Keeps the rates of each step, the steps of the optimizer and the state of early stopping."""

    priority = 'LOWEST'

    def __init__(self):
        self.rates, self.epochs, self.updates, self.waits = {}, [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        group = runner.optim_wrapper.param_groups[0]
        self.rates[runner.iter] = (group['lr'], group['momentum'])
        self.epochs.append(runner.epoch + 1)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.optim_wrapper.should_update():
            self.updates.append(len(self.rates))

    def after_val_epoch(self, runner, metrics=None):
        self.waits += [h.wait_count for h in runner.hooks if hasattr(h, 'wait_count')]


def early(folder, stop=STOP, by_epoch=True, convert=True):
    """Config of a run without teachers whose grades early stopping ends."""
    config = school_config(folder)
    for key in ('teachers', 'distiller'):
        config.model.pop(key)
    unit = 'epochs' if by_epoch else 'iters'
    for grade, length in zip(config.model.curriculum.grades, EPOCHS if by_epoch else ITERATIONS):
        for key in ('teachers', 'epochs'):
            grade.pop(key)
        grade[unit] = length
    if by_epoch:
        config.train_cfg = dict(by_epoch=True, max_epochs=sum(EPOCHS), val_interval=1)
    else:
        config.train_cfg = dict(by_epoch=False, max_iters=sum(ITERATIONS), val_interval=2)
        config.log_processor = dict(by_epoch=False)
    config.param_scheduler = [
        dict(schedule, by_epoch=by_epoch, convert_to_iter_based=by_epoch and convert)
        for schedule in copy.deepcopy(SCHEDULES)
    ]
    config.default_hooks.checkpoint.update(save_best=None, interval=8, by_epoch=by_epoch)
    config.default_hooks.logger.log_metric_by_epoch = by_epoch
    config.custom_hooks += [*([stop] if stop else []), dict(type='Recorder')]
    return config


def recorder(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, Recorder))


def log_of(runner):
    return Path(runner.log_dir, f'{runner.timestamp}.log').read_text()


@pytest.fixture(scope='module')
def stopped(tmp_path_factory):
    """A run that counts epochs, each of whose grades early stopping has ended."""
    config = early(tmp_path_factory.mktemp('stopped'))
    return config, train(config)


def test_a_stop_ends_the_grade_and_in_the_last_one_the_run(stopped):
    config, runner = stopped
    steps, validations = scalars(config.work_dir)
    assert sorted({row['epoch'] for row in steps}) == TRAINED
    assert [row['grade'] for row in steps] == [1] * 4 + [2] * 8 + [3] * 12
    assert [row['step'] for row in validations] == TRAINED
    # 2 epochs of 2 batches and 1 of 4 are left out.
    assert [row['step'] for row in steps] == [*range(1, 5), *range(9, 17), *range(21, 33)]
    assert (runner.epoch, runner.iter) == (9, 32)


def test_log_scalars_and_checkpoint_tell_of_the_jump(stopped):
    config, runner = stopped
    log = log_of(runner)
    for words in (
        'Early stopping ends grade 1 of 3 "low" after 2 of its 4 epochs: the run goes on with epoch 5',
        'Early stopping ends grade 2 of 3 "mid" after 2 of its 3 epochs: the run goes on with epoch 8',
        'Early stopping ends grade 3 of 3 "high" after 2 of its 4 epochs: this was the last grade',
    ):
        assert log.count(words) == 1, words
    assert WARNING not in log
    file = Path(runner.log_dir, 'vis_data', 'scalars.json')
    rows = [json.loads(line) for line in file.read_text().splitlines() if JUMP in line]
    assert [(row['step'], row[JUMP]) for row in rows] == [(2, 4), (6, 7), (9, 11)]
    education = torch.load(f'{config.work_dir}/epoch_8.pth')['meta']['education']
    assert education['early_ends']['at'] == dict(low=2, mid=6) and education['grade'] == 'high'


@pytest.mark.parametrize(
    'by_epoch, convert',
    [(True, True), pytest.param(True, False, marks=pytest.mark.slow), (False, False)],
)
def test_schedules_are_where_they_would_be_without_the_jump(tmp_path, by_epoch, convert):
    found = []
    for number, stop in enumerate((STOP, None)):
        folder = tmp_path / str(number)
        folder.mkdir()
        config = early(folder, stop, by_epoch, convert)
        config.experiment_name = f'{tmp_path.name}_{number}'
        found.append(recorder(train(config)).rates)
    stopped, whole = found
    assert stopped == {step: whole[step] for step in stopped}
    assert len(set(stopped.values())) > 5 and len(stopped) < len(whole)


def test_iterations_jump_and_the_data_with_them(tmp_path):
    config = early(tmp_path, by_epoch=False)
    runner = train(config)
    steps, validations = scalars(config.work_dir)
    assert [row['step'] for row in steps] == [1, 2, 3, 4, 7, 8, 9, 10, 12, 13, 14]
    # Were the data still those of the first grade, the sampler would give two classes.
    assert [row['grade'] for row in steps] == [1] * 4 + [2] * 4 + [3] * 3
    assert [row['step'] for row in validations] == [2, 4, 8, 10, 12, 14] and runner.iter == 14


def test_early_stopping_begins_anew_with_each_grade(tmp_path):
    # No grade is long enough for four validations without an improvement; the run is. After three
    # the first and the last grade are at their end.
    runner = train(early(tmp_path, dict(STOP, patience=3)))
    assert recorder(runner).waits == [0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3]
    assert runner.epoch == 11 and 'Early stopping' not in log_of(runner)


def test_a_stop_of_other_origin_ends_the_run_where_it_is(tmp_path):
    config = early(tmp_path, dict(type='EndAfterHook', epoch=5))
    config.default_hooks.checkpoint.interval = 3
    runner = train(config)
    assert runner.epoch == 5 and 'Early stopping' not in log_of(runner)
    # Its last state is saved, as that of a run that was not stopped.
    last = torch.load(Path(config.work_dir, 'last_checkpoint').read_text())
    assert last['meta']['epoch'] == 5 and last['meta']['education']['grade'] == 'mid'
    state = runner.model.cpu().state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in last['state_dict'].items())
    names = sorted(path.name for path in Path(config.work_dir).glob('*.pth'))
    assert names == ['epoch_3.pth', 'epoch_5.pth']


def test_accumulated_gradients_are_neither_lost_nor_doubled(tmp_path):
    config = early(tmp_path)
    config.optim_wrapper.accumulative_counts = 5
    # 24 batches are trained, 4 of them and then 8 before a jump.
    assert recorder(train(config)).updates == [5, 10, 15, 20]


def test_a_metric_that_unseen_classes_hold_down_ends_grades_with_a_warning(tmp_path):
    runner = train(early(tmp_path, dict(STOP, monitor='accuracy/top1')))
    assert log_of(runner).count(WARNING) == 1
    assert sorted(set(recorder(runner).epochs)) == TRAINED
