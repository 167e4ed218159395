import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmpretrain import get_model
from mmpretrain.structures import DataSample
from networks import build, classifier, images, resnet

from edudistill_mm.config.load import load_config
from edudistill_mm.config.run_config import RunConfig
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.export.grade_config import (
    config_text,
    grade_student_config,
    grade_student_state,
)
from edudistill_mm.export.plain_config import plain_config
from edudistill_mm.export.plain_model import build_plain, gives_same_scores, load_difference

VIT = dict(
    type='VisionTransformer',
    arch=dict(embed_dims=24, num_layers=4, num_heads=2, feedforward_channels=48),
    img_size=32,
    patch_size=8,
)
SWIN = dict(
    type='SwinTransformer',
    arch=dict(embed_dims=8, depths=[1, 1, 1], num_heads=[1, 1, 1]),
    img_size=32,
    patch_size=2,
    window_size=4,
    out_indices=(2,),
)
STUDENTS = dict(
    resnet=resnet(),
    mobilenet=classifier(dict(type='MobileNetV2', widen_factor=0.25), 1280),
    swin=classifier(SWIN, 32),
    vit=dict(
        type='ImageClassifier',
        backbone=VIT,
        head=dict(type='VisionTransformerClsHead', num_classes=6, in_channels=24),
    ),
)


def at_grade(cfg, depth, seen, **kwargs):
    """A run's student at a grade, the config of the run, and its state dict."""
    student = build(dict(type='FragmentedStudent', student=dict(cfg), **kwargs))
    student.set_grade(depth, seen)
    architecture = dict(type='FragmentedStudent', student=dict(cfg), **kwargs)
    run = Config(
        dict(model=dict(type='EducationDistill', architecture=architecture)),
        format_python_code=False,
    )
    return student, run, {f'architecture.{k}': v for k, v in student.state_dict().items()}


def build_plain_of(student, run):
    """The plain model of a run's student, with its weights."""
    config = grade_student_config(run, student)
    model = build_plain(config)
    state = {f'architecture.{key}': value for key, value in student.state_dict().items()}
    assert load_difference(model, grade_student_state(state, config, student)) is None
    return model


def written_and_read(config, tmp_path):
    file = tmp_path / 'student.py'
    file.write_text(config_text(config))
    return get_model(str(file))


def check_export(student, run, state, tmp_path):
    config = grade_student_config(run, student)
    model = written_and_read(config, tmp_path)
    own = grade_student_state(state, config, student)
    assert load_difference(model, own) is None
    assert gives_same_scores(model, student, {})
    # Nothing of a later fragment is there, nor of blocks that are passed by.
    trained = sum(parameter.numel() for parameter in model.parameters())
    assert trained == student.parameters_in_training()


@pytest.mark.parametrize('name', STUDENTS)
def test_the_student_of_each_grade_gives_the_scores_of_the_run(name, tmp_path):
    depths = build(dict(type='FragmentedStudent', student=dict(STUDENTS[name]))).num_fragments
    for depth in (1, depths - 1, depths):
        for seen in ((0, 2, 3), range(6)):
            check_export(*at_grade(STUDENTS[name], depth, seen), tmp_path)


@pytest.mark.parametrize('name', ['resnet', 'vit'])
def test_the_student_of_a_grade_of_blocks_gives_the_scores_of_the_run(name, tmp_path):
    for depth, seen in ((1, range(6)), (1, (0, 2, 3)), (2, (0, 2, 3)), (2, range(6))):
        options = dict(fragments='blocks', num_fragments=2, new_blocks='keep')
        check_export(*at_grade(STUDENTS[name], depth, seen, **options), tmp_path)


def test_only_the_complete_student_of_all_classes_has_a_config_without_code(tmp_path):
    for depth, seen, complete in ((3, range(6), True), (3, (0, 1), False), (1, range(6), False)):
        student, run, _ = at_grade(resnet(), depth, seen)
        config = grade_student_config(run, student)
        assert (config.model.type == 'ImageClassifier') == complete
        assert ('def ' in config_text(config)) != complete


