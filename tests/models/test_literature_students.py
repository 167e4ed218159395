import math

import pytest
import torch
from networks import build, classifier, images, samples

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models import backbones

THREE = ['layer1', 'layer2', 'layer3']
WRN, VGG = ['layer1', 'layer2', 'relu'], ['layer2', 'layer3', 'layer5']


def resnet(depth, **kwargs):
    return dict(type='CIFARResNet', depth=depth, **kwargs)


def wrn(depth, factor):
    return dict(type='CIFARWideResNet', depth=depth, widen_factor=factor)


def vgg(depth):
    return dict(type='CIFARVGG', depth=depth)


# Name: backbone, its channels, parameters with 100 classes (those of RepDistiller and mdistiller),
# output stride, and where fragments='auto' cuts.
STUDENTS = {
    'resnet8': (resnet(8), 64, 83_892, 4, THREE),
    'resnet14': (resnet(14), 64, 181_108, 4, THREE),
    'resnet20': (resnet(20), 64, 278_324, 4, THREE),
    'resnet8x4': (resnet(8, stem_channels=32, base_channels=64), 256, 1_233_540, 4, THREE),
    'resnet32x4': (resnet(32, stem_channels=32, base_channels=64), 256, 7_433_860, 4, THREE),
    'wrn_16_1': (wrn(16, 1), 64, 180_916, 4, WRN),
    'wrn_16_2': (wrn(16, 2), 128, 703_284, 4, WRN),
    'wrn_40_1': (wrn(40, 1), 64, 569_780, 4, WRN),
    'wrn_40_2': (wrn(40, 2), 128, 2_255_156, 4, WRN),
    'vgg8': (vgg(8), 512, 3_965_028, 8, VGG),
    'vgg11': (vgg(11), 512, 9_277_284, 8, VGG),
    'vgg13': (vgg(13), 512, 9_462_180, 8, VGG),
    'vgg16': (vgg(16), 512, 14_774_436, 8, VGG),
    'vgg19': (vgg(19), 512, 20_086_692, 8, VGG),
    'MobileNetV2': (
        dict(type='CIFARMobileNetV2'),
        1280,
        812_836,
        16,
        ['layer2', 'layer3', 'layer5', 'conv2'],
    ),
    'ShuffleV1': (dict(type='CIFARShuffleNetV1'), 960, 949_258, 8, THREE),
    'ShuffleV2': (
        dict(type='CIFARShuffleNetV2'),
        1024,
        1_355_528,
        8,
        ['layers.0', 'layers.1', 'layers.3'],
    ),
}


@pytest.mark.parametrize('name', STUDENTS)
def test_the_last_grade_of_a_student_of_the_literature_is_the_plain_network(name):
    backbone, channels, parameters, stride, cuts = STUDENTS[name]
    cfg = classifier(backbone, channels, num_classes=100)
    plain, student = build(cfg), build(dict(type='FragmentedStudent', student=cfg))
    assert sum(p.numel() for p in plain.parameters()) == parameters
    assert student.cuts == [f'backbone.{cut}' for cut in cuts]

    x = images(2, size=32)
    assert plain.backbone(x)[-1].shape == (2, channels, 32 // stride, 32 // stride)
    plain = build(cfg)  # the forward above has moved the statistics
    student.load_state_dict(plain.state_dict(), strict=False)
    for depth in range(1, len(cuts) + 1):
        student.set_grade(depth, range(100))
        assert student(x).shape == (2, 100)
    student.load_state_dict(plain.state_dict(), strict=False)
    for mode in (True, False):
        plain.train(mode)
        student.train(mode)
        ours, theirs = (
            model(x, samples([1, 5]), mode='loss')['loss'] for model in (student, plain)
        )
        assert torch.equal(ours, theirs)
        assert torch.equal(student(x), plain(x))
    ours.backward()
    theirs.backward()
    for (name, p), (_, q) in zip(plain.named_parameters(), student.student.named_parameters()):
        assert torch.equal(p.grad, q.grad), name


@pytest.mark.parametrize(
    'network',
    [
        backbones.CIFARWideResNet(16, 2),
        backbones.CIFARVGG(8),
        backbones.CIFARMobileNetV2(),
    ],
    ids=lambda network: type(network).__name__,
)
def test_convolutions_start_from_kaimings_distribution(network):
    torch.manual_seed(0)
    network.init_weights()
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    conv = max(convolutions, key=lambda m: m.weight.numel())
    expected = math.sqrt(2 / (conv.out_channels * conv.kernel_size[0] ** 2))
    assert conv.weight.std().item() == pytest.approx(expected, rel=0.05)
    assert all(m.bias is None or m.bias.eq(0).all() for m in convolutions)


@pytest.mark.parametrize(
    'network',
    [
        backbones.CIFARShuffleNetV1(),
        backbones.CIFARShuffleNetV2(),
    ],
    ids=lambda network: type(network).__name__,
)
def test_shufflenets_start_as_pytorch_starts_them(network):
    torch.manual_seed(0)
    network.init_weights()
    conv = max(
        (m for m in network.modules() if isinstance(m, torch.nn.Conv2d)),
        key=lambda m: m.weight.numel(),
    )
    bound = 1 / math.sqrt(conv.weight[0].numel())
    assert conv.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert conv.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all(m.weight.eq(1).all() and m.bias.eq(0).all() for m in norms)


@pytest.mark.parametrize(
    'network, shapes',
    [
        (
            backbones.CIFARWideResNet(10, out_indices=(0, 1, 2)),
            [(16, 16, 16), (32, 8, 8), (64, 4, 4)],
        ),
        (backbones.CIFARVGG(8, out_indices=(0, 1, 3)), [(64, 16, 16), (128, 8, 8), (512, 2, 2)]),
        (backbones.CIFARMobileNetV2(out_indices=(0, 6)), [(8, 8, 8), (160, 1, 1)]),
        (backbones.CIFARShuffleNetV1(out_indices=(0, 1)), [(240, 8, 8), (480, 4, 4)]),
        (backbones.CIFARShuffleNetV2(out_indices=(2, 3)), [(464, 2, 2), (1024, 2, 2)]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_out_indices_choose_the_feature_maps(network, shapes):
    assert [tuple(feature.shape[1:]) for feature in network(images(2, size=16))] == shapes


@pytest.mark.parametrize(
    'cls, kwargs, message',
    [
        (backbones.CIFARWideResNet, dict(depth=29), 'depth .* 6n \\+ 4 .* 29'),
        (backbones.CIFARWideResNet, dict(depth=4), 'depth .* 4$'),
        (backbones.CIFARWideResNet, dict(depth=16, widen_factor=0.5), 'widen_factor .* 0.5'),
        (backbones.CIFARVGG, dict(depth=12), 'depth .*8, 11, 13, 16, 19.* 12'),
        (backbones.CIFARVGG, dict(depth=8, num_pools=5), 'num_pools .* 3 or 4.* 5'),
        (
            backbones.CIFARVGG,
            dict(depth=8, out_indices=(5,)),
            r'out_indices of CIFARVGG .*\[0, 1, 2, 3, 4\].*5',
        ),
        (backbones.CIFARShuffleNetV1, dict(out_indices=()), 'out_indices'),
    ],
)
def test_an_impossible_architecture_is_an_error(cls, kwargs, message):
    with pytest.raises(ConfigurationError, match=message):
        cls(**kwargs)
