import re

import pytest
import torch
from mmengine.config import Config
from mmpretrain import get_model
from networks import build, kd_distiller, resnet

from edudistill_mm.apis.test import test as measure
from edudistill_mm.apis.train import train
from edudistill_mm.config.check_config import check_config
from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.export_student import export_student

# As MMEngine's Python-style configs are: each type is the class itself.
PYTHON_STYLE = """
from mmengine.dataset import DefaultSampler, default_collate
from mmengine.optim import OptimWrapper
from mmpretrain.evaluation import Accuracy
from mmpretrain.models import (ClsDataPreprocessor, CrossEntropyLoss, GlobalAveragePooling,
                               ImageClassifier, LinearClsHead, ResNet_CIFAR)
from torch.optim import SGD

from edudistill_mm.datasets import Digits, GradeSampler
from edudistill_mm.engine import GradeSchedulerHook
from edudistill_mm.models import EducationDistill, FragmentedStudent
from mmpretrain.datasets import PackInputs

default_scope = 'mmpretrain'
student = dict(
    type=ImageClassifier,
    backbone=dict(
        type=ResNet_CIFAR, depth=18, num_stages=3, stem_channels=4, base_channels=4,
        strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=LinearClsHead, num_classes=10, in_channels=16,
              loss=dict(type=CrossEntropyLoss)))
model = dict(
    type=EducationDistill,
    architecture=dict(type=FragmentedStudent, student=student),
    curriculum=dict(num_classes=10, grades=[
        dict(name='low', epochs=1, fragments=1, classes=5),
        dict(name='high', epochs=1, fragments=3, classes=5)]))
data_preprocessor = dict(type=ClsDataPreprocessor, mean=[77.8] * 3, std=[95.9] * 3, to_rgb=False)
train_dataloader = dict(
    batch_size=256, sampler=dict(type=GradeSampler), collate_fn=dict(type=default_collate),
    dataset=dict(type=Digits, split='train', pipeline=[dict(type=PackInputs)]))
test_dataloader = dict(
    batch_size=256, sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=default_collate),
    dataset=dict(type=Digits, split='test', pipeline=[dict(type=PackInputs)]))
test_cfg = dict()
test_evaluator = [dict(type=Accuracy)]
train_cfg = dict(by_epoch=True, max_epochs=2)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.05))
custom_hooks = [dict(type=GradeSchedulerHook)]
"""


def test_a_config_of_classes_trains_and_its_student_is_exported_by_names(tmp_path):
    file = tmp_path / 'classes.py'
    file.write_text(PYTHON_STYLE)
    cfg = load_config(str(file), work_dir=str(tmp_path / 'run')).cfg
    check_config(RunConfig(cfg))
    train(RunConfig(cfg))
    checkpoint = str(tmp_path / 'run' / 'epoch_2.pth')
    cfg = load_config(str(file), work_dir=str(tmp_path / 'run')).cfg
    weights, config = export_student(RunConfig(cfg), checkpoint, str(tmp_path / 'student.pth'))
    assert measure(RunConfig(cfg), checkpoint)['accuracy/top1'] > 0
    plain = Config.fromfile(config)
    assert plain.model.type == 'ImageClassifier'
    assert plain.model.backbone.type == 'ResNet_CIFAR'
    assert plain.test_dataloader.dataset.type == 'Digits'
    image = torch.rand(1, 3, 8, 8)
    assert get_model(config, pretrained=weights)(image).shape == (1, 10)


@pytest.mark.parametrize(
    'name', ['edu_kd_digits.py', 'digits/edu-kd-experts_resnet14_resnet14_digits.py']
)
def test_a_config_of_another_project_inherits_one_of_this_package(tmp_path, name):
    file = tmp_path / 'mine.py'
    file.write_text(f"_base_ = 'edudistill_mm::{name}'\n")
    cfg = load_config(str(file)).cfg
    assert cfg.model['_scope_'] == 'mmpretrain'
    assert set(re.findall("'_scope_': '(.*?)'", repr(cfg.to_dict()))) == {'mmpretrain'}
    check_config(RunConfig(cfg))


@pytest.mark.parametrize(
    'changes, said',
    [
        (dict(teacher_ckpt='nowhere.pth'), 'model.teacher_ckpt: .*nowhere.pth'),
        (dict(teacher_ckpt=None), 'model.teacher .* URL as model.teacher_ckpt'),
        (dict(teacher='nowhere.py'), 'model.teacher: the config "nowhere.py"'),
    ],
)
def test_the_one_teacher_of_mmrazors_key_is_called_by_it(changes, said):
    model = dict(
        type='EducationDistill',
        architecture=resnet(),
        teacher=resnet(),
        teacher_ckpt='x.pth',
        distiller=kd_distiller(),
        curriculum=dict(
            num_classes=6, grades=[dict(name='only', fragments=3, classes=6, epochs=1)]
        ),
    )
    with pytest.raises(ConfigurationError, match=said) as error:
        build({**model, **changes})
    assert 'teachers[0]' not in str(error.value)
