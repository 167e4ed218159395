"""Comparisons of the digits, trained for an epoch or two in processes of their own."""

import fcntl
import json
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from run_tool import run_tool

from edudistill_mm.checkpoint.files import file_sha256
from edudistill_mm.comparison.compare import compare, describe_plan
from edudistill_mm.comparison.plan import Plan
from edudistill_mm.config.plain_distillation import as_written
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.settings import settings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
# One epoch of 32 images, all of which are kept in checkpoints.
SHORT = f"""
_digits = {str(ROOT / 'configs' / 'digits')!r}
_teacher = dict(teacher_ckpt='teachers/wide.pth')
cfg_options = {{
    'default_hooks.checkpoint.max_keep_ckpts': -1,
    'train_dataloader.dataset.indices': 160,
    'val_dataloader.dataset.indices': 100,
    'teacher_training.train_cfg.max_epochs': 1,
    'teacher_training.train_dataloader.dataset.indices': 1400,
    'train_cfg.max_epochs': 2,
}}
rows = [
    dict(name='student', config=_digits + '/student_resnet14_digits.py'),
    dict(name='KD', config=_digits + '/kd_resnet14x2_resnet14_digits.py',
         cfg_options=dict(model=_teacher)),
    dict(name='KD, half', config=_digits + '/kd_resnet14x2_resnet14_digits.py',
         cfg_options=dict(model=_teacher),
         budget=dict(image_passes=160)),
    dict(name='broken', config=_digits + '/student_resnet14_digits.py',
         cfg_options={{'val_evaluator.0.topk': 99}}),
]
seeds = [3]
work_dir = 'study'
"""


def rows(folder):
    content = json.loads((Path(folder) / 'report.json').read_text())
    return {row['name']: row for row in content['rows']}


@pytest.fixture(scope='module')
def compared(tmp_path_factory):
    """A finished comparison, one row of which fails: its folder and what it said."""
    folder = tmp_path_factory.mktemp('comparison')
    (folder / 'plan.py').write_text(SHORT)
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plan = Plan.from_file('plan.py')
        _, failed = compare(plan, [dict(OMP_NUM_THREADS='1')] * 2, say=lines.append)
    return folder, lines, failed


@pytest.fixture
def study(compared, tmp_path, monkeypatch):
    """A copy of that comparison to go on with."""
    folder = tmp_path / 'copy'
    shutil.copytree(compared[0], folder)
    for pointer in folder.glob('study/*/*/last_checkpoint'):
        pointer.write_text(str(pointer.with_name(Path(pointer.read_text()).name)))
    monkeypatch.chdir(folder)

    def change(old='', new='', rows=slice(None)):
        text = (folder / 'plan.py').read_text()
        assert old in text
        (folder / 'plan.py').write_text(text.replace(old, new))
        plan = Plan.from_file('plan.py')
        return replace(plan, rows=plan.rows[rows])

    return change


def test_a_failing_row_is_named_with_its_log_and_the_others_are_trained(compared):
    folder, _, failed = compared
    assert [job.name for job in failed] == ['broken, seed 3']
    assert str(Path('study/broken/seed_3/train.log')) in failed[0].error
    found = rows(folder / 'study')
    assert [row['finished'] for row in found.values()] == [True, True, True, False]
    (remark,) = found['broken']['remarks']
    assert remark.startswith('seed 3 failed: it ended with status 1 (ValueError: ')
    assert f'broken: {remark}.' in (folder / 'study' / 'report.md').read_text()


def test_a_later_report_knows_why_a_row_has_failed(study):
    compare(study(), train=False)
    assert 'seed 3 failed: it ended' in rows('study')['broken']['remarks'][0]
    # Once it has begun anew, it is not known how it will end.
    Path('study/broken/seed_3/failure.json').unlink()
    compare(study(), train=False)
    assert rows('study')['broken']['remarks'] == ['not finished: seed 3']


