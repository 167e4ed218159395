import copy
import logging

import pytest
import torch
from mmengine.logging import MMLogger
from networks import build, classifier, images, resnet, samples

from edudistill_mm.checkpoint.log_once import log_once
from edudistill_mm.cost.network_flops import network_flops
from edudistill_mm.errors import ConfigurationError

ALL = range(6)


def grown(student, fragments='blocks', **kwargs):
    return build(dict(type='FragmentedStudent', student=student, fragments=fragments, **kwargs))


def short(names):
    return [name.removeprefix('backbone.') for name in names]


VIT = dict(
    type='VisionTransformer',
    arch=dict(embed_dims=24, num_layers=4, num_heads=2, feedforward_channels=48),
    img_size=32,
    patch_size=8,
)
SWIN = dict(
    type='SwinTransformer',
    arch=dict(embed_dims=8, depths=[2, 2, 3], num_heads=[1, 1, 1]),
    img_size=32,
    patch_size=2,
    window_size=4,
    out_indices=(2,),
)
CONVNEXT = dict(
    type='ConvNeXt',
    arch=dict(depths=[1, 1, 3, 1], channels=[8, 16, 24, 32]),
    gap_before_final_norm=False,
)
# Student, how many residual blocks the first of two fragments and all have, what begins at zero.
BN2, BN3 = {'bn2.weight', 'bn2.bias'}, {'bn3.weight', 'bn3.bias'}
PROJECTION = {'linear_conv.bn.weight', 'linear_conv.bn.bias'}
FAMILIES = dict(
    cifar_resnet=(classifier(dict(type='CIFARResNet', depth=20, base_channels=4), 16), 4, 7, BN2),
    wide_resnet=(
        classifier(dict(type='CIFARWideResNet', depth=16, widen_factor=1), 64),
        1,
        4,
        {'conv2.weight'},
    ),
    resnet=(classifier(dict(type='ResNet', depth=18), 512), 1, 5, BN2),
    resnext=(classifier(dict(type='ResNeXt', depth=50, base_channels=8), 256), 5, 12, BN3),
    se=(classifier(dict(type='SEResNet', depth=50, base_channels=8), 256), 5, 12, BN3),
    regnet=(classifier(dict(type='RegNet', arch='regnetx_400mf'), 384), 8, 18, BN3),
    mobilenet_v2=(
        classifier(dict(type='MobileNetV2', widen_factor=0.25), 1280),
        5,
        11,
        {
            'conv.2.bn.weight',
            'conv.2.bn.bias',
        },
    ),
    mobilenet_v3=(classifier(dict(type='MobileNetV3', arch='small'), 576), 2, 6, PROJECTION),
    efficientnet=(classifier(dict(type='EfficientNet', arch='b0'), 1280), 3, 9, PROJECTION),
    convnext=(classifier(CONVNEXT, 32), 5, 6, {'gamma'}),
    vit=(
        dict(
            type='ImageClassifier',
            backbone=VIT,
            head=dict(type='VisionTransformerClsHead', num_classes=6, in_channels=24),
        ),
        2,
        4,
        {'attn.proj.weight', 'attn.proj.bias', 'ffn.layers.1.weight', 'ffn.layers.1.bias'},
    ),
    swin=(
        classifier(SWIN, 32),
        4,
        7,
        {'attn.w_msa.proj.weight', 'attn.w_msa.proj.bias'}
        | {'ffn.layers.1.weight', 'ffn.layers.1.bias'},
    ),
)


def trained(student, depth):
    """Parameters as a training of a depth leaves them: those it uses have moved."""
    generator = torch.Generator().manual_seed(1)
    student.train()
    student.set_grade(depth, ALL)
    student(images(4, size=32), samples([0, 1, 2, 3]), mode='loss')['loss'].backward()
    with torch.no_grad():
        for parameter in student.parameters():
            if parameter.grad is not None:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    student.zero_grad()
    return student.eval()


SLOW = ('resnet', 'resnext', 'se', 'regnet', 'efficientnet', 'mobilenet_v3')
EACH_FAMILY = pytest.mark.parametrize(
    'family',
    [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in FAMILIES],
)


@torch.no_grad()
def scores(model, x):
    torch.manual_seed(0)
    return model(x)


@EACH_FAMILY
def test_a_promotion_changes_no_score_and_the_last_grade_is_the_plain_student(family):
    cfg, first, total, zeros = FAMILIES[family]
    student = grown(cfg, num_fragments=2)
    growth = student.growth
    assert [len(growth.names[0]), len(growth.passed_by(0))] == [first, total]
    assert {name for block in growth.blocks[1] for name in block.zeros} == zeros
    x = images(4, size=32)
    before = scores(trained(student, 1), x)
    student.set_grade(2, ALL)
    torch.testing.assert_close(scores(student, x), before, rtol=1e-4, atol=1e-5)
    # The new blocks are there: they change the scores as soon as they are trained.
    assert not torch.allclose(scores(trained(student, 2), x), before, rtol=1e-2)

    plain = build(cfg)
    plain.load_state_dict(student.state_dict())
    for mode in (True, False):
        assert torch.equal(scores(plain.train(mode), x), scores(student.train(mode), x))


