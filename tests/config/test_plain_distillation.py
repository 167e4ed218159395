"""Plain distillation, which the tools run as a curriculum of one grade."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain import get_model
from networks import build, dkd_distiller, resnet
from toy_images import ToyImages  # noqa: F401

from edudistill_mm.apis.test_teachers import test_teachers as report_teachers
from edudistill_mm.apis.train import prepare_runtime, train
from edudistill_mm.comparison.beginning import check_beginning
from edudistill_mm.config.load import load_config
from edudistill_mm.config.plain_distillation import as_written
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.cost.curriculum_table import curriculum_table
from edudistill_mm.errors import ConfigurationError
from tools.benchmark import benchmark


@pytest.fixture
def plain(tmp_path):
    """Loads a config of MMRazor's whose networks are those of a file with 1000 classes."""
    network = tmp_path / 'network.py'
    Config(dict(model=resnet(1000))).dump(network)

    def load(options=None, name='run', **content):
        def loader(counts, shuffle):
            return dict(
                batch_size=12,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=shuffle),
                dataset=dict(type='ToyImages', counts=counts),
            )

        spec = dict(cfg_path=str(network), head=dict(num_classes='auto'))
        file = tmp_path / 'plain.py'
        Config(
            dict(
                default_scope='mmpretrain',
                model=dict(
                    _scope_='mmrazor',
                    type='SingleTeacherDistill',
                    architecture=spec,
                    teacher=spec,
                    teacher_ckpt=str(tmp_path / 'teacher.pth'),
                    distiller=dkd_distiller(),
                ),
                data_preprocessor=dict(
                    type='mmpretrain.ClsDataPreprocessor', mean=[60.0] * 3, std=[60.0] * 3
                ),
                train_dataloader=loader((8,) * 6, True),
                val_dataloader=loader((20,) * 6, False),
                val_cfg=dict(type='mmrazor.SingleTeacherDistillValLoop'),
                val_evaluator=dict(type='Accuracy'),
                train_cfg=dict(by_epoch=True, max_epochs=1),
                teacher_training=dict(train_cfg=dict(max_epochs=6)),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
                default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
                visualizer=dict(
                    type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
                ),
                randomness=dict(seed=0),
                **content,
            )
        ).dump(file)
        cfg = load_config(str(file), options, str(tmp_path / name)).cfg
        cfg.experiment_name = f'{tmp_path.name}_{name}'
        prepare_runtime(cfg)
        return cfg

    return load


def random_teacher(tmp_path, classes=6):
    torch.save(dict(state_dict=build(resnet(classes)).state_dict()), tmp_path / 'teacher.pth')


def losses(work_dir):
    (file,) = Path(work_dir).glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    keys = ('loss', 'student.loss', 'distill.loss_kd')
    return [[row[key] for key in keys] for row in rows if 'loss' in row]


def test_networks_are_those_of_the_config_and_the_student_is_exported(plain, tmp_path):
    runner = train(RunConfig(plain()), with_teachers=True)
    (teacher,) = runner.model.faculty.teachers
    assert len(teacher.network.head.fc.weight) == len(runner.model.student.head.fc.weight) == 6
    for name in ('student', 'students/epoch_1'):
        student = get_model(str(tmp_path / f'run/{name}.py'), str(tmp_path / f'run/{name}.pth'))
        assert student(torch.zeros(1, 3, 8, 8)).shape == (1, 6)


def test_a_random_teacher_is_refused(plain, tmp_path):
    random_teacher(tmp_path)
    with pytest.raises(ConfigurationError, match='teacher "teacher" is right on .*chance is 16.7'):
        train(RunConfig(plain()))
    assert report_teachers(RunConfig(plain()))[0].near_chance


