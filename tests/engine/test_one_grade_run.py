"""The first contract through complete runs: data, augmentation, optimizer and all."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from networks import build, kd_distiller, resnet
from runs import scalars

STEPS = 12


def run(tmp_path, name, sampler, **model):
    """Train one epoch on augmented digits; return the losses of each step and the weights."""
    config = Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                architecture=resnet(10),
                teacher=resnet(10),
                teacher_ckpt=str(tmp_path / 'teacher.pth'),
                distiller=dict(kd_distiller(), _scope_='mmrazor'),
                data_preprocessor=dict(
                    type='mmpretrain.ClsDataPreprocessor', mean=[77.8] * 3, std=[95.9] * 3
                ),
                **model,
            ),
            train_dataloader=dict(
                batch_size=1442 // STEPS + 1,
                num_workers=0,
                collate_fn=dict(type='default_collate'),
                sampler=dict(type=sampler, shuffle=True),
                dataset=dict(
                    type='Digits',
                    split='train',
                    pipeline=[
                        dict(type='RandomCrop', crop_size=8, padding=1),
                        dict(type='RandomFlip', prob=0.5),
                        dict(type='PackInputs'),
                    ],
                ),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4)
            ),
            custom_hooks=[dict(type='GradeSchedulerHook')] if 'curriculum' in model else [],
            default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
            visualizer=dict(
                type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
            ),
            # On a GPU the order of sums differs between two runs unless it is asked for.
            randomness=dict(seed=0, deterministic=True),
            work_dir=str(tmp_path / name),
            experiment_name=f'{tmp_path.name}_{name}',
        ),
        format_python_code=False,
    )
    runner = Runner.from_cfg(config)
    runner.train()
    keys = ('loss', 'student.loss', 'distill.loss_kd', 'lr')
    losses = [[row[key] for key in keys] for row in scalars(tmp_path / name)[0]]
    return losses, runner.model.architecture.state_dict()


@pytest.fixture(autouse=True)
def sums_in_any_order_afterwards():
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False


@pytest.mark.parametrize('sampler', ['DefaultSampler', 'GradeSampler'])
def test_a_run_of_one_grade_is_mmrazors_run_bit_for_bit(sampler, tmp_path):
    torch.save(dict(state_dict=build(resnet(10), 9).state_dict()), tmp_path / 'teacher.pth')
    theirs = run(tmp_path, 'mmrazor', sampler, type='mmrazor.SingleTeacherDistill')
    grades = [dict(epochs=1, fragments=1, classes='all')]
    curriculum = dict(num_classes=10, grades=grades)
    ours = run(tmp_path, 'school', sampler, type='EducationDistill', curriculum=curriculum)
    assert len(ours[0]) == STEPS and ours[0] == theirs[0]
    assert set(ours[1]) == set(theirs[1])
    assert all(torch.equal(ours[1][name], tensor) for name, tensor in theirs[1].items())
