"""Gray students under teachers of three channels, and the reverse."""

import pytest
import torch
from mmengine.registry import MODELS
from networks import build, kd_distiller, resnet, samples

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.teachers.teacher_inputs import TeacherInputs


def network(channels):
    cfg = resnet()
    cfg['backbone']['in_channels'] = channels
    return cfg


@pytest.fixture
def school(tmp_path):
    def make(student, teacher, run, **keys):
        torch.save(build(network(teacher)).state_dict(), tmp_path / 'teacher.pth')
        cfg = dict(name='t', architecture=network(teacher), ckpt=str(tmp_path / 'teacher.pth'))
        return build(
            dict(
                type='EducationDistill',
                architecture=network(student),
                teachers=[dict(cfg, **keys)],
                distiller=kd_distiller(),
                data_preprocessor=dict(type='ClsDataPreprocessor', **run),
                curriculum=dict(
                    num_classes=6, grades=[dict(epochs=1, fragments=3, classes='all')]
                ),
            )
        )

    return make


GRAY, COLOURS = dict(mean=[100.0], std=[50.0]), dict(mean=[10.0, 20.0, 30.0], std=[1.0, 2.0, 4.0])


@pytest.mark.parametrize(
    'own, expected', [(COLOURS, [140.0, 65.0, 30.0]), (None, [1.0] * 3)], ids=['own', 'repeated']
)
def test_a_teacher_of_three_channels_sees_a_gray_image_three_times(school, own, expected):
    model = school(1, 3, GRAY, **({} if own is None else dict(data_preprocessor=own)))
    # A pixel of 150, as the student sees it.
    seen = model.faculty.teachers[0].inputs(torch.ones(2, 1, 16, 16))
    assert seen.shape == (2, 3, 16, 16)
    assert seen[1, :, 7, 7].tolist() == pytest.approx(expected)
    assert torch.isfinite(model.loss(torch.ones(2, 1, 16, 16), samples([0, 1]))['distill.loss_kd'])


@pytest.mark.parametrize(
    'loaded, to_rgb, red_first',
    [('rgb', False, True), ('bgr', False, False), ('bgr', True, True), ('rgb', True, False)],
)
def test_a_gray_teacher_sees_the_luminance(school, loaded, to_rgb, red_first):
    model = school(3, 1, dict(COLOURS, to_rgb=to_rgb), data_preprocessor=GRAY)
    model.introduce_data(None, loaded)
    # What the student sees: pixels of 50, 150, 210, of luminance 0.299 * 50 + 0.587 * 150 +
    # 0.114 * 210 = 126.94 if red comes first, and 0.299 * 210 + 88.05 + 0.114 * 50 = 156.54 if
    # blue does.
    x = torch.tensor([40.0, 65.0, 45.0]).view(1, 3, 1, 1).expand(2, 3, 16, 16)
    seen = model.faculty.teachers[0].inputs(x)
    assert seen.shape == (2, 1, 16, 16)
    value = 126.94 if red_first else 156.54
    assert float(seen[0, 0, 3, 3]) == pytest.approx((value - 100) / 50, abs=1e-4)
    assert torch.isfinite(model.loss(x, samples([0, 1]))['distill.loss_kd'])


def test_without_a_normalisation_the_gray_teacher_sees_that_of_the_student():
    run = MODELS.build(dict(type='ClsDataPreprocessor', **COLOURS))
    inputs = TeacherInputs(run, channels=1)
    seen = inputs(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1))
    assert float(seen) == pytest.approx(0.299 + 2 * 0.587 + 3 * 0.114)


def test_colours_of_unknown_order_make_no_gray(school):
    model = school(3, 1, COLOURS, data_preprocessor=GRAY)
    with pytest.raises(
        ConfigurationError, match='reads gray images.*channel_order="rgb" or "bgr"'
    ):
        model.introduce_data(None, None)


@pytest.mark.parametrize(
    'student, teacher, keys, words',
    [
        (4, 3, {}, r'teachers\[0\] \("t"\) reads images of 3 channels, but the student reads 4'),
        (3, 1, dict(data_preprocessor=COLOURS), 'is for 3 channels, but the teacher reads 1'),
    ],
)
def test_what_cannot_be_made_is_refused(school, student, teacher, keys, words):
    with pytest.raises(ConfigurationError, match=words):
        school(student, teacher, {}, **keys)
