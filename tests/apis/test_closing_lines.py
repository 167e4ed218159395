"""What a run says at its end."""

import json
import shlex
from pathlib import Path

import pytest
from run_tool import run_tool
from runs import EndAfterHook, school_config  # noqa: F401

from edudistill_mm.config.load import load_config
from edudistill_mm.cost.against_plain import against_plain
from edudistill_mm.cost.training_cost import training_cost


def last_lines(folder):
    """The last lines of the log of a run in a folder, without their times."""
    (log,) = Path(folder).glob('2*/*.log')
    return [line.split(' - INFO - ')[-1] for line in log.read_text().splitlines()[-8:]]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Trains three grades of 2, 2 and 3 epochs of 16, 32 and 48 images, with a hook."""

    def train(hook, **checkpoint):
        config = school_config(tmp_path)
        config.default_hooks.checkpoint.update(checkpoint)
        config.custom_hooks = [dict(type='GradeSchedulerHook'), hook]
        config.val_dataloader.dataset.metainfo = dict(channel_order='rgb')
        config.dump(tmp_path / 'own.py')
        monkeypatch.chdir(tmp_path)
        run_tool('train', ['own.py', '--work-dir', 'run', '--no-teacher-test'])
        return last_lines('run')

    return train


def test_a_run_ends_with_accuracy_costs_student_and_commands_that_work(run, capsys):
    stop = dict(type='EarlyStoppingHook', monitor='seen/top1', patience=1, min_delta=200)
    _, accuracy, passes, student_flops, teacher_flops, student, plots, onnx = run(stop)
    record = Path('run').glob('2*/vis_data/scalars.json')
    last = [
        json.loads(line) for line in next(record).read_text().splitlines() if 'seen/top1"' in line
    ]
    assert accuracy == f'Top-1 accuracy of the last validation: {last[-1]["accuracy/top1"]:.2f} %'
    # Early stopping has left out the last epoch.
    assert passes == 'Image passes: 192, 57.1% of 336 with all classes throughout'
    cost = training_cost(load_config('own.py'))
    assert [passes, student_flops, teacher_flops] == against_plain(cost, [2, 2, 2])
    assert student == 'The plain MMPretrain student: run/student.pth, its config: run/student.py'
    for line, purpose in (
        (plots, 'Tables and plots'),
        (onnx, 'The student for use without torch'),
    ):
        assert line.startswith(f'{purpose}: python ')
        _, tool, *arguments = shlex.split(line.removeprefix(f'{purpose}: '))
        run_tool(Path(tool).stem, arguments)
    assert Path('run/report/report.html').exists() and Path('run/student.onnx').exists()


def test_checkpoints_counted_in_iterations_do_not_change_what_epochs_have_cost(run):
    *_, passes, _, _, _, _, _ = run(dict(type='EndAfterHook', epoch=9), by_epoch=False)
    assert passes == 'Image passes: 240, 71.4% of 336 with all classes throughout'


def test_a_run_that_a_hook_has_ended_says_what_it_has_cost_so_far(run):
    *_, passes, _, _, student, _, _ = run(dict(type='EndAfterHook', epoch=3))
    assert passes == 'Image passes: 64, 19.0% of 336 with all classes throughout'
    assert student.endswith('it is that of grade 2 of 3 "mid" and knows 4 of 6 classes')
