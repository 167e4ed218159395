"""Runs that end early, in every grade: what they leave is at once a model of plain MMPretrain."""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from killed_runs import run, write_config
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS
from runs import GRADES, school_config, train

from edudistill_mm.apis.test import test as run_test
from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.export.export_student import export_student

pytestmark = pytest.mark.slow

AREA = 'Students of unfinished runs'
NEW_CLASSES = [[0, 1], [2, 3], [4, 5]]

# Runs in a process that cannot import this package.
USE = """
import json, sys, warnings
warnings.simplefilter('ignore')
sys.modules['edudistill_mm'] = None
import torch
from mmengine.config import Config
from mmpretrain import get_model
images = torch.load(sys.argv[1])
answers = {}
for stem in sys.argv[2:]:
    model = get_model(f'{stem}.py', f'{stem}.pth')
    data = model.data_preprocessor(dict(inputs=list(images)))
    predictions = model(**data, mode='predict')
    answers[stem] = dict(
        scores=[sample.pred_score.tolist() for sample in predictions],
        parameters=sum(p.numel() for p in model.parameters()),
        classes=model._dataset_meta['classes'])
print(json.dumps(answers))
"""


class Killed(Exception):
    pass


@HOOKS.register_module(force=True)
class StopAtHook(Hook):
    """Ends a run before an epoch, without any of what follows a training."""

    def __init__(self, epoch):
        self.epoch = epoch

    def before_train_epoch(self, runner):
        if runner.epoch == self.epoch:
            raise Killed


