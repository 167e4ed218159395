import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models import LinearClsHead
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.backbones import CIFARResNet


@pytest.mark.parametrize(
    'depth, parameters',
    [(20, 278_324), (32, 472_756), (44, 667_188), (56, 861_620), (110, 1_736_564)],
)
def test_with_100_classes_it_has_the_parameters_of_the_literature(depth, parameters):
    modules = CIFARResNet(depth), LinearClsHead(num_classes=100, in_channels=64)
    assert sum(p.numel() for module in modules for p in module.parameters()) == parameters


def test_depth_counts_the_layers_with_weights_on_the_main_path():
    network = CIFARResNet(56)
    convolutions = [
        name
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Conv2d) and 'downsample' not in name
    ]
    assert len(convolutions) == 56 - 1  # and the classifier
    assert [len(getattr(network, f'layer{stage}')) for stage in (1, 2, 3)] == [9, 9, 9]


def test_stages_have_the_widths_and_maps_of_the_paper():
    image = torch.rand(2, 3, 32, 32)
    features = CIFARResNet(20, out_indices=(0, 1, 2))(image)
    assert [tuple(f.shape) for f in features] == [(2, 16, 32, 32), (2, 32, 16, 16), (2, 64, 8, 8)]
    assert [tuple(f.shape) for f in CIFARResNet(20)(image)] == [(2, 64, 8, 8)]
    assert CIFARResNet(20, base_channels=8, in_channels=1)(torch.rand(2, 1, 8, 8))[0].shape == (
        2,
        32,
        2,
        2,
    )


def test_weights_start_as_he_et_al_start_them():
    torch.manual_seed(0)
    network = CIFARResNet(20)
    network.init_weights()
    weight = network.layer3[1].conv1.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert all(
        module.weight.eq(1).all() and module.bias.eq(0).all()
        for module in network.modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    )


def test_an_image_classifier_finds_it_by_its_bare_name():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='CIFARResNet', depth=20),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=100, in_channels=64),
            )
        )
    assert type(model.backbone) is CIFARResNet
    losses = model(
        torch.rand(4, 3, 32, 32), [DataSample().set_gt_label(i) for i in range(4)], mode='loss'
    )
    losses['loss'].backward()
    assert all(p.grad is not None for p in model.parameters())


def test_another_depth_is_an_error():
    with pytest.raises(ConfigurationError, match=r'20, 32, 44, 56, 110.*18'):
        CIFARResNet(18)
