"""Turn a checkpoint of RepDistiller or mdistiller into an MMPretrain model.

Both code bases (github.com/HobbitLong/RepDistiller, github.com/megvii-research/mdistiller) share
their CIFAR networks and the names of the tensors in them.
"""

import os
import os.path as osp
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from mmengine.config import Config

from edudistill_mm.checkpoint.load import load_checkpoint_file
from edudistill_mm.checkpoint.weights import extract_state_dict
from edudistill_mm.errors import ConfigurationError
from edudistill_mm.models.network import build_network
from edudistill_mm.validation.values import check_choice


@dataclass(frozen=True)
class DataSet:
    """A data set in both code bases.

    ``mean`` and ``std`` are RGB, from 0 to 1. ``to_rgb`` says whether images as MMPretrain's data
    sets load them are BGR.
    """

    num_classes: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    to_rgb: bool


# The values of both code bases, and of mdistiller/dataset/tiny_imagenet.py. MMPretrain's CIFAR data
# sets give RGB, image files are read as BGR.
DATA_SETS = dict(
    cifar100=DataSet(100, 32, (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761), False),
    tiny_imagenet=DataSet(200, 64, (0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262), True),
)


def _wide_resnet(name: str) -> str:
    return re.sub(r'^layer(\d)', r'block\1.layer', name).replace('downsample', 'convShortcut')


def _vgg(name: str) -> str:
    name = re.sub(r'^layer(\d)', lambda match: f'block{int(match[1]) - 1}', name)
    return re.sub(r'^fc', 'classifier', name)


def _mobilenet_v2(name: str) -> str:
    name = re.sub(r'^layer(\d)', lambda match: f'blocks.{int(match[1]) - 1}', name)
    return re.sub(r'^fc', 'classifier.0', name)


def _linear(name: str) -> str:
    return re.sub(r'^fc', 'linear', name)


def _shufflenet_v2(name: str) -> str:
    block = re.match(r'layers\.(\d)\.(\d)\.branch(\d)\.(\d)\.(conv|bn)(.*)', name)
    if block is None:
        name = re.sub(
            r'^(conv1|layers\.3)\.(conv|bn)',
            lambda match: f'{match[2]}{1 if match[1] == "conv1" else 2}',
            name,
        )
        return _linear(name)
    stage, unit, branch, layer = map(int, block.groups()[:4])
    # The first unit of a stage has two layers in its first branch, where the second one goes on.
    number = layer + 1 + (2 if branch == 2 and unit == 0 else 0)
    return f'layer{stage + 1}.{unit}.{block[5]}{number}{block[6]}'


def _wide_stage_resnet(name: str) -> str:
    return _linear(name).replace('downsample', 'shortcut')


_X4 = dict(stem_channels=32, base_channels=64)
# By mdistiller's name: the config of the backbone, and the function that turns the name of one of
# its tensors ("fc." for the classifier) into mdistiller's; ``str`` where they are equal.
NETWORKS: dict[str, tuple[dict, Callable[[str], str]]] = {
    **{
        f'resnet{depth}': (dict(type='CIFARResNet', depth=depth), str)
        for depth in (8, 14, 20, 32, 44, 56, 110)
    },
    **{f'resnet{n}x4': (dict(type='CIFARResNet', depth=n, **_X4), str) for n in (8, 32)},
    **{f'ResNet{n}': (dict(type='ResNet_CIFAR', depth=n), _wide_stage_resnet) for n in (18, 50)},
    **{
        f'wrn_{depth}_{k}': (
            dict(type='CIFARWideResNet', depth=depth, widen_factor=k),
            _wide_resnet,
        )
        for depth in (16, 40)
        for k in (1, 2)
    },
    **{f'vgg{n}': (dict(type='CIFARVGG', depth=n), _vgg) for n in (8, 11, 13, 16, 19)},
    'MobileNetV2': (dict(type='CIFARMobileNetV2'), _mobilenet_v2),
    'ShuffleV1': (dict(type='CIFARShuffleNetV1'), _linear),
    'ShuffleV2': (dict(type='CIFARShuffleNetV2'), _shufflenet_v2),
}