def test_a_row_asks_for_its_own_seeds_alone(study):
    study("name='student', ", "name='student', seeds=[3], ")
    plan = study('seeds = [3]', 'seeds = [3, 4]', rows=slice(2))
    student, _, kd, _ = describe_plan(plan).splitlines()
    assert student.endswith('; seed 3 finished')
    assert kd.endswith('; seed 3 finished, seed 4 to do')
    compare(plan, train=False)
    found = rows('study')
    assert found['student']['finished'] and found['student']['remarks'] == []
    assert not found['KD']['finished'] and found['KD']['remarks'] == ['not finished: seed 4']


def test_two_rows_share_a_teacher_that_is_trained_once(compared):
    folder, lines, _ = compared
    assert sum(line.startswith('started: teacher') for line in lines) == 1
    order = [line.split(';')[0] for line in lines]
    assert order.index('finished: teacher wide') < order.index('started: KD, seed 3')
    state = torch.load(folder / 'teachers' / 'wide.pth', weights_only=True)['state_dict']
    assert state['head.fc.weight'].shape == (10, 128)


def test_a_budget_cuts_epochs_and_schedule_and_the_report_gives_the_true_cost(compared):
    folder, _, _ = compared
    found = rows(folder / 'study')
    whole, half = found['KD'], found['KD, half']
    assert [row['grades'][0]['length'] for row in (whole, half)] == [2, 1]
    assert [row['cost']['image_passes'] for row in (whole, half)] == [320, 160]
    assert whole['cost']['student_flops'] == 2 * half['cost']['student_flops']
    assert whole['cost']['student_flops'] == found['student']['cost']['student_flops']
    # The student alone has no teacher; the generalist is about four times as dear as the student.
    assert found['student']['cost']['teacher_flops'] == 0
    assert 3 < half['cost']['teacher_flops'] / half['cost']['student_flops'] < 4.5
    for cost in (found['student']['cost'], half['cost']):
        assert cost['total_flops'] == 3 * cost['student_flops'] + cost['teacher_flops']
    assert '1 instead of 2 epochs, because its budget of image passes is 160' in half['remarks']


def test_the_report_gives_figures_of_the_logs_and_commands_that_train_the_same(compared):
    folder, _, _ = compared
    row = rows(folder / 'study')['student']
    validations = row['runs']['3']['validations']
    assert list(validations) == ['1', '2']
    assert row['last_epoch'] == dict(mean=validations['2']['accuracy/top1'], std=None, count=1)
    groups = ('group primary', 'group middle', 'group university')
    assert all(0 <= row['by_grade'][0][group]['mean'] <= 100 for group in groups)
    assert (
        row['commands']['3']
        == json.loads((folder / 'study' / 'student' / 'seed_3' / 'run.json').read_text())[
            'command'
        ]
    )
    text = (folder / 'study' / 'report.md').read_text()
    assert row['commands']['3'] in text and 'randomness.seed=3' in row['commands']['3']
    assert f'{validations["2"]["accuracy/top1"]:.2f}' in text
    for name in ('accuracy', 'accuracy_cost'):
        assert f'plots/{name}.png' in text
        assert (folder / 'study' / 'plots' / f'{name}.pdf').read_bytes().startswith(b'%PDF')


def test_finished_runs_are_not_trained_again(study):
    plan = study(rows=slice(0, 3))
    lines = []
    _, failed = compare(plan, say=lines.append)
    assert lines == [] and failed == []


def test_a_run_that_mmrazors_own_class_has_finished_is_not_trained_again(study):
    plan = study(rows=slice(0, 3))
    started = Path('study/kd/seed_3/run.json')
    content = json.loads(started.read_text())
    assert content['settings']['model']['type'] == 'EducationDistill'
    content['settings'] = settings(as_written(plan.row('KD').load().cfg))
    # Not those of default_hooks, but those that an earlier version has added itself.
    content['settings']['custom_hooks'] = [dict(type='SafeCheckpointHook')]
    assert content['settings']['model']['type'] == 'SingleTeacherDistill'
    started.write_text(json.dumps(content))
    lines = []
    assert compare(plan, say=lines.append)[1] == [] and lines == []
    (started.parent / 'result.json').unlink()
    with pytest.raises(ConfigurationError, match='by another config: .*--rerun-changed'):
        compare(plan)


