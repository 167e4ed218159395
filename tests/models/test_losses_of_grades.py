"""Weights and temperature of the losses that a grade gives."""

import pytest
import torch
from networks import build, images, kd_distiller, logits_distiller, resnet, samples
from torch.nn import functional as F

from edudistill_mm.errors import ConfigurationError


@pytest.fixture
def school(teacher_file):
    def make(*options, distiller=None, **kwargs):
        grades = [dict(epochs=1, fragments=3, **option) for option in options]
        grades[0]['classes'] = 'all'
        return build(
            dict(
                type='EducationDistill',
                architecture=resnet(),
                teacher=resnet(),
                teacher_ckpt=teacher_file('one', 6, 1),
                distiller=distiller or kd_distiller(),
                curriculum=dict(num_classes=6, grades=grades),
                **kwargs,
            )
        ).eval()

    return make


def losses(model, index):
    model.set_grade(model.curriculum.grades[index])
    return model.loss(images(4), samples([0, 1, 2, 3]))


def test_weights_of_a_grade_take_the_place_of_the_models(school):
    model = school(
        dict(),
        dict(task_loss_weight=0.5, distill_loss_weight=3.0),
        dict(task_loss_weight=0),
        task_loss_weight=2.0,
    )
    plain = school(dict()).loss(images(4), samples([0, 1, 2, 3]))
    for index, (task, distillation) in enumerate([(2, 1), (0.5, 3), (0, 1)]):
        now = losses(model, index)
        assert torch.allclose(now['student.loss'], task * plain['student.loss'])
        assert torch.allclose(now['distill.loss_kd'], distillation * plain['distill.loss_kd'])


def test_the_temperature_of_a_grade_is_that_of_the_loss_and_goes_with_it(school):
    model, x = school(dict(), dict(temperature=1.5), dict()), images(4)
    teacher, student = model.faculty.teachers[0].network(x), model.student(x)
    for index, tau in enumerate([4, 1.5, 4]):
        expected = tau**2 * F.kl_div(
            (student / tau).log_softmax(1), (teacher / tau).softmax(1), reduction='batchmean'
        )
        assert torch.allclose(losses(model, index)['distill.loss_kd'], expected)


def test_a_temperature_without_a_loss_that_has_one_is_refused(school):
    l2 = logits_distiller(dict(type='L2Loss'), names=('s_feature', 't_feature', ''))
    with pytest.raises(
        ConfigurationError, match=r'grades\[1\].temperature is 2, but no loss in distil'
    ):
        school(dict(), dict(temperature=2), distiller=l2)
    school(dict(), dict(distill_loss_weight=2), distiller=l2)
