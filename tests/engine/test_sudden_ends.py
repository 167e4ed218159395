"""What ends a command though no key of the config is wrong: no memory, no package, no permission."""

import re

import pytest
import torch
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.registry import HOOKS
from run_tool import run_tool
from runs import school_config

from edudistill_mm.apis.test import test as evaluate
from edudistill_mm.config import runtime_settings
from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError


@HOOKS.register_module(force=True)
class GreedyHook(Hook):
    """Asks, in the third iteration, for more memory than any machine has."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2:
            torch.empty(1 << 50)


@HOOKS.register_module(force=True)
class UnorderedHook(Hook):
    """Calls what torch cannot compute in a fixed order, not even on a CPU."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        torch.use_deterministic_algorithms(True)
        try:
            values, places = torch.nn.functional.max_pool2d(
                torch.rand(1, 1, 2, 2), 2, return_indices=True
            )
            torch.nn.functional.max_unpool2d(values, places, 2)
        finally:
            torch.use_deterministic_algorithms(False)


def write(tmp_path, **changes):
    """The config file of a short run, with other values."""
    config = school_config(tmp_path)
    config.merge_from_dict(changes)
    config.dump(str(tmp_path / 'config.py'))
    return str(tmp_path / 'config.py')


def ended(capsys, tool, *arguments):
    """Exit status and error lines of a command."""
    with pytest.raises(SystemExit) as end:
        run_tool(tool, arguments)
    text = capsys.readouterr().err
    assert 'Traceback' not in text, text
    return end.value.code, [line for line in text.splitlines() if line.startswith('error: ')]


def train_with(hook, tmp_path, capsys):
    """Exit status and error lines of a short run with one more hook."""
    hooks = [*school_config(tmp_path).custom_hooks, dict(type=hook)]
    arguments = ['--work-dir', str(tmp_path / 'run'), '--no-teacher-test']
    return ended(capsys, 'train', write(tmp_path, custom_hooks=hooks), *arguments)


def test_a_run_out_of_memory_says_what_to_make_smaller(tmp_path, capsys):
    status, lines = train_with('GreedyHook', tmp_path, capsys)
    assert status == 1 and len(lines) == 1
    for words in (
        'out of memory at iteration 3, grade "low"',
        'train_dataloader.batch_size (it is 8)',
        'optim_wrapper.accumulative_counts=2',
        '--resume',
    ):
        assert words in lines[0]
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()


def test_what_has_no_fixed_order_of_sums_is_named(tmp_path, capsys):
    status, lines = train_with('UnorderedHook', tmp_path, capsys)
    assert status == 1 and len(lines) == 1
    # What the operation is called differs between versions of torch.
    assert re.fullmatch(
        r'error: randomness\.deterministic=True cannot be kept: max_unpool\w+ of torch has no fixed order '
        r'of sums on this device; use randomness\.deterministic=False',
        lines[0],
    )


def test_a_log_without_its_package_is_refused_before_the_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runtime_settings, 'find_spec', lambda name: None)
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    path = write(tmp_path, **{'visualizer.vis_backends': backends})
    status, (line,) = ended(capsys, 'train', path, '--work-dir', str(tmp_path / 'run'))
    assert status == 2
    assert 'visualizer.vis_backends[1] of type TensorboardVisBackend' in line
    assert 'pip install tensorboard' in line


@pytest.mark.parametrize(
    'changes, words',
    [
        ({'randomness': 3}, 'randomness must be a dict, but got 3'),
        ({'randomness.sed': 3}, 'unknown key "sed" (did you mean "seed"?)'),
        ({'randomness.seed': -1}, 'randomness.seed must be an integer from 0'),
        ({'resume': 'epoch_1.pth'}, "resume must be True or False, but got 'epoch_1.pth'"),
        ({'load_from': 3}, 'load_from must be the path or URL of a checkpoint, but got 3'),
        ({'log_level': 'INFOS'}, 'log_level must be one of'),
        ({'env_cfg': dict(mp_cfg=dict(mp_start_method='frok'))}, '(did you mean "fork"?)'),
    ],
)
def test_settings_of_the_runner_are_checked_with_the_config(tmp_path, changes, words):
    config = school_config(tmp_path)
    for key, value in changes.items():
        if '.' in key:
            config.merge_from_dict({key: value})
        else:
            config[key] = value
    config.dump(str(tmp_path / 'config.py'))
    with pytest.raises(ConfigurationError) as error:
        load_config(str(tmp_path / 'config.py'))
    assert words in str(error.value)


@pytest.mark.slow
def test_hooks_that_prepare_a_training_are_left_out_of_a_test(tmp_path, capsys):
    config = school_config(tmp_path)
    config.test_dataloader, config.test_evaluator = config.val_dataloader, config.val_evaluator
    config.test_cfg = dict()
    config.train_cfg.max_epochs = 3
    config.model.curriculum.grades = [dict(name='low', epochs=3, fragments=3, classes='all')]
    for teacher in config.model.teachers:
        teacher.classes = list(range(2))
    config.dump(str(tmp_path / 'config.py'))
    run_tool(
        'train',
        [str(tmp_path / 'config.py'), '--work-dir', str(tmp_path / 'run'), '--no-teacher-test'],
    )
    student = str(tmp_path / 'run' / 'student.pth')
    plain = evaluate(load_config(str(tmp_path / 'config.py'), None, str(tmp_path / 't1')), student)
    config.custom_hooks = [
        *config.custom_hooks,
        dict(type='EarlyStoppingHook', monitor='accuracy/top1'),
        dict(type='EMAHook', begin_epoch=1),
    ]
    config.experiment_name += '_hooks'
    config.dump(str(tmp_path / 'config.py'))
    cfg = load_config(str(tmp_path / 'config.py'), None, str(tmp_path / 't2')).cfg
    assert evaluate(RunConfig(cfg), student)['accuracy/top1'] == plain['accuracy/top1']
    log = next((tmp_path / 't2').glob('*/*.log')).read_text()
    assert f'Left out of the test, as they only train: {EarlyStoppingHook.__name__}' in log


def test_a_result_that_could_not_be_written_is_refused_before_the_test(tmp_path, capsys):
    path = write(tmp_path)
    status, (line,) = ended(capsys, 'test', path, 'none.pth', '--out', str(tmp_path))
    assert status == 2 and '--out must be a file' in line