@EACH_FAMILY
def test_a_lower_grade_runs_nothing_of_the_blocks_that_it_passes_by(family):
    cfg = FAMILIES[family][0]
    student = grown(cfg, num_fragments=2)
    student.set_grade(1, ALL)
    passed = tuple(f'{name}.' for name in student.unused_modules())
    ran = []
    for name, module in student.student.named_modules():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    student(images(2, size=32), samples([0, 1]), mode='loss')['loss'].backward()
    assert ran and not any(name.startswith(passed) for name in ran)
    # What trains is all the rest, which `parameters_in_training` counts.
    with_gradient = {n for n, p in student.named_parameters() if p.grad is not None}
    assert not any(name.startswith(passed) for name in with_gradient)
    assert student.parameters_in_training() == sum(
        p.numel() for n, p in student.named_parameters() if not n.startswith(passed)
    )


def test_resnet20_grows_from_one_to_three_blocks_a_stage():
    cfg = classifier(dict(type='CIFARResNet', depth=20), 64)
    student = grown(cfg)
    assert [short(names) for names in student.growth.names] == [
        ['layer1.0'],
        ['layer1.1', 'layer2.1', 'layer3.1'],
        ['layer1.2', 'layer2.2', 'layer3.2'],
    ]
    # A lower grade is the shallower network of the family: ResNet-8 and ResNet-14.
    for depth, layers in ((1, 8), (2, 14), (3, 20)):
        student.set_grade(depth, ALL)
        same = build(classifier(dict(type='CIFARResNet', depth=layers), 64))
        assert network_flops(student) == network_flops(same)
        assert student.parameters_in_training() == sum(p.numel() for p in same.parameters())
        state = student.state_dict()
        same.load_state_dict({name: state[name] for name in same.state_dict()})
        student.eval()
        x = images(3, size=32)
        assert torch.equal(student(x), same.eval()(x))


def test_each_depth_trains_its_new_blocks_first():
    student = grown(classifier(dict(type='CIFARResNet', depth=20), 64))
    names = {id(p): name for name, p in student.named_parameters()}
    for depth in (2, 3):
        new = {names[id(p)].rsplit('.', 2)[0] for p in student.parameters_of(depth)}
        assert new == set(student.growth.names[depth - 1])
    assert sum(len(student.parameters_of(depth)) for depth in (1, 2, 3)) == len(names)


def test_one_fragment_needs_no_blocks():
    student = grown(classifier(dict(type='CIFARResNet', depth=8), 64), num_fragments=1)
    assert student.num_fragments == 1 and student.unused_modules() == []


def test_blocks_that_each_fragment_adds_can_be_named():
    cfg = classifier(dict(type='CIFARResNet', depth=20), 64)
    student = grown(cfg, fragments=[[], ['layer1.1', 'backbone.layer1.2'], ['layer3.2']])
    assert [short(names) for names in student.growth.names] == [
        # Those that are named nowhere always run.
        ['layer1.0', 'layer2.1', 'layer2.2', 'layer3.1'],
        ['layer1.1', 'layer1.2'],
        ['layer3.2'],
    ]


@pytest.mark.parametrize(
    'student, kwargs, words',
    [
        (
            classifier(dict(type='VGG', depth=11, norm_cfg=dict(type='BN')), 512),
            {},
            ['fragments="blocks"', 'no stage of VGG', '"auto"'],
        ),
        (
            classifier(dict(type='CIFARResNet', depth=8), 64),
            {},
            ['no stage of CIFARResNet'],
        ),
        (
            classifier(dict(type='CIFARResNet', depth=20), 64),
            dict(num_fragments=4),
            ['up to 3 blocks', '4 fragments', 'at most 3'],
        ),
        (
            resnet(),
            dict(fragments=[[], ['layer1.9']]),
            ['fragments[1]', '"layer1.9"', 'layer1.1', 'possible are layer1.0, layer1.1'],
        ),
        (
            resnet(),
            dict(fragments=[['layer1.1'], ['layer1.1']]),
            ['fragments[1]', '"layer1.1"', 'fragment 1'],
        ),
        (resnet(), dict(fragments=[['layer1.1'], []]), ['fragments[1] is empty']),
        (resnet(), dict(fragments=[['layer1.1'], 'layer2.1']), ['lists of blocks']),
        (resnet(), dict(fragments=[]), ['at least one module']),
        (resnet(), dict(new_blocks='copies'), ['new_blocks', "'copies'", 'identity, copy, keep']),
        (
            resnet(),
            dict(fragments='auto', new_blocks='keep'),
            ['new_blocks', 'fragments="blocks"'],
        ),
        (resnet(), dict(reference=dict(pool_size=2)), ['architecture.reference', 'own head']),
    ],
)
def test_what_cannot_grow_is_refused_in_one_sentence(student, kwargs, words):
    with pytest.raises(ConfigurationError) as error:
        grown(student, **kwargs)
    message = str(error.value)
    assert all(word in message for word in words), message
    assert '\n' not in message


