"""Outputs of teachers in runs without the tools."""

import pytest
import torch
from mmengine.runner import Runner
from networks import build, resnet
from runs import school_config, train

from edudistill_mm.errors import ConfigurationError


def one_teacher(tmp_path, names=None, **teacher):
    """A run of one short grade with a teacher of all classes."""
    cfg = school_config(tmp_path)
    meta = {} if names is None else dict(dataset_meta=dict(classes=names))
    torch.save(
        dict(meta=meta, state_dict=build(resnet(6), 4).state_dict()), tmp_path / 'teacher.pth'
    )
    cfg.model.teachers = [
        dict(name='t', architecture=resnet(6), ckpt=str(tmp_path / 'teacher.pth'), **teacher)
    ]
    cfg.model.curriculum = dict(num_classes=6, grades=[dict(epochs=2, fragments=3, classes='all')])
    cfg.train_cfg.max_epochs = 2
    return cfg


def test_a_runner_takes_outputs_by_the_names_in_a_checkpoint(tmp_path):
    order = [3, 1, 0, 2, 5, 4]
    cfg = one_teacher(tmp_path, names=[f'class {label}' for label in order])
    runner = train(cfg)
    (teacher,) = runner.model.faculty.teachers
    assert teacher.columns.classes == (2, 1, 3, 0, 5, 4)
    (saved,) = torch.load(tmp_path / 'run' / 'epoch_2.pth', weights_only=False)['meta'][
        'education'
    ]['teachers']
    assert saved['outputs'] == [2, 1, 3, 0, 5, 4]


def test_other_outputs_are_no_continuation_of_a_run(tmp_path):
    cfg = one_teacher(tmp_path)
    cfg.train_cfg.val_interval = 5
    train(cfg)
    cfg = one_teacher(tmp_path, outputs=[1, 0, 2, 3, 4, 5])
    cfg.resume, cfg.load_from = True, str(tmp_path / 'run' / 'epoch_1.pth')
    cfg.experiment_name = f'{tmp_path.name}_resumed'
    with pytest.raises(
        ConfigurationError,
        match=r'teacher "t" has outputs \[1, 0, 2, 3, 4, 5\], the run began with all in order',
    ):
        Runner.from_cfg(cfg).train()
    # All of them, in order, is what the run began with.
    cfg = one_teacher(tmp_path, outputs=[0, 1, 2, 3, 4, 5])
    cfg.resume, cfg.load_from = True, str(tmp_path / 'run' / 'epoch_1.pth')
    cfg.experiment_name = f'{tmp_path.name}_resumed_too'
    assert train(cfg).epoch == 2
