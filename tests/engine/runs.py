"""A short run of three grades that the tests of the hooks share."""

import copy
import json
from pathlib import Path

import torch
import toy_images  # noqa: F401
from killed_runs import PipedImages  # noqa: F401
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from networks import build, kd_distiller, resnet

from edudistill_mm.engine import EducationRunner

COUNTS = (10, 6, 8, 8, 7, 9)
GRADES = [
    dict(name='low', epochs=2, fragments=1, classes=2, teachers=['low']),
    dict(name='mid', epochs=2, fragments=2, classes=2, teachers=['mid'], optimizer='reset'),
    dict(name='high', epochs=3, fragments=3, classes=2, teachers=['high']),
]
LENGTHS = [2, 2, 4, 4, 6, 6, 6]  # batches of 8 from 16, 32 and 48 images


@HOOKS.register_module(force=True)
class EndAfterHook(Hook):
    """A user's own hook that lets a run end after an epoch, in good order."""

    def __init__(self, epoch):
        self.epoch = epoch

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.epoch:
            runner.train_loop.stop_training = True


def school_config(tmp_path):
    """Config of a short run of three grades with an expert each, on six classes."""
    teachers = []
    for seed, grade in enumerate(GRADES):
        torch.save(
            dict(state_dict=build(resnet(2), seed).state_dict()), tmp_path / f'{grade["name"]}.pth'
        )
        teachers.append(
            dict(
                name=grade['name'],
                architecture=resnet(2),
                ckpt=str(tmp_path / f'{grade["name"]}.pth'),
                classes=grade['name'],
            )
        )

    def loader(sampler, batch_size):
        return dict(
            batch_size=batch_size,
            num_workers=0,
            sampler=sampler,
            collate_fn=dict(type='default_collate'),
            dataset=dict(type='ToyImages', counts=COUNTS),
        )

    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='EducationDistill',
                architecture=resnet(),
                teachers=teachers,
                distiller=kd_distiller(),
                curriculum=dict(num_classes=6, grades=copy.deepcopy(GRADES)),
                data_preprocessor=dict(
                    type='ClsDataPreprocessor', mean=[60.0] * 3, std=[60.0] * 3
                ),
            ),
            train_dataloader=loader(dict(type='GradeSampler'), 8),
            val_dataloader=loader(dict(type='DefaultSampler', shuffle=False), 16),
            train_cfg=dict(by_epoch=True, max_epochs=7, val_interval=1),
            val_cfg=dict(),
            val_evaluator=[dict(type='Accuracy', topk=1), dict(type='GradeAccuracy')],
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
            custom_hooks=[
                dict(type='GradeSchedulerHook'),
                dict(type='SafeCheckpointHook'),
                dict(type='StudentCheckpointHook'),
            ],
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(type='CheckpointHook', interval=1, save_best='accuracy/top1'),
            ),
            vis_backends=[dict(type='LocalVisBackend')],
            visualizer=dict(
                type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
            ),
            randomness=dict(seed=0),
            work_dir=str(tmp_path / 'run'),
            experiment_name=tmp_path.name,
        ),
        format_python_code=False,
    )


def generalist_run(tmp_path, **model):
    """A run of two grades of all classes with one generalist, long enough to be captured."""
    config = school_config(tmp_path)
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    file = tmp_path / 'all.pth'
    torch.save(dict(state_dict=build(resnet(6), 5).state_dict()), file)
    config.model.teachers = [
        dict(name='all', architecture=resnet(6), ckpt=str(file), classes='all')
    ]
    config.model.curriculum.grades = [
        dict(name='low', iters=40, fragments=1, classes='all', teachers=['all']),
        dict(name='high', iters=40, fragments=3, classes=[]),
    ]
    config.train_cfg = dict(by_epoch=False, max_iters=80)
    config.default_hooks.checkpoint = dict(type='CheckpointHook', interval=50, by_epoch=False)
    config.param_scheduler = None
    config.train_dataloader.update(resident=True, batch_size=8)
    config.train_dataloader.dataset.type = 'PipedImages'
    config.train_dataloader.dataset.pipeline = [
        dict(type='RandomCrop', crop_size=8, padding=1),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackInputs'),
    ]
    config.model.update(model)
    config.randomness = dict(seed=0)
    return config


def scalars(work_dir, newest=True):
    """The steps and the validations that a run has written to vis_data."""
    file = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))[-1 if newest else 0]
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [row for row in rows if 'loss' in row], [row for row in rows if 'seen/top1' in row]


def train(config, kind=EducationRunner):
    """Train by a config that is taken as it is."""
    runner = kind.from_completed_cfg(config) if kind is EducationRunner else kind.from_cfg(config)
    runner.train()
    return runner
