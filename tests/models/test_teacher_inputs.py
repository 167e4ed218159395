import warnings

import pytest
import torch
from mmengine.registry import MODELS
from networks import build, images, kd_distiller, resnet, samples

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.teachers.teacher_inputs import TeacherInputs

MEAN, STD = [10.0, 20.0, 30.0], [2.0, 4.0, 5.0]


def preprocessor(kind='ClsDataPreprocessor', **kwargs):
    return MODELS.build(dict(type=kind, **kwargs))


def normalised(preprocessor, pixels):
    return preprocessor(dict(inputs=[image for image in pixels]))['inputs']


# ---- arithmetic
@pytest.mark.parametrize(
    'run, wanted',
    [
        (dict(mean=[0, 0, 0], std=[255, 255, 255]), dict(mean=MEAN, std=STD)),
        (dict(mean=STD, std=MEAN), dict(mean=MEAN, std=STD, to_rgb=True)),
        (dict(mean=STD, std=MEAN, to_rgb=True), dict(mean=MEAN, std=STD, to_rgb=True)),
        (dict(mean=STD, std=MEAN, to_rgb=True), dict(mean=MEAN, std=STD)),
        (dict(), dict(mean=MEAN, std=STD, to_rgb=True)),
    ],
    ids=['order kept', 'swapped for the teacher', 'both swapped', 'swapped back', 'raw student'],
)
@pytest.mark.parametrize('as_module', [True, False])
def test_the_teacher_sees_what_its_own_preprocessor_would_make_of_the_pixels(
    run, wanted, as_module
):
    pixels = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    run, own = preprocessor(**run), preprocessor(**wanted)
    inputs = TeacherInputs(run, own if as_module else wanted)
    assert torch.allclose(inputs(normalised(run, pixels)), normalised(own, pixels), atol=1e-4)


def test_mmengines_preprocessor_is_read_too():
    pixels = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    run = preprocessor(mean=STD, std=MEAN)
    own = preprocessor('ImgDataPreprocessor', mean=MEAN, std=STD, bgr_to_rgb=True)
    assert torch.allclose(
        TeacherInputs(run, own)(normalised(run, pixels)), normalised(own, pixels), atol=1e-4
    )


def test_equal_normalisations_leave_the_very_tensor():
    run = preprocessor(mean=MEAN, std=STD)
    x = images(2)
    assert TeacherInputs(run, dict(mean=MEAN, std=STD))(x) is x
    assert TeacherInputs(run)(x) is x


def test_images_are_resized():
    inputs = TeacherInputs(preprocessor(), size=(4, 2))
    x = torch.arange(2 * 8 * 8, dtype=torch.float32).view(1, 2, 8, 8)
    small = inputs(x)
    assert small.shape == (1, 2, 4, 2)
    assert small.mean() == pytest.approx(float(x.mean()), rel=1e-5)
    assert inputs(small) is small


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(wanted=dict(mean=MEAN, sdt=STD)), 'did you mean "std"'),
        (dict(wanted=dict(mean=MEAN)), 'needs "mean" and a positive "std"'),
        (dict(wanted=dict(mean=MEAN, std=[1, 0, 1])), 'positive "std"'),
        (
            dict(wanted=dict(mean=[1, 2], std=[1, 2])),
            'is for 2 channels, but the run normalises 3',
        ),
        (dict(size=0), 'teachers.input_size must be a positive integer'),
        (dict(size=(3, 3, 3)), 'input_size'),
        (dict(size='32'), 'input_size'),
    ],
)
def test_values_that_are_none_are_refused(kwargs, words):
    with pytest.raises(ConfigurationError, match=words):
        TeacherInputs(preprocessor(mean=MEAN, std=STD), **kwargs)


# ---- in a school
RUN = dict(type='ClsDataPreprocessor', mean=[0.0] * 3, std=[1.0] * 3)
OWN = dict(type='ClsDataPreprocessor', mean=MEAN, std=STD, to_rgb=True)


@pytest.fixture
def school(teacher_file):
    def make(architecture=None, **teacher):
        cfg = dict(
            name='all', architecture=architecture or resnet(), ckpt=teacher_file('all', 6, 3)
        )
        return build(
            dict(
                type='EducationDistill',
                architecture=resnet(),
                teachers=[{**cfg, **teacher}],
                distiller=kd_distiller(),
                data_preprocessor=RUN,
                curriculum=dict(
                    num_classes=6, grades=[dict(epochs=1, fragments=3, classes='all')]
                ),
            )
        )

    return make


def taught(model):
    """The images that the teacher's network reads."""
    seen = []
    handle = model.faculty.teachers[0].network.backbone.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    x = images(2) * 50 + 100
    model.loss(x, samples([0, 1]))
    handle.remove()
    return x, seen[0]


def test_own_normalisation_is_the_architectures(school):
    x, seen = taught(school(dict(resnet(), data_preprocessor=OWN), data_preprocessor='own'))
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    assert torch.allclose(seen, (x.flip(1) - mean) / std, atol=1e-4)