@pytest.mark.slow
def test_the_losses_are_those_of_mmrazors_class_whose_run_is_not_resumed(plain, tmp_path):
    random_teacher(tmp_path)
    train(RunConfig(plain()), with_teacher_test=False)
    theirs = as_written(plain(name='mmrazor'))
    network = build(resnet(6)).state_dict
    assert theirs.model.type == 'SingleTeacherDistill' and 'curriculum' not in theirs.model
    # MMRazor does not take what a config says beside cfg_path.
    theirs.model.architecture = theirs.model.teacher = resnet(6)
    theirs.val_cfg = dict()
    runner = Runner.from_cfg(theirs)
    runner.train()
    assert len(losses(tmp_path / 'run')) == 4
    assert losses(tmp_path / 'run') == losses(tmp_path / 'mmrazor')
    state = torch.load(tmp_path / 'run' / 'student.pth', weights_only=True)['state_dict']
    assert set(state) == set(network())
    for name, tensor in runner.model.architecture.cpu().state_dict().items():
        assert torch.equal(state[name], tensor)
    with pytest.raises(ConfigurationError, match='written by a distillation class of MMRazor'):
        train(RunConfig(plain(name='again')), str(tmp_path / 'mmrazor' / 'epoch_1.pth'))


def test_the_grade_is_as_long_as_the_loop(plain):
    def length(options):
        (grade,) = plain(options).model.curriculum.grades
        return {key: grade[key] for key in ('epochs', 'iters') if key in grade}

    assert length({'train_cfg.max_epochs': 7}) == dict(epochs=7)
    options = {'train_cfg.max_iters': 9, 'train_cfg.by_epoch': False, 'train_cfg._delete_': True}
    assert length(options) == dict(iters=9)


def test_the_written_config_of_a_run_follows_its_loop_as_well(plain, tmp_path):
    plain().dump(tmp_path / 'written.py')
    cfg = load_config(str(tmp_path / 'written.py'), {'train_cfg.max_epochs': 5}).cfg
    assert cfg.model.curriculum.grades[0].epochs == 5


def test_what_a_curriculum_would_take_is_not_taken_in_silence(plain):
    grades = [dict(epochs=1, classes=3), dict(epochs=1, classes=3)]
    message = 'model.curriculum is given, but model.type is "SingleTeacherDistill"'
    with pytest.raises(ConfigurationError, match=message):
        plain({'model.curriculum': dict(num_classes=6, grades=grades)})
    # Without a teacher the student would be its own.
    with pytest.raises(ConfigurationError, match='model.teacher is missing'):
        plain({'model.teacher': None})


def test_the_table_of_grades_has_one_row(plain, tmp_path):
    lines = curriculum_table(RunConfig(plain())).splitlines()
    assert lines[2].split()[:3] == ['whole', 'training', '1-1']
    with pytest.raises(ConfigurationError, match='at least two grades'):
        benchmark(RunConfig(plain()))


@pytest.mark.parametrize(
    'change, message',
    [
        ({}, 'and chance is 16.7'),
        ({'model.architecture.backbone.depth': 17}, 'depth'),
        ({'model.teacher.head.num_classes': 5}, r'\(5, 16\)|covers 6 classes'),
        ({'model.teacher.backbone.depth': 34}, 'does not fit the architecture'),
        ({'model.teacher_ckpt': None}, 'has no checkpoint'),
        (
            {'model.architecture.head.num_classes': 7, 'model.teacher.head.num_classes': 7},
            'num_classes is 7, but the training data have 6 classes; .*num_classes="auto"',
        ),
        ({'val_evaluator': None}, 'val_evaluator is missing'),
    ],
)
def test_a_dry_run_finds_what_a_run_refuses_at_its_start(plain, tmp_path, change, message):
    random_teacher(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        check_beginning(RunConfig(plain(change)))
    assert not (tmp_path / 'run').exists()


def test_a_dry_run_takes_teachers_that_are_to_be_trained_for_trained_ones(plain, tmp_path):
    warmup = dict(type='DistillWarmupHook', epochs=1)
    check_beginning(RunConfig(plain(custom_hooks=[warmup])))
    with pytest.raises(ConfigurationError, match='did you mean "loss_kd"'):
        check_beginning(RunConfig(plain(custom_hooks=[dict(warmup, losses=['loss_kdd'])])))
    assert not (tmp_path / 'teacher.pth').exists() and not (tmp_path / 'run').exists()
