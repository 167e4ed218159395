"""Deliveries of MMRazor, whose function the student may not run before a later grade."""

import pytest
import torch
from mmpretrain.models.backbones import ResNet_CIFAR
from mmpretrain.registry import MODELS
from networks import build, images, kd_distiller, resnet, samples
from torch import nn

DRAWS = []


class Late(nn.Module):
    """Adds noise, which a delivery takes from the teacher to the student."""

    def noise(self, x):
        DRAWS.append(len(x))
        return torch.randn_like(x)

    def forward(self, x):
        return x + self.noise(x)


@MODELS.register_module()
class NoisyEnd(ResNet_CIFAR):
    """A backbone whose last stage alone calls what is delivered."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.layer3.add_module('late', Late())


@pytest.fixture
def model(tmp_path):
    noisy = resnet()
    noisy['backbone']['type'] = 'NoisyEnd'
    torch.save(dict(state_dict=build(noisy, 3).state_dict()), tmp_path / 'teacher.pth')
    delivery = dict(type='MethodOutputs', max_keep_data=1, method_path=f'{__name__}.Late.noise')
    return build(
        dict(
            type='EducationDistill',
            architecture=noisy,
            teachers=[dict(name='t', architecture=noisy, ckpt=str(tmp_path / 'teacher.pth'))],
            distiller=dict(kd_distiller(), distill_deliveries=dict(noise=delivery)),
            data_preprocessor=dict(type='ClsDataPreprocessor'),
            curriculum=dict(
                num_classes=6,
                grades=[
                    dict(epochs=1, fragments=1, classes='all'),
                    dict(epochs=1, fragments=3, classes='all'),
                ],
            ),
        )
    )


def test_what_a_lower_grade_does_not_ask_for_is_not_kept(model):
    low, high = model.curriculum.grades
    batch = images(2), samples([0, 1])
    DRAWS.clear()
    model.set_grade(low)
    for _ in range(3):
        assert torch.isfinite(model.loss(*batch)['distill.loss_kd'])
    assert len(DRAWS) == 3

    # The complete student takes the teacher's of this step: nobody draws a second time.
    model.set_grade(high)
    given = []
    model.student.backbone.layer3.late.register_forward_hook(
        lambda module, inputs, output: given.append(output - inputs[0])
    )
    model.faculty.teachers[0].network.backbone.layer3.late.register_forward_hook(
        lambda module, inputs, output: given.append(output - inputs[0])
    )
    model.loss(*batch)
    assert len(DRAWS) == 4
    assert torch.allclose(given[0], given[1], atol=1e-5)