def test_new_blocks_are_kept_or_copied_from_the_block_before():
    cfg = classifier(dict(type='CIFARResNet', depth=20, base_channels=4), 16)
    plain = build(cfg).state_dict()
    kept = grown(cfg, new_blocks='keep')
    assert all(torch.equal(tensor, plain[name]) for name, tensor in kept.state_dict().items())

    copied = grown(cfg, new_blocks='copy')
    trained(copied, 1)
    before = copy.deepcopy(copied.state_dict())
    copied.prepare_promotion(1, 3)
    state = copied.state_dict()
    for name, tensor in state.items():
        stage, _, rest = name.removeprefix('backbone.').partition('.')
        source = name
        if stage == 'layer1' and rest[0] in '12':
            source = f'backbone.layer1.0.{rest[2:]}'
        elif stage in ('layer2', 'layer3') and rest[0] == '2':
            # The first block of these stages has another shape.
            source = f'backbone.{stage}.1.{rest[2:]}'
        assert torch.equal(tensor, before[source]), name


def test_a_student_with_loaded_weights_does_not_lose_a_part_of_them(tmp_path):
    file = tmp_path / 'student.pth'
    torch.save(dict(state_dict=build(resnet()).state_dict()), file)
    loaded = dict(type='Pretrained', checkpoint=str(file))
    for cfg in (
        dict(resnet(), init_cfg=loaded),
        dict(resnet(), backbone=dict(resnet()['backbone'], init_cfg=loaded)),
    ):
        with pytest.raises(ConfigurationError, match='new_blocks is "identity".*"keep"'):
            grown(cfg)
    with pytest.raises(ConfigurationError, match='new_blocks is "identity".*"keep"'):
        grown(resnet(), init_cfg=loaded)
    student = grown(dict(resnet(), init_cfg=loaded), new_blocks='keep')
    saved = torch.load(file)['state_dict']
    assert all(torch.equal(tensor, saved[name]) for name, tensor in student.state_dict().items())


def test_weights_that_a_backbone_of_timm_reads_itself_count_as_loaded(tmp_path):
    timm = pytest.importorskip('timm')
    file = tmp_path / 'timm.pth'
    torch.save(timm.create_model('resnet18').state_dict(), file)
    backbone = dict(type='TIMMBackbone', model_name='resnet18', checkpoint_path=str(file))
    cfg = dict(resnet(), backbone=backbone)
    cfg['head'] = dict(cfg['head'], in_channels=512)
    with pytest.raises(ConfigurationError, match='new_blocks is "identity".*"keep"'):
        grown(cfg)


def test_copies_over_loaded_weights_are_told(tmp_path):
    file = tmp_path / 'student.pth'
    torch.save(dict(state_dict=build(resnet()).state_dict()), file)
    loaded = dict(type='Pretrained', checkpoint=str(file))
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    log_once.cache_clear()
    try:
        grown(dict(resnet(), init_cfg=loaded), new_blocks='copy')
    finally:
        logger.removeHandler(handler)
    assert any('new_blocks is "copy"' in line and '"keep"' in line for line in said)


def test_an_init_cfg_of_the_student_does_not_undo_the_identities():
    cfg = classifier(dict(type='CIFARResNet', depth=20, base_channels=4), 16)
    student = grown(cfg, init_cfg=dict(type='Constant', layer='BatchNorm2d', val=0.5))
    assert student.backbone.layer1[0].bn2.weight.eq(0.5).all()
    assert not student.backbone.layer1[1].bn2.weight.any()


def test_a_copy_of_a_student_grows_by_itself():
    student = grown(classifier(dict(type='CIFARResNet', depth=20, base_channels=4), 16))
    student.set_grade(1, ALL)
    twin = copy.deepcopy(student).eval()
    student.set_grade(3, ALL)
    student.growth.copy_from_before(1, 3)
    twin.set_grade(2, ALL)
    assert 'forward' in vars(twin.backbone.layer1[2])
    assert 'forward' not in vars(student.backbone.layer1[2])
    assert twin.growth.student is twin.student


@pytest.mark.slow
def test_a_stage_whose_norm_runs_after_it_is_no_block():
    student = grown(classifier(dict(type='RepLKNet', arch='31B'), 1024), num_fragments=2)
    kinds = {
        type(student.student.get_submodule(name)).__name__ for name in student.growth.passed_by(0)
    }
    assert kinds == {'RepLKBlock', 'ConvFFN'}
