"""Reports of single runs, trained for real in this process."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from runs import school_config, train

from edudistill_mm.comparison.report import report
from edudistill_mm.errors import ConfigurationError


@HOOKS.register_module(force=True)
class StopAfter(Hook):
    """Ends the process after an epoch, before its checkpoint."""

    priority = 'HIGHEST'

    def __init__(self, epoch):
        self.epoch = epoch

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.epoch:
            raise KeyboardInterrupt


def read(path):
    return Path(path).read_text(), json.loads(Path(path).with_suffix('.json').read_text())['rows'][
        0
    ]


@pytest.fixture(scope='module')
def interrupted(tmp_path_factory):
    """A run of three grades that was cut in its fourth epoch, and its config."""
    folder = tmp_path_factory.mktemp('school')
    config = school_config(folder)
    config.custom_hooks.append(dict(type='StopAfter', epoch=4))
    with pytest.raises(KeyboardInterrupt):
        train(config)
    return folder, config


def test_a_run_that_is_not_finished_is_reported_as_far_as_it_is(interrupted, tmp_path):
    folder, _ = interrupted
    text, row = read(report(str(folder / 'run'), str(tmp_path)))
    assert list(row['runs']['0']['validations']) == ['1', '2', '3']
    assert not row['finished']
    assert 'the figures are those of epoch 3 of 7' in text
    assert f'with PyTorch {torch.__version__}.' in text
    low, mid, high = row['by_grade']
    assert low['group low'] is not None and low['group mid'] is None
    assert mid['group mid'] is not None and high['group low'] is None
    # Images of the seen classes: 2 epochs of 16, 2 of 32, 3 of 48.
    assert row['cost']['image_passes'] == 2 * 16 + 2 * 32 + 3 * 48


@pytest.mark.slow
def test_a_resumed_run_is_one_run_with_all_its_sessions(interrupted, tmp_path):
    folder, config = interrupted
    shutil.copytree(folder / 'run', tmp_path / 'run')
    (tmp_path / 'run' / 'last_checkpoint').write_text(str(tmp_path / 'run' / 'epoch_3.pth'))
    config = config.copy()
    config.custom_hooks = config.custom_hooks[:-1]
    config.work_dir, config.resume = str(tmp_path / 'run'), True
    config.experiment_name = 'resumed_for_report'
    train(config)

    text, row = read(report(str(tmp_path / 'run')))
    assert len(list((tmp_path / 'run').glob('*/vis_data/scalars.json'))) == 2
    assert list(map(int, row['runs']['0']['validations'])) == [1, 2, 3, 4, 5, 6, 7]
    assert row['finished'] and row['remarks'] == []
    # The names, classes and hashes are those that the checkpoint holds.
    digests = re.findall(r'Teacher (\w+): 2 classes, `\S+`, sha256 ([0-9a-f]{64})', text)
    assert [name for name, _ in digests] == ['low', 'mid', 'high']
    # A plot of everything but accuracy against cost, which needs two rows.
    plots = {path.name for path in (tmp_path / 'run' / 'report' / 'plots').iterdir()}
    assert plots == {
        f'{name}.{suffix}'
        for name in ('accuracy', 'class_groups', 'grades_by_groups')
        for suffix in ('pdf', 'svg', 'png')
    }
    page = (tmp_path / 'run' / 'report' / 'report.html').read_text()
    assert page.count('<img src="data:image/svg+xml;base64,') == 3


# On another device another epoch may be the best, and its checkpoint the last.
@pytest.mark.cpu
def test_the_checkpoint_tells_the_results_of_grades_that_the_logs_lack(interrupted, tmp_path):
    folder, _ = interrupted
    before = read(report(str(folder / 'run'), str(tmp_path / 'before')))[1]
    shutil.copytree(folder / 'run', tmp_path / 'run')
    for file in (tmp_path / 'run').glob('*/vis_data/scalars.json'):
        file.unlink()
    after = read(report(str(tmp_path / 'run'), str(tmp_path / 'after')))[1]
    assert list(after['runs']['0']['validations']) == ['2', '3']
    assert after['by_grade'] == before['by_grade']


def test_a_test_in_the_work_dir_is_no_part_of_the_run(interrupted, tmp_path):
    """The README's first command tests the exported student where it was trained."""
    folder, _ = interrupted
    shutil.copytree(folder / 'run', tmp_path / 'run')
    later = tmp_path / 'run' / '99991231_235959' / 'vis_data'
    later.mkdir(parents=True)
    (later / 'config.py').write_text("model = dict(type='ImageClassifier')\ntrain_cfg = None\n")
    text, row = read(report(str(tmp_path / 'run'), str(tmp_path / 'report')))
    assert list(row['runs']['0']['validations']) == ['1', '2', '3']
    shutil.rmtree(tmp_path / 'run')
    later.mkdir(parents=True)
    (later / 'config.py').write_text('train_cfg = None\n')
    with pytest.raises(ConfigurationError, match='is no work dir of a training') as error:
        report(str(tmp_path / 'run'))
    assert '\n' not in str(error.value)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match='is no work dir of a training'):
        report(str(tmp_path))


@pytest.mark.slow
def test_a_grade_that_early_stopping_ended_costs_what_it_has_trained(tmp_path):
    config = school_config(tmp_path)
    # Stopped after 1 of 2 epochs, 1 of 2 and 1 of 3.
    config.custom_hooks.append(
        dict(type='EarlyStoppingHook', monitor='seen/top1', stopping_threshold=-1)
    )
    train(config)
    text, row = read(report(str(tmp_path / 'run')))
    assert row['cost']['image_passes'] == 16 + 32 + 48
    assert row['finished'] and list(row['runs']['0']['jumps'].items()) == [
        ('1', 2),
        ('3', 4),
        ('5', 7),
    ]
    assert (
        'run: early stopping has ended low after 1 of 2, mid after 1 of 2, high after 1 of 3 epochs; '
        'the costs are those of the training so shortened.'
    ) in text
    before = row['by_grade']
    for file in (tmp_path / 'run').glob('*/vis_data/scalars.json'):
        file.unlink()
    # The checkpoint knows it as well.
    row = read(report(str(tmp_path / 'run')))[1]
    assert row['cost']['image_passes'] == 16 + 32 + 48 and row['finished']
    assert list(row['runs']['0']['validations']) == ['1', '3', '5'] and row['by_grade'] == before