def convert_mdistiller(
    name: str, checkpoint: str, out: str, data_set: str | None = None
) -> tuple[str, str]:
    """Write a network of RepDistiller or mdistiller as an MMPretrain checkpoint with its config.

    Args:
        name (str): The name of the network there, a key of :data:`NETWORKS`.
        checkpoint (str): A file of that network, such as
            ``resnet32x4_vanilla/ckpt_epoch_240.pth``.
        out (str): The file to write, ``<name>.pth``; its config becomes ``<name>.py``.
        data_set (str, optional): What it was trained on, a key of :data:`DATA_SETS`: this decides
            how images are normalised, and at which size a VGG expects them. Defaults to None:
            the data set with as many classes as the classifier has outputs, else ``'cifar100'``.

    Returns:
        tuple[str, str]: Path of the checkpoint and of the config.

    Raises:
        ConfigurationError: There is no such network or data set, the file is unreadable, or it
            holds other tensors than this network has.
    """
    check_choice(name, NETWORKS, 'MODEL')
    if data_set is not None:
        check_choice(data_set, DATA_SETS, '--data-set')
    config_out = f'{osp.splitext(out)[0]}.py'
    if config_out == out or osp.isdir(out):
        raise ConfigurationError(f'OUT must be a file such as "{name}.pth", not "{out}"')
    state = extract_state_dict(load_checkpoint_file(checkpoint))
    backbone, foreign_name = NETWORKS[name]
    classifier = foreign_name('fc.weight')
    if classifier not in state or state[classifier].ndim != 2:
        raise ConfigurationError(
            f'checkpoint "{checkpoint}" is not one of {name}: it has no matrix "{classifier}" '
            f'of a classifier, but for instance "{next(iter(state))}"'
        )
    num_classes, width = state[classifier].shape
    if data_set is None:
        fitting = (key for key in DATA_SETS if DATA_SETS[key].num_classes == num_classes)
        data_set = next(fitting, 'cifar100')
    cfg = _config(backbone, num_classes, width, DATA_SETS[data_set])
    names = {
        foreign_name(own.removeprefix('backbone.').removeprefix('head.')): (own, tensor)
        for own, tensor in build_network(cfg.model.to_dict(), name).state_dict().items()
    }
    _check(name, checkpoint, state, {foreign: tensor for foreign, (_, tensor) in names.items()})
    converted = {own: state.get(foreign, tensor) for foreign, (own, tensor) in names.items()}

    os.makedirs(osp.dirname(out) or '.', exist_ok=True)
    meta = dict(mdistiller=name, data_set=data_set)
    torch.save(dict(meta=meta, state_dict=converted), out)
    cfg.dump(config_out)
    return out, config_out


def _config(backbone: dict, num_classes: int, width: int, data: DataSet) -> Config:
    backbone = dict(backbone)
    if backbone['type'] == 'CIFARVGG' and data.image_size == 64:
        # mdistiller's VGG pools as the height of its images needs.
        backbone['num_pools'] = 4
    cfg = dict(
        default_scope='mmpretrain',
        data_preprocessor=dict(
            num_classes=num_classes,
            mean=[round(255 * value, 4) for value in data.mean],
            std=[round(255 * value, 4) for value in data.std],
            to_rgb=data.to_rgb,
        ),
        model=dict(
            type='ImageClassifier',
            backbone=backbone,
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead',
                num_classes=num_classes,
                in_channels=width,
                loss=dict(type='CrossEntropyLoss'),
            ),
        ),
    )
    if backbone['type'].startswith('CIFAR'):
        cfg['custom_imports'] = dict(imports=['edudistill_mm.models'], allow_failed_imports=False)
    return Config(cfg)


def _check(name: str, checkpoint: str, state: dict, expected: dict) -> None:
    """Compare the tensors of the file to those of the network, both under the file's names."""
    # Files from before torch 0.4.1 do not count the batches of BatchNorm.
    missing = [
        key for key in expected if key not in state and not key.endswith('num_batches_tracked')
    ]
    extra = [key for key in state if key not in expected]
    wrong = [key for key in expected if key in state and state[key].shape != expected[key].shape]
    if missing:
        reason = f'it lacks {len(missing)} of {len(expected)} tensors, the first is "{missing[0]}"'
    elif extra:
        reason = f'it has unknown tensors ({len(extra)}), the first is "{extra[0]}"'
    elif wrong:
        reason = (
            f'"{wrong[0]}" is {tuple(state[wrong[0]].shape)}, but must be '
            f'{tuple(expected[wrong[0]].shape)}'
        )
    else:
        return
    raise ConfigurationError(f'checkpoint "{checkpoint}" is not one of {name}: {reason}')