def test_an_interrupted_run_goes_on_from_its_last_checkpoint(study):
    plan = study(rows=slice(0, 1))
    run = Path('study/student/seed_3')
    (run / 'epoch_2.pth').unlink()
    (run / 'last_checkpoint').write_text(str(run / 'epoch_1.pth'))
    before = json.loads((run / 'result.json').read_text())
    (run / 'result.json').unlink()

    lines = []
    _, failed = compare(plan, say=lines.append)
    assert failed == [] and 'started: student, seed 3' in lines
    assert 'resumed epoch: 1' in (run / 'train.log').read_text()
    after = json.loads((run / 'result.json').read_text())
    assert after['validations']['1'] == before['validations']['1']
    assert list(after['validations']) == ['1', '2'] and (run / 'epoch_2.pth').exists()
    # The time of both sessions counts.
    assert after['seconds'] > before['seconds']


def test_a_row_whose_config_has_changed_is_refused_or_moved_aside(study):
    plan = study("'train_cfg.max_epochs': 2", "'train_cfg.max_epochs': 1", rows=slice(0, 1))
    message = (
        r'row "student, seed 3" was trained in .* by another config: train_cfg.max_epochs is 1, '
        'was 2; .*--rerun-changed'
    )
    with pytest.raises(ConfigurationError, match=message):
        compare(plan)
    assert (Path('study/student/seed_3') / 'result.json').exists()
    # Neither a dry run nor a report passes it off as a result of this plan.
    change = 'trained by another config'
    assert f'seed 3 {change} (train_cfg.max_epochs is 1, was 2)' in describe_plan(plan)
    report = Path(compare(plan, train=False)[0]).read_text()
    assert f'student: seed 3 was {change}: train_cfg.max_epochs is 1, was 2.' in report


def test_another_network_in_the_students_file_is_a_change_of_the_row(study):
    plan, run = study(rows=slice(0, 1)), Path('study/student/seed_3/run.json')
    started = json.loads(run.read_text())
    assert started['networks'] == {}
    started['networks'] = {'model.architecture': dict(type='ImageClassifier')}
    run.write_text(json.dumps(started))
    with pytest.raises(ConfigurationError, match='by another config: model.architecture is None'):
        compare(plan)
    # Runs of an earlier version, which has noted none, are as good as before.
    started.pop('networks')
    run.write_text(json.dumps(started))
    assert 'seed 3 finished' in describe_plan(plan)


def test_a_changed_teacher_is_a_change_of_the_rows_that_learn_from_it(study):
    plan = study(rows=slice(1, 2))
    state = torch.load('teachers/wide.pth', weights_only=True)
    state['state_dict']['head.fc.bias'] += 1
    torch.save(state, 'teachers/wide.pth')
    with pytest.raises(ConfigurationError, match='row "KD, seed 3".*wide.pth" is another file'):
        compare(plan)


def test_other_weights_to_start_from_are_a_change_of_the_row(study):
    plan, run = study(rows=slice(0, 1)), Path('study/student/seed_3/run.json')
    started = json.loads(run.read_text())
    assert started['weights'] == {}
    Path('begin.pth').write_bytes(b'before')
    run.write_text(json.dumps(dict(started, weights={'begin.pth': file_sha256('begin.pth')})))
    assert 'seed 3 finished' in describe_plan(plan)
    Path('begin.pth').write_bytes(b'after')
    with pytest.raises(ConfigurationError, match='"begin.pth", from which it starts, is another'):
        compare(plan)
    # A finished run no longer needs it, and earlier versions have not noted it.
    Path('begin.pth').unlink()
    assert 'seed 3 finished' in describe_plan(plan)
    started.pop('weights')
    run.write_text(json.dumps(started))
    assert 'seed 3 finished' in describe_plan(plan)


def test_a_teacher_that_was_trained_by_another_recipe_is_refused(study):
    plan = study(
        "'teacher_training.train_cfg.max_epochs': 1",
        "'optim_wrapper.optimizer.lr': 9",
        rows=slice(1, 2),
    )
    with pytest.raises(ConfigurationError, match='"teachers/wide.pth" by another config than'):
        compare(plan)