def test_a_plain_student_needs_no_file_that_it_began_with():
    began = dict(type='Pretrained', checkpoint='gone.pth')
    timm = classifier(dict(type='TIMMBackbone', model_name='resnet10t'), 512)
    timm['backbone'].update(pretrained=True, checkpoint_path='gone.pth')
    mm = resnet()
    mm['init_cfg'], mm['backbone']['init_cfg'] = began, dict(began, prefix='backbone')
    for student in (timm, mm):
        run = Config(dict(model=dict(type='EducationDistill', architecture=student)))
        plain = plain_config(run)
        assert 'gone' not in plain.pretty_text and 'pretrained=True' not in plain.pretty_text
        assert run.model.architecture.backbone.type == plain.model.backbone.type
        assert 'gone' in run.pretty_text


@pytest.mark.parametrize('part', ['student', 'backbone', 'algorithm'])
def test_work_on_a_trained_student_needs_no_file_that_it_began_with(part):
    began = dict(type='Pretrained', checkpoint='gone.pth')
    options = dict(fragments='blocks', num_fragments=2, new_blocks='keep')
    _, run, _ = at_grade(resnet(), 2, range(6), **options)
    run.model.curriculum = dict(grades=[])
    student = run.model.architecture.student
    dict(student=student, backbone=student.backbone, algorithm=run.model)[part].init_cfg = began
    run = RunConfig(run)
    assert 'gone' not in run.without_teachers().cfg.pretty_text
    assert 'gone' in run.cfg.pretty_text


def test_classes_not_taught_score_zero_and_losses_ignore_them(tmp_path):
    student, run, state = at_grade(resnet(), 2, (1, 4))
    config = grade_student_config(run, student)
    model = written_and_read(config, tmp_path).eval()
    model.load_state_dict(grade_student_state(state, config, student))
    for sample in model(images(3), mode='predict'):
        assert (sample.pred_score > 0).tolist() == [False, True, False, False, True, False]
    samples = model(images(3), mode='predict')
    for sample in samples:
        sample.set_gt_label(4)
    student.eval()
    assert torch.allclose(
        model(images(3), samples, mode='loss')['loss'],
        student(images(3), samples, mode='loss')['loss'],
    )


def test_other_weights_give_other_scores():
    student, run, state = at_grade(resnet(), 1, range(6))
    model = build(grade_student_config(run, student).model.to_dict(), seed=1)
    assert not gives_same_scores(model, student, {})
    config = grade_student_config(run, student)
    model.load_state_dict(grade_student_state(state, config, student))
    changed = {name: tensor + 1 for name, tensor in student.state_dict().items()}
    assert gives_same_scores(model, student, {})
    assert not gives_same_scores(model, student, changed)


@pytest.mark.parametrize('name', STUDENTS)
def test_a_student_of_another_memory_format_gives_the_same_scores(name):
    """A sum in another order is rounded otherwise, which must not count as other scores."""
    student, run, _ = at_grade(STUDENTS[name], 2, range(6))
    generator = torch.Generator().manual_seed(0)
    for tensor in student.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator).abs())
    student.to(memory_format=torch.channels_last)
    model = build_plain_of(student, run)
    layouts = [parameter.stride() for parameter in model.parameters()]
    assert gives_same_scores(model, student, {})
    contiguous = {name: tensor.contiguous() for name, tensor in student.state_dict().items()}
    assert gives_same_scores(model, student, contiguous)
    assert [parameter.stride() for parameter in model.parameters()] == layouts


@pytest.mark.parametrize('place', ['model', 'run', 'architecture', 'student'])
def test_the_plain_student_normalises_as_the_run_does(place):
    own, others = dict(type='ClsDataPreprocessor', mean=[1.0] * 3), dict(mean=[9.0] * 3)
    order = ['model', 'run', 'architecture', 'student']
    given = {p: own if p == place else others for p in order[order.index(place) :]}
    student = dict(resnet(), data_preprocessor=given.get('student'))
    architecture = dict(
        type='FragmentedStudent',
        student={k: v for k, v in student.items() if v is not None},
        data_preprocessor=given.get('architecture'),
    )
    run = Config(
        dict(
            model=dict(
                type='EducationDistill',
                architecture=architecture,
                data_preprocessor=given.get('model'),
            ),
            data_preprocessor=given.get('run'),
        )
    )
    plain = plain_config(run)
    assert plain.get('data_preprocessor', plain.model.get('data_preprocessor')) == own


