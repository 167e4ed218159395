"""The tools, run as users run them: on the digits, in processes of their own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from run_tool import run_tool
from surroundings import python_path

from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
DIGITS = str(ROOT / 'configs' / 'edu_kd_digits.py')
SHORT = [
    'train_cfg.max_epochs=3',
    *(f'model.curriculum.grades.{grade}.epochs=1' for grade in range(3)),
    'param_scheduler.periods=[1,1,1]',
    'teacher_training.train_cfg.max_epochs=1',
]


def run(tool, *arguments):
    """Run a tool; return the finished process."""
    environment = dict(os.environ, PYTHONPATH=python_path(ROOT), OMP_NUM_THREADS='1')
    return subprocess.run(
        [sys.executable, str(ROOT / 'tools' / f'{tool}.py'), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
    )


def refused(capsys, tool, *arguments):
    """Run a tool's command line in this process; return the one sentence with which it refuses."""
    with pytest.raises(SystemExit) as end:
        run_tool(tool, arguments)
    assert end.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1
    return lines[0]


def options(folder):
    return [
        *SHORT,
        *(f'model.teachers.{index}.ckpt={folder}/teacher{index}.pth' for index in range(3)),
    ]


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """A complete, short run of the digits job: its folder and what it printed."""
    folder = tmp_path_factory.mktemp('digits')
    done = run(
        'train',
        DIGITS,
        '--train-teachers',
        '--work-dir',
        folder / 'run',
        '--cfg-options',
        *options(folder),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout + done.stderr


def test_train_makes_teachers_all_grades_a_table_and_a_plain_student(trained):
    folder, output = trained
    for index in range(3):
        assert torch.load(folder / f'teacher{index}.pth', weights_only=True).keys() == {
            'meta',
            'state_dict',
        }
    for grade in ('primary', 'middle', 'university'):
        assert re.search(rf'^\| {grade} +\|', output, re.MULTILINE)
    assert {'student.pth', 'student.py', 'epoch_3.pth'} <= {
        path.name for path in (folder / 'run').iterdir()
    }


def test_an_expert_is_trained_on_its_own_classes(trained):
    folder, _ = trained
    state = torch.load(folder / 'teacher0.pth', weights_only=True)
    assert state['state_dict']['head.fc.weight'].shape[0] == 4
    assert state['meta']['dataset_meta']['classes'] == ('0', '1', '2', '3')


@pytest.mark.slow
def test_train_teachers_leaves_existing_teachers_alone(trained):
    folder, _ = trained
    before = (folder / 'teacher1.pth').stat().st_mtime_ns
    done = run('train_teachers', DIGITS, '--cfg-options', *options(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'Nothing to do' in done.stdout
    assert (folder / 'teacher1.pth').stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_checkpoint_and_its_plain_student_test_equal_without_teachers(trained, tmp_path):
    folder, _ = trained
    results = {}
    for name in ('epoch_3', 'student'):
        done = run(
            'test',
            DIGITS,
            folder / 'run' / f'{name}.pth',
            '--work-dir',
            tmp_path / name,
            '--out',
            tmp_path / f'{name}.json',
            '--cfg-options',
            *options('/nonexistent'),
        )
        assert done.returncode == 0, done.stderr[-3000:]
        results[name] = json.loads((tmp_path / f'{name}.json').read_text())
    assert results['epoch_3']['accuracy/top1'] == results['student']['accuracy/top1']
    assert 'seen/top1_university' in results['epoch_3']


def test_plain_student_loads_in_mmpretrain_without_this_package(trained):
    folder, _ = trained
    code = (
        'import sys; sys.modules["edudistill_mm"] = None\n'
        'import torch\n'
        'from mmpretrain import get_model\n'
        'model = get_model("run/student.py", "run/student.pth")\n'
        'assert model(torch.zeros(2, 3, 8, 8), mode="tensor").shape == (2, 10)\n'
        'print(torch.isfinite(model(torch.ones(2, 3, 8, 8), mode="tensor")).all().item())\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_a_finished_run_is_resumed_at_its_end(trained):
    folder, _ = trained
    (folder / 'run' / 'student.pth').rename(folder / 'student_before.pth')
    done = run(
        'train',
        DIGITS,
        '--resume',
        '--work-dir',
        folder / 'run',
        '--cfg-options',
        *options(folder),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'resumed epoch: 3' in done.stdout + done.stderr
    before, after = (
        torch.load(path, weights_only=True)['state_dict']
        for path in (folder / 'student_before.pth', folder / 'run' / 'student.pth')
    )
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_print_curriculum_counts_images_and_needs_no_teacher():
    done = run('print_curriculum', DIGITS, '--cfg-options', *options('/nonexistent'))
    assert done.returncode == 0, done.stderr[-3000:]
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    assert rows['university'][1:5] == ['3-3', '3', '10', '3']
    assert '1,442' in rows['university']
    assert rows['university'][-3:] == ['0.05', 'to', '0.05']


def test_print_curriculum_draws_grades_of_fragments_classes_teachers_and_image_sizes(tmp_path):
    keys = ['model.curriculum.grades.2.leave=[primary]', 'model.curriculum.grades.0.image_size=6']
    arguments = [DIGITS, '--cfg-options', *options('/nonexistent'), *keys]
    plot = tmp_path / 'plots' / 'curriculum.svg'
    run_tool('print_curriculum', [*arguments, '--plot', str(plot)])
    text = plot.read_text()
    # Text is drawn as paths; matplotlib notes what they say.
    notes = [
        'depth of the student',
        'up to backbone.layer2',
        '3 new, 10 seen',
        'primary',
        '1 epochs',
        'knows 4 classes',
        '6x6',
        'full',
        'learning rate',
    ]
    assert [note for note in notes if note not in text] == []


def test_print_curriculum_names_the_formats_of_a_plot(capsys):
    sentence = refused(capsys, 'print_curriculum', DIGITS, '--plot', 'plot.jpg')
    assert sentence == 'error: --plot is "plot.jpg", but a plot is a file of .pdf, .svg, .png'


def test_print_curriculum_shows_weights_and_temperatures_that_grades_give(capsys):
    grades = 'model.curriculum.grades'
    keys = [
        f'{grades}.1.temperature=2',
        f'{grades}.2.distill_loss_weight=0.5',
        f'{grades}.2.leave=[primary]',
    ]
    run_tool('print_curriculum', [DIGITS, '--cfg-options', *options('/nonexistent'), *keys])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split('learning rate')[1].split('  ') == [
        '',
        'distill loss weight',
        'temperature',
    ]
    rows = {line.split()[0]: line.split() for line in lines if line}
    assert [rows[name][-2:] for name in ('primary', 'middle', 'university')] == [
        ['1', '4'],
        ['1', '2'],
        ['0.5', '4'],
    ]
    assert 'middle, university' in lines[4] and 'primary' not in lines[4]


def test_a_mistake_ends_with_one_sentence_and_no_traceback():
    done = run(
        'train', DIGITS, '--cfg-options', 'model.architecture.fragments=[layer1,layre2,layer3]'
    )
    assert done.returncode == 2
    assert 'Traceback' not in done.stderr
    assert 'did you mean "layer2"?' in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    'option, sentence',
    [
        ('train_cfg.max_epochs=7', 'train_cfg.max_epochs is 7'),
        ('model.curriculum.grades.0.classes=5', 'only 2 of num_classes=10 are left'),
        ('model.curriculum.grades.0.classes=3', 'never taught'),
        ('model.curriculum.grades.0.fragment=1', 'did you mean "fragments"?'),
        ('model.architecture.fragments=[layer2,layer1,layer3]', 'fragments'),
        ('model.curriculum.grades.2.fragments=1', 'a student only deepens'),
        ('model.curriculum.grades.2.fragments=4', 'finds 3 stages in ResNet_CIFAR'),
        ('model.teachers.0.classes=[0,1]', 'covers 2 classes, but its head has 4 outputs'),
        ('model.teachers.0.name=primry', 'did you mean "primry"?'),
        ('model.distiller.student_recorders.logits.source=head.fcc', 'did you mean "head.fc"?'),
        ('train_dataloader.sampler.type=DefaultSampler', 'must be dict(type="GradeSampler")'),
        ('custom_hooks=[]', 'GradeSchedulerHook'),
        ('optim_wrapper.optimizer.type=SGDD', 'did you mean "SGD"?'),
        ('model.teachers.9.ckpt=x', '--cfg-options do not fit the config'),
        (
            'model.teacher_weight=1',
            'unknown key "teacher_weight" (did you mean "teacher_weighting"?)',
        ),
    ],
)
def test_train_refuses_a_config_before_any_training(capsys, tmp_path, option, sentence):
    checkpoints = [
        f'model.teachers.{index}.ckpt={tmp_path}/teacher{index}.pth' for index in range(3)
    ]
    message = refused(
        capsys,
        'train',
        DIGITS,
        '--train-teachers',
        '--work-dir',
        tmp_path / 'run',
        '--cfg-options',
        *checkpoints,
        option,
    )
    assert sentence in message
    assert not list(tmp_path.iterdir())


def test_train_says_how_to_get_a_missing_teacher(capsys, tmp_path):
    message = refused(
        capsys, 'train', DIGITS, '--work-dir', tmp_path, '--cfg-options', *options(tmp_path)
    )
    assert f'{tmp_path}/teacher0.pth' in message and '--train-teachers' in message


def test_train_says_where_a_missing_data_set_is_expected(capsys, tmp_path):
    message = refused(
        capsys,
        'train',
        ROOT / 'configs' / 'kd_cifar100.py',
        '--cfg-options',
        f'data_root={tmp_path}/nowhere',
        'train_dataloader.dataset.download=False',
        'val_dataloader.dataset.download=False',
        'test_dataloader.dataset.download=False',
    )
    assert f'CIFAR100 is not in "{tmp_path}/nowhere"' in message and 'data_root=FOLDER' in message


def test_a_missing_config_is_one_sentence(capsys):
    assert 'nothing.py' in refused(capsys, 'train', 'nothing.py')


def test_checkpoints_that_cannot_be_used_are_refused(capsys, trained, tmp_path):
    folder, _ = trained
    whole = (folder / 'run' / 'student.pth').read_bytes()
    (tmp_path / 'truncated.pth').write_bytes(whole[: len(whole) // 2])
    torch.save(dict(state_dict={'encoder.weight': torch.zeros(1)}), tmp_path / 'other.pth')
    for tool, extra in (('test', []), ('export_student', [tmp_path / 'out.pth'])):
        for name, words in (
            ('missing', 'missing.pth'),
            ('truncated', 'truncated'),
            ('other', 'encoder.weight'),
        ):
            message = refused(capsys, tool, DIGITS, tmp_path / f'{name}.pth', *extra)
            assert words in message or 'holds no student' in message
    assert not (tmp_path / 'out.pth').exists()


def test_a_config_of_mmrazor_becomes_an_education_run_by_inheritance(tmp_path):
    from edudistill_mm.config.check_config import check_config
    from edudistill_mm.config.load import load_config

    file = tmp_path / 'edu.py'
    file.write_text(
        """_base_ = 'mmrazor::distill/mmcls/dkd/dkd_resnet34_resnet18_8xb32_in1k.py'
model = dict(
    type='EducationDistill',
    curriculum=dict(num_classes=1000, grades=[
        dict(epochs=50, fragments=2, classes=500), dict(epochs=50, fragments=4, classes='all')]))
train_dataloader = dict(sampler=dict(type='GradeSampler'))
custom_hooks = [dict(type='GradeSchedulerHook')]
val_cfg = dict(_delete_=True)
"""
    )
    cfg = load_config(str(file)).cfg
    check_config(RunConfig(cfg))
    cfg.model.distiller.student_recorders.fc.source = 'head.fcc'
    with pytest.raises(ConfigurationError, match='did you mean "head.fc"'):
        check_config(RunConfig(cfg))