def test_a_teacher_does_not_depend_on_the_schedule_of_its_students(study):
    plan = study(
        'cfg_options=dict(model=_teacher)),',
        'cfg_options=dict(model=_teacher, train_cfg=dict(max_epochs=5), param_scheduler=dict(T_max=5))),',
        rows=slice(1, 3),
    )
    assert describe_plan(plan).startswith('KD: 5 epochs')
    # Nor does one that is still to be trained.
    Path('teachers/wide.pth').unlink()
    shutil.rmtree('teachers/wide')
    assert describe_plan(plan).startswith('teacher wide: to do\nKD: 5 epochs')


def test_a_teacher_that_cannot_be_trained_is_named_before_anything_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = str(ROOT / 'configs' / 'edu_kd_digits.py')
    options = {'model.teachers.1.input_size': 16}
    rows = [dict(name='sees others', config=config, cfg_options=options)]
    Path('plan.py').write_text(f'rows = {rows}\nseeds = [0]\nwork_dir = "study"\n')
    with pytest.raises(
        ConfigurationError, match='row "sees others": .*cannot be trained.*"input_'
    ):
        compare(Plan.from_file('plan.py'))


def test_rows_that_want_different_teachers_under_one_name_are_refused(study):
    other = "model=_teacher | {'teacher.backbone.depth': 34}),\n         budget"
    plan = study('model=_teacher),\n         budget', other, rows=slice(1, 3))
    Path('teachers/wide.pth').unlink()
    shutil.rmtree('study')
    with pytest.raises(
        ConfigurationError, match='than row "KD": model.backbone.depth is 34, was 18'
    ):
        compare(plan)


def test_a_folder_is_for_one_comparison_at_a_time(study):
    plan = study(rows=slice(0, 1))
    with open('study/.lock', 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match='another comparison.*is at work in "study"'):
            compare(plan, train=False)


def test_sigterm_ends_a_comparison_as_ctrl_c_does_and_says_how_to_go_on(study, capsys):
    study()
    started = Path('study/broken/seed_3/run.json')
    started.unlink()

    def stop():
        while not started.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        run_tool('compare', ['plan.py'])
    assert end.value.code == 130
    assert 'interrupted; the same command goes on from here' in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_of_an_interrupted_comparison_saves_where_it_is(study):
    plan = study("'train_cfg.max_epochs': 2", "'train_cfg.max_epochs': 500", rows=slice(0, 1))
    shutil.rmtree('study')
    run = Path('study/student/seed_3')

    def stop():
        while not (run / 'last_checkpoint').exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR1)

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        compare(plan)
    last = (run / 'train.log').read_text().splitlines()[-1]
    assert last.startswith('stopped: by SIGTERM: after iteration '), last
    step = torch.load(Path((run / 'last_checkpoint').read_text()), weights_only=True)['meta']
    assert f'after iteration {step["iter"]}, ' in last


def test_a_dry_run_tells_epochs_costs_and_what_is_to_do(study):
    lines = describe_plan(study()).splitlines()
    assert lines[0].startswith('student: 2 epochs, 320 image passes')
    assert lines[0].endswith('seed 3 finished') and 'FLOPs, in all ' in lines[0]
    assert lines[4].startswith('KD, half: 1 epochs, 160 image passes')
    assert 'train_cfg.max_epochs=1' in lines[5] and 'param_scheduler.T_max=15' in lines[5]
    assert lines[6].endswith('seed 3 to do')
    Path('teachers/wide.pth').unlink()
    assert describe_plan(study()).splitlines()[0] == 'teacher wide: to do'


def test_the_command_ends_with_a_status_that_scripts_can_read(study, capsys):
    study()
    with pytest.raises(SystemExit) as end:
        run_tool('compare', ['plan.py', '--cfg-options', 'train_cfg.max_epochs=5'])
    assert end.value.code == 2
    assert 'was trained in' in capsys.readouterr().err
    run_tool('compare', ['plan.py', '--report-only'])
    assert capsys.readouterr().out == 'The report: study/report.md\n'