def use_without_this_package(folder, stems):
    """What plain MMPretrain answers to images: a dict for each of the students."""
    images = torch.randint(
        0, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    torch.save(images, folder / 'images.pt')
    done = subprocess.run(
        [sys.executable, '-c', USE, str(folder / 'images.pt'), *map(str, stems)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return images, json.loads(done.stdout.splitlines()[-1])


def answers_of_run(config, checkpoint, images):
    """Scores of the run's own student, as the checkpoint has it, and its parameters in use."""
    saved = torch.load(checkpoint)
    algorithm = MODELS.build(RunConfig(config).without_teachers().cfg.model.to_dict())
    algorithm.load_state_dict(saved['state_dict'], strict=False)
    grade = saved['meta']['education']['grade']
    algorithm.set_grade(next(g for g in algorithm.curriculum.grades if g.name == grade))
    algorithm.eval()
    data = algorithm.data_preprocessor(dict(inputs=list(images)))
    with torch.no_grad():
        predictions = algorithm.student(**data, mode='predict')
    scores = [sample.pred_score.tolist() for sample in predictions]
    return scores, algorithm.student.parameters_in_training()


def stems_in(work_dir):
    return sorted((work_dir / 'students' / path.stem) for path in work_dir.glob('students/*.pth'))


def test_a_stopped_run_leaves_its_student_to_plain_mmpretrain(tmp_path, report):
    ema = dict(type='EMAHook', momentum=0.1)
    # At a promotion, within a grade, in the last grade.
    ends = [(2, []), (3, [ema]), (6, [ema])]
    stems, configs = [], {}
    for epoch, hooks in ends:
        folder = tmp_path / f'until_{epoch}'
        folder.mkdir()
        config = school_config(folder)
        config.experiment_name = f'{tmp_path.name}_{epoch}'
        config.custom_hooks += [*hooks, dict(type='StopAtHook', epoch=epoch)]
        with pytest.raises(Killed):
            train(config)
        checkpoints = {path.stem for path in (folder / 'run').glob('*.pth')}
        assert {stem.name for stem in stems_in(folder / 'run')} == checkpoints
        assert {path.stem for path in (folder / 'run' / 'students').glob('*.py')} == checkpoints
        stems += stems_in(folder / 'run')
        configs.update({stem: config for stem in stems_in(folder / 'run')})
    images, answers = use_without_this_package(tmp_path, stems)
    grades = set()
    for stem in stems:
        meta = torch.load(f'{stem}.pth')['meta']
        seen = sum(NEW_CLASSES[: 1 + [g['name'] for g in GRADES].index(meta['grade'])], [])
        grades.add(meta['grade'])
        assert meta['seen_classes'] == {label: f'class {label}' for label in seen}
        answer = answers[str(stem)]
        scores, parameters = answers_of_run(
            configs[stem], stem.parents[1] / f'{stem.name}.pth', images
        )
        assert answer['scores'] == scores
        assert answer['parameters'] == parameters
        assert len(answer['classes']) == 6
        for row in answer['scores']:
            assert [score > 0 for score in row] == [label in seen for label in range(6)]
            assert sum(row) == pytest.approx(1)
    assert grades == {'low', 'mid', 'high'}
    # The tool for tests knows which grade a student is of.
    config = configs[stems[0]]
    for key in ('dataloader', 'cfg', 'evaluator'):
        config[f'test_{key}'] = config[f'val_{key}']
    results = []
    for number, path in enumerate(
        (f'{stems[0]}.pth', stems[0].parents[1] / f'{stems[0].name}.pth')
    ):
        tested = copy.deepcopy(config)
        tested.work_dir = str(tmp_path / f'test_{number}')
        tested.experiment_name = f'{tmp_path.name}_test_{number}'
        results.append(run_test(RunConfig(tested), str(path))['accuracy/top1'])
    assert torch.load(f'{stems[0]}.pth')['meta']['grade'] == 'low'
    assert results[0] == results[1] > 0
    report(
        AREA,
        'a run ends early',
        'stopped at a promotion, and with averaged weights (EMA) within a grade and in the last '
        'grade; each student loaded by `mmpretrain.get_model` in a process that cannot import this '
        'package',
        f'{len(ends)} runs, {len(stems)} students',
        'the scores are those of the checkpoint bit for bit; classes not taught yet score zero',
    )


def test_what_is_exported_of_a_lower_grade_is_the_student_of_that_grade(tmp_path, report):
    hook = dict(type='EndAfterHook', epoch=3)
    path = write_config(tmp_path, lengths=(1, 3, 1), stop=hook, interval=2)
    status, text = run(path, tmp_path / 'run')
    assert status == 0, text
    (line,) = (line for line in text.splitlines() if 'The plain MMPretrain student: ' in line)
    assert line.endswith(
        'the run has ended early: it is that of grade 2 of 3 "mid" and knows 4 of 6 classes'
    )
    config = load_config(str(path), work_dir=str(tmp_path / 'test')).cfg
    out, _ = export_student(
        RunConfig(config), str(tmp_path / 'run' / 'epoch_2.pth'), str(tmp_path / 'e2.pth')
    )
    # The last state was saved although no checkpoint was due.
    stems = {tmp_path / 'e2': 'epoch_2', tmp_path / 'run' / 'student': 'epoch_3'}
    images, answers = use_without_this_package(tmp_path, stems)
    for stem, name in stems.items():
        scores, parameters = answers_of_run(config, tmp_path / 'run' / f'{name}.pth', images)
        assert answers[str(stem)]['scores'] == scores
        assert answers[str(stem)]['parameters'] == parameters
        assert [[score > 0 for score in row] for row in scores] == [[True] * 4 + [False] * 2] * 5
    # It is tested as the checkpoint that it comes from.
    results = []
    for number, checkpoint in enumerate(('student.pth', 'epoch_3.pth')):
        tested = load_config(str(path), work_dir=str(tmp_path / f'test_{number}')).cfg
        tested.experiment_name = f'{tmp_path.name}_test_{number}'
        for key in ('dataloader', 'cfg', 'evaluator'):
            tested[f'test_{key}'] = tested[f'val_{key}']
        results.append(
            run_test(RunConfig(tested), str(tmp_path / 'run' / checkpoint))['accuracy/top1']
        )
    assert results[0] == results[1]
    report(
        AREA,
        'a run ends in a lower grade, in good order',
        "a hook of the user's own sets `stop_training`; what tools/train.py has exported, and what "
        'tools/export_student.py makes of an earlier checkpoint, in a process that cannot import this '
        'package',
        len(stems),
        'the student of the grade reached, which the last line says; its scores are those of the '
        'checkpoint bit for bit',
    )


def test_a_stage_that_trains_connectors_alone_exports_no_student(tmp_path, report):
    path = write_config(tmp_path, lengths=(1, 1, 1))
    config = Config.fromfile(path, format_python_code=False)
    distiller = config.model.distiller
    source = dict(type='ModuleOutputs', source='backbone.layer1')
    distiller.student_recorders = distiller.teacher_recorders = dict(f=source)
    distiller.connectors = dict(c=dict(type='ConvModuleConnector', in_channel=4, out_channel=4))
    distiller.distill_losses = dict(loss_f=dict(type='L2Loss'))
    distiller.loss_forward_mappings = dict(
        loss_f=dict(
            s_feature=dict(from_student=True, recorder='f', connector='c'),
            t_feature=dict(from_student=False, recorder='f'),
        )
    )
    config.model.update(student_trainable=False, calculate_student_loss=False)
    config.dump(path)
    status, text = run(path, tmp_path / 'run')
    assert status == 0, text
    start = f'model.init_cfg=dict(type="Pretrained", checkpoint="{tmp_path}/run/epoch_3.pth")'
    assert text.splitlines()[-1].endswith(
        'No student is exported, because student_trainable=False trains connectors alone: the next '
        f'stage starts from its checkpoint by {start}'
    )
    assert not (tmp_path / 'run' / 'student.pth').exists()
    assert not (tmp_path / 'run' / 'students').exists()
    report(
        AREA,
        'a stage trains connectors alone',
        '`student_trainable=False`, `calculate_student_loss=False`',
        1,
        'no untrained student is exported; the last line says what the checkpoint is for',
    )


def test_students_come_and_go_with_their_checkpoints(tmp_path, report):
    config = school_config(tmp_path)
    config.default_hooks.checkpoint.max_keep_ckpts = 2
    config.custom_hooks += [dict(type='StopAtHook', epoch=5)]
    with pytest.raises(Killed):
        train(config)
    names = {path.name for path in (tmp_path / 'run' / 'students').iterdir()}
    kept = {path.stem for path in (tmp_path / 'run').glob('*.pth')}
    assert len(kept) == 3
    assert names == {f'{stem}.{kind}' for stem in kept for kind in ('py', 'pth')}
    sizes = [
        (tmp_path / 'run' / folder / 'epoch_4.pth').stat().st_size for folder in ('', 'students')
    ]
    assert sizes[1] < sizes[0] / 2
    report(
        AREA,
        'students fill the disk',
        '`max_keep_ckpts=2` and `save_best`, five epochs',
        1,
        'a student is there for each checkpoint that is there, and for no other',
    )


def test_a_kill_at_any_moment_leaves_no_broken_student(tmp_path, report, full):
    times = 12 if full else 1
    script = tmp_path / 'run.py'
    script.write_text(
        'import sys; sys.path[:0] = sys.argv[2:]\n'
        'import torch; torch.set_num_threads(1)\n'
        'from mmengine.config import Config; from runs import train\n'
        'import toy_images\n'
        'config = Config.fromfile(sys.argv[1]); print("READY", flush=True)\n'
        'train(config)\n'
    )
    config = school_config(tmp_path)
    config.model.curriculum.grades = [
        dict({key: grade[key] for key in grade if key != 'epochs'}, iters=20) for grade in GRADES
    ]
    config.train_cfg = dict(by_epoch=False, max_iters=60, val_interval=100)
    config.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=1, max_keep_ckpts=2
    )
    students = []
    for number in range(times):
        config.work_dir = str(tmp_path / f'run_{number}')
        config.dump(str(tmp_path / 'config.py'))
        with open(tmp_path / 'errors.txt', 'w') as errors:
            process = subprocess.Popen(
                [sys.executable, str(script), str(tmp_path / 'config.py'), *sys.path],
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        folder = Path(config.work_dir) / 'students'
        deadline = time.time() + 300
        wanted = 2 + number * 50 // times  # in all grades
        while not any(int(p.stem.split('_')[1]) >= wanted for p in folder.glob('iter_*.pth')):
            ended = process.poll() is not None
            assert not ended, (tmp_path / 'errors.txt').read_text()[-3000:]
            assert time.time() < deadline
            time.sleep(0.0007 * (number % 7))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert stems_in(Path(config.work_dir))
        students += stems_in(Path(config.work_dir))
    _, answers = use_without_this_package(tmp_path, students)
    assert len(answers) == len(students)
    report(
        AREA,
        'killed while it writes',
        'SIGKILL at a random moment of a run that saves after each iteration',
        f'{times} runs, {len(students)} students',
        'each student that is there loads in plain MMPretrain',
    )
