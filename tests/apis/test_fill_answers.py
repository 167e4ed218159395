"""Answers that are asked ahead of the runs that read them."""

from importlib import import_module

import mmengine.config.config
import pytest
from killed_runs import write_config
from run_tool import run_tool

from edudistill_mm.apis.fill_answers import fill_answers
from edudistill_mm.apis.train import prepare_runtime, train
from edudistill_mm.config.load import load_config

# Images of two classes each, of 6, 5, 4, 5, 3 and 4, in 18 views.
IMAGES, VIEWS = (11, 9, 7), 18


@pytest.fixture
def asked(monkeypatch):
    """How many images each question has had, and a function that lets a later one be Ctrl-C."""
    monkeypatch.setattr(
        mmengine.config.config, 'FormatCode', lambda text, **_: (text, True), False
    )
    module = import_module('edudistill_mm.models.teachers.answers.open_answers')
    plain, sizes, limit = module._ask, [], []

    def ask(*arguments):
        if limit and len(sizes) == limit[0]:
            raise KeyboardInterrupt
        sizes.append(len(arguments[-1]))
        return plain(*arguments)

    monkeypatch.setattr(module, '_ask', ask)
    return sizes, lambda *count: limit.__setitem__(slice(None), count)


@pytest.fixture
def config(tmp_path):
    def load(keep_answers=True):
        path = write_config(tmp_path, lengths=(1, 1, 1), keep_answers=keep_answers)
        run = load_config(str(path), {'randomness.seed': 0}, str(tmp_path / 'runs' / 'run'))
        prepare_runtime(run.cfg)
        return run

    return load


@pytest.mark.slow
def test_a_fill_asks_all_views_of_the_images_of_each_teachers_classes_once(config, asked):
    sizes, _ = asked
    total = sum(IMAGES) * VIEWS
    assert fill_answers(config(), batch_size=50) == total - 3
    assert sum(sizes) == total and max(sizes) == 50
    sizes.clear()
    assert fill_answers(config()) == 0 and sizes == [1, 1, 1]
    sizes.clear()
    train(config(), with_teacher_test=False)
    assert sizes == [1, 1, 1]


def test_a_fill_that_is_interrupted_goes_on_where_it_was(config, asked, capsys, tmp_path):
    sizes, stop_after = asked
    config()
    arguments = [tmp_path / 'school.py', '--work-dir', tmp_path / 'runs' / 'run']
    stop_after(6)
    with pytest.raises(SystemExit) as end:
        run_tool('fill_answers', [*arguments, '--batch-size', 60])
    assert end.value.code == 130
    assert (
        'What was asked is kept; the same command goes on from there.' in capsys.readouterr().out
    )
    stop_after()
    # Three at the beginning and three batches.
    left = sum(IMAGES) * VIEWS - 3 - 3 * 60
    run_tool('fill_answers', arguments)
    assert capsys.readouterr().out.splitlines()[-1] == f'{left} answers were asked.'


def refused(capsys, arguments, status):
    with pytest.raises(SystemExit) as end:
        run_tool('fill_answers', arguments)
    assert end.value.code == status
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]


def test_there_must_be_answers_to_be_kept(config, capsys, tmp_path):
    config(keep_answers=False)
    (sentence,) = refused(capsys, [tmp_path / 'school.py'], 2)
    assert 'no teacher of the config keeps its answers; set model.keep_answers=True' in sentence
    config(keep_answers=True)
    (sentence,) = refused(capsys, [tmp_path / 'school.py', '--batch-size', 0], 2)
    assert sentence.endswith('--batch-size must be a positive integer, but got 0')


def test_a_fill_that_cannot_keep_says_so(config, capsys, tmp_path):
    config(keep_answers=dict(folder=str(tmp_path / 'low.pth')))
    (sentence,) = refused(capsys, [tmp_path / 'school.py'], 1)
    assert sentence.endswith('the answers of teacher "low" cannot be kept')
