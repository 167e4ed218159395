"""The modes of tools/benchmark.py that need no config, in short."""

import pytest
from run_tool import run_tool
from test_tools import ROOT, run

from edudistill_mm import register_all_modules
from tools.bench.hand_limit import hand_limit_benchmark
from tools.bench.iteration import iteration_benchmark
from tools.bench.kept_answers import kept_answers_benchmark
from tools.bench.loader import loader_benchmark
from tools.bench.turns import median_ratio, take_turns


@pytest.fixture(autouse=True)
def modules():
    register_all_modules()


def test_iterations_and_loaders_are_compared_in_one_run():
    results = dict(iteration_benchmark(batch_size=64, repeats=1, iterations=3))
    results.update(loader_benchmark(batch_size=64, repeats=1, iterations=3))
    for ratio, ours, theirs in (
        ('iteration: this package / plain MMRazor', 'this package', 'plain MMRazor'),
        ('iteration: this package / a loop by hand', 'this package', 'a loop by hand'),
    ):
        sides = [results[f'ms of an iteration: {side}'] for side in (ours, theirs)]
        # One turn: the median is that of its two numbers.
        assert results[ratio] == pytest.approx(sides[0] / sides[1])
    assert results["images/s: this package / MMPretrain's pipeline"] > 0


def test_a_step_with_kept_answers_is_compared_with_the_student_alone():
    pairs = {'small': ((14, 16), (8, 4))}
    kept, asked = kept_answers_benchmark(batch_size=32, repeats=1, pairs=pairs)
    assert kept[0] == 'step, small: KD with kept answers / the student alone'
    assert kept[1] > 0 and asked[1] > 0


@pytest.mark.slow
def test_the_limit_is_rehearsed_without_a_gpu():
    results = dict(hand_limit_benchmark(batch_size=8, repeats=1, iterations=2, depths=(8, 8)))
    assert all(value > 0 for value in results.values()) and len(results) == 3


def test_sides_take_turns_in_changing_order_and_ratios_are_those_of_turns():
    called = []
    ours, theirs = iter([9.0, 2.0, 3.0, 8.0]), iter([9.0, 1.0, 2.0, 2.0])

    def side(name, values):
        def call():
            called.append(name)
            return next(values)

        return call

    turns = take_turns(dict(a=side('a', ours), b=side('b', theirs)), 3)
    assert ''.join(called) == 'ab' + 'ab' + 'ba' + 'ab'
    assert median_ratio(turns, 'a', 'b') == 2.0


@pytest.mark.parametrize(
    'arguments, sentence',
    [
        ([], 'the benchmark needs a config'),
        (['--runs'], '--runs needs a config'),
        (['config.py', '--loader'], '--loader needs no config, but got "config.py"'),
        (['--loader', '--repeats', '0'], '--repeats must be'),
    ],
)
def test_a_mode_says_whether_it_needs_a_config(capsys, arguments, sentence):
    with pytest.raises(SystemExit):
        run_tool('benchmark', arguments)
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_a_mode_runs_from_the_command_line():
    done = run('benchmark', '--loader', '--batch-size', 8, '--repeats', 1)
    assert done.returncode == 0, done.stderr
    assert "images/s: this package / MMPretrain's pipeline" in done.stdout


@pytest.mark.slow
def test_whole_runs_are_measured_with_everything_fast_off_and_on(tmp_path):
    config = f'{ROOT}/configs/digits/kd_resnet14x2_resnet14_digits.py'
    teacher = f'model.teacher_ckpt={tmp_path}/teacher.pth'
    short = 'teacher_training.train_cfg.max_epochs=1'
    made = run('train_teachers', config, '--cfg-options', teacher, short)
    assert made.returncode == 0, made.stderr
    options = ['--runs', '--repeats', 1, '--epochs', 1]
    done = run('benchmark', config, *options, '--cfg-options', teacher)
    assert done.returncode == 0, done.stderr
    assert 'whole run: everything on / everything off' in done.stdout


@pytest.mark.slow
def test_a_run_that_fails_is_named_with_its_sentence():
    config = f'{ROOT}/configs/digits/student_resnet14_digits.py'
    done = run('benchmark', config, '--runs', '--repeats', 1)
    assert done.returncode == 2
    assert f'a run of "{config}" failed: error: ' in done.stderr