def test_a_teacher_may_see_larger_images(school):
    x, seen = taught(school(input_size=24))
    assert x.shape[2:] == (16, 16) and seen.shape[2:] == (24, 24)


def test_without_keys_the_teacher_sees_the_students_images_and_a_warning_tells(school):
    with pytest.warns(UserWarning, match=r'teachers\[0\].data_preprocessor="own"'):
        model = school(dict(resnet(), data_preprocessor=OWN))
    x, seen = taught(model)
    assert seen is x
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always')
        school(dict(resnet(), data_preprocessor=RUN))
    assert not [warning for warning in told if 'data_preprocessor' in str(warning.message)]


@pytest.mark.parametrize(
    'value, words', [('own', 'has no data_preprocessor with mean'), ('its', 'must be "own" or')]
)
def test_a_normalisation_that_is_none_is_refused(school, value, words):
    with pytest.raises(ConfigurationError, match=words):
        school(data_preprocessor=value)


# ---- where teachers come from
def test_a_name_of_the_zoo_is_an_architecture_with_published_weights(monkeypatch, tmp_path):
    from edudistill_mm.models import network
    from edudistill_mm.models.teachers import Teacher

    plain = network.build_network('resnet18_8xb16_cifar10', 'teacher')
    assert plain.head.num_classes == 10 and plain.data_preprocessor.mean.flatten()[0] > 100
    torch.save(dict(state_dict=plain.state_dict()), tmp_path / 'published.pth')
    asked = []

    def download(url):
        asked.append(url)
        return str(tmp_path / 'published.pth')

    # There is no internet in tests.
    monkeypatch.setattr(network, 'resolve_checkpoint', download)
    teacher = Teacher('zoo', 'resnet18_8xb16_cifar10', range(10), 10)
    assert asked[0].startswith('https://') and 'resnet18_b16x8_cifar10' in asked[0]
    assert teacher.source == asked[0] and len(teacher.sha256) == 64
    teacher.check_head()
    with pytest.raises(ConfigurationError, match='did you mean "resnet18_8xb16_cifar10"'):
        Teacher('zoo', 'resnet18_8xb16_cifar1O', range(10), 10)


@pytest.mark.parametrize(
    'wrap',
    [
        lambda state: dict(meta=dict(mmcls_version='0.23.0'), state_dict=state),
        lambda state: dict(state_dict={f'module.{k}': v for k, v in state.items()}),
        lambda state: dict(
            state_dict={**state, 'ema_head_fc_weight': torch.zeros(6, 16)}, optimizer=dict()
        ),
        lambda state: state,
    ],
    ids=['mmcls', 'ddp', 'ema', 'bare'],
)
def test_checkpoints_of_mm_projects_are_loaded(wrap, tmp_path):
    from edudistill_mm.models.teachers import Teacher

    state = build(resnet(), 5).state_dict()
    torch.save(wrap(state), tmp_path / 'teacher.pth')
    teacher = Teacher('mm', resnet(), range(6), 6, ckpt=str(tmp_path / 'teacher.pth'))
    for name, tensor in teacher.network.state_dict().items():
        assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize('kind', ['classifier', 'backbone'])
def test_models_of_timm_teach(kind, tmp_path):
    timm = pytest.importorskip('timm')
    from edudistill_mm.models.teachers import Teacher

    if kind == 'classifier':
        cfg = dict(type='TimmClassifier', model_name='resnet10t', num_classes=6)
        plain = timm.create_model('resnet10t', num_classes=6)
    else:
        cfg = dict(
            type='ImageClassifier',
            backbone=dict(type='TIMMBackbone', model_name='resnet10t'),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=6, in_channels=512),
        )
        plain = build(cfg)
    torch.save(plain.state_dict(), tmp_path / 'timm.pth')
    teacher = Teacher('timm', cfg, range(6), 6, ckpt=str(tmp_path / 'timm.pth'))
    teacher.check_head()
    x = images(2, size=32)
    with torch.no_grad():
        assert torch.equal(teacher.teach(x), plain.eval()(x))


@pytest.mark.parametrize('place', ['architecture', 'backbone'])
def test_pretrained_timm_needs_no_checkpoint_of_ours(place, monkeypatch):
    timm = pytest.importorskip('timm')
    from edudistill_mm.models.teachers import Teacher

    created = []
    create = timm.models.create_model

    def offline(*args, pretrained=False, **kwargs):
        created.append(pretrained)
        return create(*args, pretrained=False, **kwargs)

    monkeypatch.setattr(timm.models, 'create_model', offline)
    monkeypatch.setattr(timm, 'create_model', offline)
    cfg = dict(type='TimmClassifier', model_name='resnet10t', num_classes=6, pretrained=True)
    if place == 'backbone':
        cfg = dict(
            type='ImageClassifier',
            backbone=dict(type='TIMMBackbone', model_name='resnet10t', pretrained=True),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=6, in_channels=512),
        )
    Teacher('timm', cfg, range(6), 6).check_head()
    assert created == [True]
