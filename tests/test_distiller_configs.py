"""The distillers of configs/_base_/distillers, each between the networks that it is written for."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from networks import build

from edudistill_mm.models.network import build_network

BASE = Path(__file__).resolve().parents[1] / 'configs' / '_base_'
NAMES = sorted(file.stem for file in (BASE / 'distillers').glob('*.py'))
# What is awake in the first two grades, which end at layer1 and layer3.
AWAKE = dict(
    at=[['loss_at_layer1'], ['loss_at_layer1', 'loss_at_layer2', 'loss_at_layer3']],
    crd=[[], []],
    cwd=[[], []],
    dist=[['loss_dist']] * 2,
    dkd=[['loss_dkd']] * 2,
    fitnets=[[], ['loss_hint']],
    kd=[['loss_kl']] * 2,
    kd_experts=[['loss_kl']] * 2,
    kd_standardized=[['loss_kl']] * 2,
    pkd=[[], []],
    rkd=[[], []],
    wsld=[['loss_wsld']] * 2,
)


@pytest.fixture(scope='session')
def resnet50(tmp_path_factory):
    cfg = Config.fromfile(BASE / 'models' / 'resnet50_zoo_cifar100.py').teachers[0]
    path = tmp_path_factory.mktemp('teacher') / 'resnet50.pth'
    torch.manual_seed(0)
    network = build_network(cfg.architecture.to_dict(), 'teacher')
    network.init_weights()
    torch.save(dict(state_dict=network.state_dict()), path)
    return dict(name='resnet50', architecture=cfg.architecture.to_dict(), ckpt=str(path))


# Scores alone, features with connectors, features without.
FAST = ('dkd', 'fitnets')


@pytest.mark.parametrize(
    'name',
    [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in NAMES],
)
def test_a_distiller_wakes_up_with_the_stages_and_its_connectors_learn(name, resnet50):
    files = [
        BASE / 'models' / 'resnet18_small_images.py',
        BASE / 'curricula' / 'three_grades.py',
        BASE / 'distillers' / f'{name}.py',
    ]
    student, curriculum, distiller = map(Config.fromfile, files)
    student.student.head.num_classes = curriculum.curriculum.num_classes = 100
    model = build(
        dict(
            type='EducationDistill',
            architecture=student.student.to_dict(),
            teachers=[resnet50],
            distiller=distiller.distiller.to_dict(),
            task_loss_weight=distiller.task_loss_weight,
            curriculum=curriculum.curriculum.to_dict(),
        )
    ).train()
    all_losses = list(distiller.distiller.distill_losses)
    random = torch.Generator().manual_seed(0)
    samples = []
    for index, label in enumerate((0, 1, 2, 0)):
        samples.append(DataSample().set_gt_label(label))
        samples[-1].set_field(torch.tensor(index), 'sample_idx')
    for grade, awake in zip(model.curriculum.grades, [*AWAKE[name], all_losses]):
        model.set_grade(grade)
        assert model.losses_awake == awake
        model.zero_grad()
        losses = model.loss(torch.randn(4, 3, 32, 32, generator=random), samples)
        total, log = model.parse_losses(losses)
        assert all(map(math.isfinite, log.values()))
        assert [key for key in log if key.startswith('distill.')] == [
            f'distill.{loss}' for loss in awake
        ]
        total.backward()
        parameters = list(model.distillers['resnet50'].connectors.parameters())
        assert all((parameter.grad is not None) == bool(awake) for parameter in parameters)
