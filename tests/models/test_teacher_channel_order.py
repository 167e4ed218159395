"""A teacher that says in which order it wants to see the channels, however they are loaded."""

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from networks import build, images, kd_distiller, resnet, samples

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.teachers import Teacher

MEAN, STD = [10.0, 20.0, 30.0], [2.0, 4.0, 5.0]
OWN = dict(type='ClsDataPreprocessor', mean=MEAN, std=STD, to_rgb=True)


def teacher_of(run, architecture=None, **cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        run = MODELS.build(dict(type='ClsDataPreprocessor', **run))
        network = build(architecture or resnet())
        teacher = Teacher('t', network, range(6), 6, run_preprocessor=run, **cfg)
    return run, teacher


@pytest.mark.parametrize('to_rgb', [False, True], ids=['run as loaded', 'run swaps'])
@pytest.mark.parametrize('loaded', ['rgb', 'bgr'])
@pytest.mark.parametrize('wanted', ['rgb', 'bgr'])
@pytest.mark.parametrize('kind', [None, 'own', dict(mean=MEAN, std=STD)])
def test_the_teacher_sees_the_order_that_it_wants(to_rgb, loaded, wanted, kind):
    pixels = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    of_run = dict(mean=[3.0, 4.0, 5.0], std=[6.0, 7.0, 8.0])
    run, teacher = teacher_of(
        dict(to_rgb=to_rgb, **of_run),
        dict(resnet(), data_preprocessor=OWN),
        data_preprocessor=kind,
        channel_order=wanted,
    )
    teacher.introduce_data(None, loaded)
    seen = teacher.inputs(run(dict(inputs=pixels))['inputs'])
    # The same by hand: into the wanted order, then normalised in it.
    expected = pixels.float() if loaded == wanted else pixels.flip(1).float()
    values = dict(mean=MEAN, std=STD)
    if kind is None:
        # As the student's, colour by colour.
        students = (loaded == wanted) != to_rgb
        values = {key: value if students else value[::-1] for key, value in of_run.items()}
    mean, std = (torch.tensor(values[key]).view(3, 1, 1) for key in ('mean', 'std'))
    assert torch.allclose(seen, (expected - mean) / std, atol=1e-4)


def test_to_rgb_swaps_what_is_loaded_whatever_that_is():
    pixels = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    run, teacher = teacher_of({}, data_preprocessor=dict(mean=MEAN, std=STD, to_rgb=True))
    before = teacher.inputs(run(dict(inputs=pixels))['inputs'])
    teacher.introduce_data(None, 'rgb')
    after = teacher.inputs(run(dict(inputs=pixels))['inputs'])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    assert torch.equal(before, after)
    assert torch.allclose(after, (pixels.flip(1) - mean) / std, atol=1e-4)


@pytest.mark.parametrize(
    'cfg, words',
    [
        (dict(channel_order='rbg'), 'must be "rgb" or "bgr", but got \'rbg\''),
        (
            dict(channel_order='rgb', data_preprocessor=dict(mean=MEAN, std=STD, to_rgb=False)),
            'has both channel_order="rgb".*and data_preprocessor.to_rgb',
        ),
    ],
)
def test_orders_that_are_none_are_refused(cfg, words):
    with pytest.raises(ConfigurationError, match=words):
        teacher_of({}, **cfg)


def test_an_order_is_refused_where_that_of_the_data_is_not_known(teacher_file):
    model = build(
        dict(
            type='EducationDistill',
            architecture=resnet(),
            teachers=[
                dict(
                    name='t',
                    architecture=resnet(),
                    ckpt=teacher_file('all', 6, 3),
                    channel_order='rgb',
                )
            ],
            distiller=kd_distiller(),
            curriculum=dict(num_classes=6, grades=[dict(epochs=1, fragments=3, classes='all')]),
        )
    )
    words = r'teachers\[0\].channel_order is "rgb", but .* metainfo=dict\(channel_order='
    with pytest.raises(ConfigurationError, match=words):
        model.loss(images(2), samples([0, 1]))
    with pytest.raises(ConfigurationError, match=words):
        model.introduce_data(None, None)
    model.introduce_data(None, 'rgb')
    straight = model.loss(images(2), samples([0, 1]))['distill.loss_kd']
    model.introduce_data(None, 'bgr')
    assert model.loss(images(2), samples([0, 1]))['distill.loss_kd'] != straight