@pytest.mark.parametrize(
    'given',
    [
        dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], bgr_to_rgb=True),
        dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], rgb_to_bgr=True, pad_size_divisor=16),
        dict(mean=[7.0], std=[3.0], pad_size_divisor=16, pad_value=9, non_blocking=True),
        dict(bgr_to_rgb=False),
    ],
)
@pytest.mark.parametrize('kind', ['ImgDataPreprocessor', 'mmengine.ImgDataPreprocessor'])
def test_the_preprocessor_of_mmengine_becomes_mmpretrains_with_the_same_values(
    kind, given, tmp_path
):
    given = dict(type=kind, **given)
    run = Config(dict(model=dict(architecture=resnet()), data_preprocessor=dict(given)))
    model = written_and_read(plain_config(run), tmp_path)
    pictures = [
        torch.randint(256, (3, 20, 24), generator=torch.Generator().manual_seed(i))
        for i in range(2)
    ]
    for inputs in (pictures, torch.stack(pictures)):
        ours = model.data_preprocessor(dict(inputs=inputs))['inputs']
        assert torch.equal(ours, MODELS.build(given)(dict(inputs=inputs))['inputs'])


@pytest.mark.parametrize(
    ('name', 'of_mmrazor'),
    [
        ('kd/kd_logits_resnet34_resnet18_8xb32_in1k.py', False),
        ('byot/byot_resnet18_8xb16_cifar100.py', False),
        ('crd/crd_neck_r50_r18_8xb16_cifar10.py', False),
        ('ofd/ofd_backbone_resnet50_resnet18_8xb16_cifar10.py', True),
        ('deit/deit-base_regnety160_pt-16xb64_in1k.py', True),
    ],
)
def test_the_student_of_a_config_of_mmrazor_is_plain(name, of_mmrazor, tmp_path):
    file = tmp_path / 'school.py'
    file.write_text(f"_base_ = 'mmrazor::distill/mmcls/{name}'\n")
    small = {'backbone.arch': 'deit-tiny', 'head.in_channels': 192} if 'deit' in name else {}
    cfg = load_config(str(file), {f'model.architecture.{key}': small[key] for key in small}).cfg
    plain = plain_config(cfg)
    # A backbone or a head of MMRazor needs this package, which makes MMRazor importable.
    assert ('edudistill_mm' in plain.pretty_text) == of_mmrazor
    assert ('mmrazor' in plain.pretty_text) == of_mmrazor
    model = written_and_read(plain, tmp_path).eval()
    side = 224 if 'deit' in name else 32
    picture = torch.zeros(3, side, side, dtype=torch.uint8)
    data = dict(inputs=[picture], data_samples=[DataSample().set_gt_label(0)])
    assert model.test_step(data)[0].pred_score.sum().isclose(torch.tensor(1.0))


@pytest.mark.parametrize(
    ('student', 'given'),
    [
        (dict(), dict(type='ClsDataPreprocessor', to_onehot=True)),
        (dict(train_cfg=dict(augments=dict(type='Mixup', alpha=0.5))), None),
    ],
)
def test_an_exported_student_is_tested_with_one_hot_labels(student, given, tmp_path):
    run = Config(dict(model=dict(architecture=dict(resnet(), **student)), data_preprocessor=given))
    model = written_and_read(plain_config(run), tmp_path).eval()
    picture = torch.zeros(3, 16, 16, dtype=torch.uint8)
    data = dict(inputs=[picture], data_samples=[DataSample().set_gt_label(5)])
    assert model.test_step(data)[0].gt_score.tolist() == [0, 0, 0, 0, 0, 1]


def test_a_reference_without_plain_layers_is_named():
    student, run, _ = at_grade(resnet(), 1, range(6))

    class MyReference(torch.nn.Module):
        head = None

    student.references[0] = MyReference()
    with pytest.raises(ConfigurationError, match='type MyReference has no method "layers"'):
        grade_student_config(run, student)
