import mmpretrain
import numpy as np
import pytest
import torch
from mmengine.config import Config
from networks import classifier
from run_tool import run_tool
from torch.nn import functional as F

from edudistill_mm.apis.convert_mdistiller import NETWORKS, convert_mdistiller
from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.curriculum import Curriculum
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.network import build_network
from edudistill_mm.models.teachers import Faculty


class Layout(dict):
    """Names and shapes of the tensors of a file, in the file's order."""

    def conv(self, name, out, channels, size, groups=1, bias=False):
        self[f'{name}.weight'] = (out, channels // groups, size, size)
        if bias:
            self[f'{name}.bias'] = (out,)

    def norm(self, name, channels):
        for part in ('weight', 'bias', 'running_mean', 'running_var'):
            self[f'{name}.{part}'] = (channels,)
        self[f'{name}.num_batches_tracked'] = ()

    def conv_norm(self, prefix, number, out, channels, size, groups=1):
        self.conv(f'{prefix}conv{number}', out, channels, size, groups)
        self.norm(f'{prefix}bn{number}', out)

    def linear(self, name, channels, num_classes):
        self[f'{name}.weight'] = (num_classes, channels)
        self[f'{name}.bias'] = (num_classes,)


def resnet(stem, widths, blocks, expansion=1, shortcut='downsample', fc='fc'):
    def build(num_classes):
        layout, channels = Layout(), stem
        layout.conv_norm('', 1, stem, 3, 3)
        for stage, (width, count) in enumerate(zip(widths, blocks), 1):
            for block in range(count):
                prefix, out = f'layer{stage}.{block}.', width * expansion
                sizes = (3, 3) if expansion == 1 else (1, 3, 1)
                ins = (channels, *[width] * (len(sizes) - 1))
                outs = (*[width] * (len(sizes) - 1), out)
                for number, (size, i, o) in enumerate(zip(sizes, ins, outs), 1):
                    layout.conv_norm(prefix, number, o, i, size)
                if channels != out:
                    layout.conv(f'{prefix}{shortcut}.0', out, channels, 1)
                    layout.norm(f'{prefix}{shortcut}.1', out)
                channels = out
        layout.linear(fc, channels, num_classes)
        return layout

    return build


def thin_resnet(depth, stem=16, width=16):
    return resnet(stem, (width, 2 * width, 4 * width), [(depth - 2) // 6] * 3)


def wide_resnet(depth, factor):
    def build(num_classes):
        layout, channels = Layout(), 16
        layout.conv('conv1', 16, 3, 3)
        for stage in range(3):
            for block in range((depth - 4) // 6):
                prefix, width = f'block{stage + 1}.layer.{block}.', 16 * factor * 2**stage
                layout.norm(f'{prefix}bn1', channels)
                layout.conv(f'{prefix}conv1', width, channels, 3)
                layout.norm(f'{prefix}bn2', width)
                layout.conv(f'{prefix}conv2', width, width, 3)
                if channels != width:
                    layout.conv(f'{prefix}convShortcut', width, channels, 1)
                channels = width
        layout.norm('bn1', channels)
        layout.linear('fc', channels, num_classes)
        return layout

    return build


def vgg(*convolutions):
    def build(num_classes):
        layout, channels = Layout(), 3
        for block, (count, width) in enumerate(zip(convolutions, (64, 128, 256, 512, 512))):
            for index in range(count):
                layout.conv(f'block{block}.{3 * index}', width, channels, 3, bias=True)
                layout.norm(f'block{block}.{3 * index + 1}', width)
                channels = width
        layout.linear('classifier', 512, num_classes)
        return layout

    return build


def mobilenet_v2(num_classes):
    layout, channels = Layout(), 16
    layout.conv('conv1.0', 16, 3, 3)
    layout.norm('conv1.1', 16)
    widths, counts = (8, 12, 16, 32, 48, 80, 160), (1, 2, 3, 4, 3, 3, 1)
    for stage, (width, count) in enumerate(zip(widths, counts)):
        for block in range(count):
            prefix, hidden = f'blocks.{stage}.{block}.conv.', channels * (6 if stage else 1)
            layout.conv(f'{prefix}0', hidden, channels, 1)
            layout.norm(f'{prefix}1', hidden)
            layout.conv(f'{prefix}3', hidden, hidden, 3, hidden)
            layout.norm(f'{prefix}4', hidden)
            layout.conv(f'{prefix}6', width, hidden, 1)
            layout.norm(f'{prefix}7', width)
            channels = width
    layout.conv('conv2.0', 1280, channels, 1)
    layout.norm('conv2.1', 1280)
    layout.linear('classifier.0', 1280, num_classes)
    return layout


def shufflenet_v1(num_classes):
    layout, channels = Layout(), 24
    layout.conv_norm('', 1, 24, 3, 1)
    for stage, (width, count) in enumerate(((240, 4), (480, 8), (960, 4)), 1):
        for unit in range(count):
            prefix, out = f'layer{stage}.{unit}.', width if unit else width - channels
            hidden = out // 4
            layout.conv_norm(prefix, 1, hidden, channels, 1, groups=1 if channels == 24 else 3)
            layout.conv_norm(prefix, 2, hidden, hidden, 3, groups=hidden)
            layout.conv_norm(prefix, 3, out, hidden, 1, groups=3)
            channels = width
    layout.linear('linear', channels, num_classes)
    return layout


def shufflenet_v2(num_classes):
    layout, channels = Layout(), 24
    layout.conv_norm('', 1, 24, 3, 1)
    for stage, (width, count) in enumerate(((116, 4), (232, 8), (464, 4)), 1):
        half = width // 2
        for unit in range(count):
            prefix, number = f'layer{stage}.{unit}.', 1
            if unit == 0:
                layout.conv_norm(prefix, 1, channels, channels, 3, groups=channels)
                layout.conv_norm(prefix, 2, half, channels, 1)
                number = 3
            layout.conv_norm(prefix, number, half, half if unit else channels, 1)
            layout.conv_norm(prefix, number + 1, half, half, 3, groups=half)
            layout.conv_norm(prefix, number + 2, half, half, 1)
        channels = width
    layout.conv_norm('', 2, 1024, channels, 1)
    layout.linear('linear', 1024, num_classes)
    return layout


WIDE = dict(stem=64, widths=(64, 128, 256, 512), shortcut='shortcut', fc='linear')
# By mdistiller's name, the layout of a file of that network.
LAYOUTS = {
    **{f'resnet{depth}': thin_resnet(depth) for depth in (8, 14, 20, 32, 44, 56, 110)},
    **{f'resnet{depth}x4': thin_resnet(depth, 32, 64) for depth in (8, 32)},
    'ResNet18': resnet(blocks=(2, 2, 2, 2), **WIDE),
    'ResNet50': resnet(blocks=(3, 4, 6, 3), expansion=4, **WIDE),
    'wrn_16_1': wide_resnet(16, 1),
    'wrn_16_2': wide_resnet(16, 2),
    'wrn_40_1': wide_resnet(40, 1),
    'wrn_40_2': wide_resnet(40, 2),
    'vgg8': vgg(1, 1, 1, 1, 1),
    'vgg11': vgg(1, 1, 2, 2, 2),
    'vgg13': vgg(2, 2, 2, 2, 2),
    'vgg16': vgg(2, 2, 3, 3, 3),
    'vgg19': vgg(2, 2, 4, 4, 4),
    'MobileNetV2': mobilenet_v2,
    'ShuffleV1': shufflenet_v1,
    'ShuffleV2': shufflenet_v2,
}
PUBLISHED = ('resnet56', 'resnet110', 'resnet32x4', 'ResNet50', 'wrn_40_2', 'vgg13')
ONE_A_FAMILY = ('resnet8x4', 'wrn_16_1', 'vgg8', 'MobileNetV2', 'ShuffleV1', 'ShuffleV2')


def random_state(name, num_classes=100):
    torch.manual_seed(0)
    return {
        key: torch.rand(shape) if shape else torch.tensor(7)
        for key, shape in LAYOUTS[name](num_classes).items()
    }


@pytest.fixture
def convert(tmp_path):
    """Function that writes a file of a network, converts it and returns both paths."""

    def run(name, state=None, given=None, data_set=None, **more):
        source = tmp_path / 'ckpt_epoch_240.pth'
        torch.save(dict(epoch=240, model=state or random_state(given or name), **more), source)
        out = str(tmp_path / 'out' / f'{name}.pth')
        return convert_mdistiller(name, str(source), out, data_set)

    return run


def test_every_network_has_a_layout():
    assert set(LAYOUTS) == set(NETWORKS)


@pytest.mark.parametrize('name', [name for name in NETWORKS if name not in ('vgg16', 'vgg19')])
def test_each_network_has_the_tensors_of_mdistillers(name):
    backbone, foreign_name = NETWORKS[name]
    layout = LAYOUTS[name](10)
    _, channels = list(layout.values())[-2]
    network = build_network(classifier(backbone, channels, num_classes=10), name)
    own = {
        foreign_name(key.split('.', 1)[1]): tuple(tensor.shape)
        for key, tensor in network.state_dict().items()
    }
    # In the same order, too: then no two tensors of a kind are swapped.
    assert list(own.items()) == list(layout.items())


@pytest.mark.slow
@pytest.mark.parametrize('name', PUBLISHED + ONE_A_FAMILY)
def test_mmpretrain_loads_what_was_converted(name, convert):
    state = random_state(name)
    checkpoint, config = convert(name, state)
    converted = load_checkpoint_file(checkpoint)['state_dict']
    assert all(torch.equal(a, b) for a, b in zip(state.values(), converted.values()))
    model = mmpretrain.get_model(config, pretrained=checkpoint)
    assert all(torch.equal(tensor, converted[key]) for key, tensor in model.state_dict().items())
    assert model.eval()(torch.rand(2, 3, 32, 32)).shape == (2, 100)


def test_files_of_all_times_are_read(convert):
    plain = random_state('resnet8')
    expected = load_checkpoint_file(convert('resnet8', plain)[0])['state_dict']
    parallel = {f'module.{key}': tensor for key, tensor in plain.items()}
    uncounted = {
        key: tensor for key, tensor in plain.items() if not key.endswith('num_batches_tracked')
    }
    for state in (parallel, uncounted):
        checkpoint, _ = convert('resnet8', state, best_acc=np.float64(59.5), opt=dict(lr=0.05))
        converted = load_checkpoint_file(checkpoint)['state_dict']
        assert list(converted) == list(expected)
        assert all(
            torch.equal(converted[key], expected[key])
            for key in converted
            if not key.endswith('num_batches_tracked')
        )


CIFAR = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)
TINY_IMAGENET = (0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262)


@pytest.mark.parametrize(
    'num_classes, data_set, statistics',
    [
        (100, None, CIFAR),
        (200, None, TINY_IMAGENET),
        (20, 'tiny_imagenet', TINY_IMAGENET),
        (200, 'cifar100', CIFAR),
    ],
)
def test_the_config_normalises_as_mdistiller_does(num_classes, data_set, statistics, convert):
    state = random_state('resnet8', num_classes)
    checkpoint, config = convert('resnet8', state, data_set=data_set)
    model = mmpretrain.get_model(config, pretrained=checkpoint)
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)  # RGB
    mean, std = (torch.tensor(values)[:, None, None] for values in statistics)
    # MMPretrain's CIFAR has RGB; image files, as Tiny-ImageNet's, are read as BGR.
    loaded = image.flip(0) if statistics is TINY_IMAGENET else image
    ours = model.data_preprocessor(dict(inputs=[loaded]))['inputs'][0]
    assert torch.allclose(ours, (image / 255 - mean) / std, atol=1e-4)


@pytest.mark.parametrize('num_classes, side, pools', [(100, 32, 3), (200, 64, 4)])
def test_a_converted_vgg_gives_the_scores_of_the_original(num_classes, side, pools, convert):
    torch.manual_seed(0)
    state = {
        key: torch.randn(shape) * 0.05 if len(shape) != 1 else torch.rand(shape) + 0.5
        for key, shape in vgg(1, 1, 1, 1, 1)(num_classes).items()
        if shape
    }
    checkpoint, config = convert('vgg8', state)
    model = mmpretrain.get_model(config, pretrained=checkpoint).eval()
    images = torch.rand(2, 3, side, side)
    x = images
    for block in range(5):
        layer = f'block{block}'
        x = F.conv2d(x, state[f'{layer}.0.weight'], state[f'{layer}.0.bias'], padding=1)
        mean, var, weight, bias = (
            state[f'{layer}.1.{part}']
            for part in ('running_mean', 'running_var', 'weight', 'bias')
        )
        x = F.relu(F.batch_norm(x, mean, var, weight, bias))
        if block < pools:
            x = F.max_pool2d(x, 2)
    scores = F.linear(x.mean((2, 3)), state['classifier.weight'], state['classifier.bias'])
    with torch.no_grad():
        assert torch.allclose(model(images), scores, rtol=1e-4, atol=1e-5)


def test_a_converted_expert_teaches(convert):
    checkpoint, config = convert('wrn_16_1', random_state('wrn_16_1', num_classes=3))
    assert Config.fromfile(config).data_preprocessor.num_classes == 3
    grade = dict(name='first', epochs=1, fragments=1, classes=5)
    curriculum = Curriculum.from_cfg(dict(num_classes=5, grades=[grade]), ['expert'])
    teacher = dict(
        name='expert', architecture=dict(cfg_path=config), ckpt=checkpoint, classes=[4, 0, 2]
    )
    faculty = Faculty.from_cfg([teacher], curriculum)
    assert faculty.teachers[0].teach(torch.rand(2, 3, 32, 32)).shape == (2, 3)


def without(state, key):
    return {name: tensor for name, tensor in state.items() if name != key}


@pytest.mark.parametrize(
    'name, change, message',
    [
        (
            'resnet8',
            lambda state: without(state, 'layer2.0.conv1.weight'),
            'is not one of resnet8: it lacks 1 of 56 tensors, the first is "layer2.0.conv1.weight"',
        ),
        (
            'resnet8',
            lambda state: {**state, 'layer4.0.bn1.bias': torch.zeros(1)},
            r'is not one of resnet8: it has unknown tensors \(1\), the first is "layer4.0.bn1.bias"',
        ),
        (
            'resnet8',
            lambda state: without(state, 'fc.weight'),
            'no matrix "fc.weight" of a classifier',
        ),
        (
            'resnet8',
            lambda state: random_state('ShuffleV2'),
            'no matrix "fc.weight".*"conv1.weight"',
        ),
        (
            'resnet8',
            lambda state: random_state('resnet14'),
            r'unknown tensors \(36\).*"layer1.1.conv1',
        ),
        (
            'wrn_16_2',
            lambda state: random_state('wrn_16_1'),
            'lacks 1 of .*"block1.layer.0.convShortcut',
        ),
        (
            'resnet8',
            lambda state: {**state, 'bn1.bias': torch.zeros(8)},
            r'"bn1.bias" is \(8,\).*\(16,\)',
        ),
        ('resnet8', lambda state: dict(a=1), 'holds no weights'),
    ],
)
def test_a_file_of_something_else_is_one_sentence(name, change, message, convert, tmp_path):
    with pytest.raises(ConfigurationError, match=message):
        convert(name, change(random_state(name)))
    assert not (tmp_path / 'out').exists()


def test_the_tool_converts_and_reports(tmp_path, capsys):
    source, out = tmp_path / 'source.pth', tmp_path / 'resnet8.pth'
    torch.save(dict(model=random_state('resnet8')), source)
    run_tool('convert_mdistiller', ['resnet8', str(source), str(out)])
    assert f'Wrote {out} and its config {tmp_path / "resnet8.py"}.' in capsys.readouterr().out
    for arguments, message in [
        (('resnet-8', source, out), 'did you mean "resnet8"?'),
        (('resnet8', tmp_path / 'absent.pth', out), 'does not exist'),
        (('resnet8', source, tmp_path / 'resnet8.py'), 'OUT must be a file such as'),
        (('resnet8', source, tmp_path), 'OUT must be a file such as "resnet8.pth"'),
        (('resnet8', source, out, '--data-set', 'tiny'), 'must be one of cifar100, tiny_imagenet'),
    ]:
        with pytest.raises(SystemExit) as exit:
            run_tool('convert_mdistiller', arguments)
        error = capsys.readouterr().err
        assert exit.value.code == 2 and message in error and error.count('\n') == 1
