import math
from collections.abc import Sequence

import torch
from mmpretrain.models.utils import channel_shuffle
from torch import nn

from ...registry import MODELS, register
from .chain_backbone import ChainBackbone


class _ShuffleUnit(nn.Module):
    """Grouped 1x1, depthwise 3x3 and grouped 1x1 convolution, added to the input.

    With stride 2, the average-pooled input stands beside the result instead.

    The bottleneck has a quarter of the channels that the unit adds, whereas MMPretrain's has a
    quarter of the channels that leave it.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, groups: int, first: bool
    ) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        if self.pool is not None:
            out_channels -= in_channels
        hidden = out_channels // 4
        self.first_groups = 1 if first else groups
        self.conv1 = nn.Conv2d(in_channels, hidden, 1, groups=self.first_groups, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, out_channels, 1, groups=groups, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = channel_shuffle(self.relu(self.bn1(self.conv1(x))), self.first_groups)
        # Unlike in the paper, an activation follows the depthwise convolution.
        out = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(out)))))
        return self.relu(x + out if self.pool is None else torch.cat((out, self.pool(x)), 1))


@register(MODELS)
class CIFARShuffleNetV1(ChainBackbone):
    """ShuffleNet of three groups in the form of the distillation literature for CIFAR.

    The stages of Zhang et al., arXiv 1707.01083 (240, 480 and 960 channels;
    4, 8 and 4 units) behind a 1x1 stem without pooling, so that an image of 32x32 pixels ends at
    4x4. With a linear classifier of 100 classes it has 0.949 M parameters. Convolutions start as
    PyTorch starts them, as in the literature.

    Args:
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): The stages (0, 1, 2) whose feature maps are returned. Defaults
            to ``(2, )``.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to None: PyTorch's.

    Examples:
        >>> network = CIFARShuffleNetV1(out_indices=(0, 1, 2))
        >>> [tuple(feature.shape[1:]) for feature in network(torch.rand(1, 3, 32, 32))]
        [(240, 16, 16), (480, 8, 8), (960, 4, 4)]
    """

    init_cfg_default: tuple[dict, ...] = (
        dict(
            type='Kaiming',
            layer='Conv2d',
            a=math.sqrt(5),
            mode='fan_in',
            nonlinearity='leaky_relu',
            distribution='uniform',
        ),
        dict(type='Constant', val=1, layer='_BatchNorm'),
    )

    def __init__(
        self,
        in_channels: int = 3,
        out_indices: Sequence[int] = (2,),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        channels = 24
        chain: dict[str, nn.Module] = dict(
            conv1=nn.Conv2d(in_channels, channels, 1, bias=False),
            bn1=nn.BatchNorm2d(channels),
            relu=nn.ReLU(inplace=True),
        )
        for number, (width, count) in enumerate(((240, 4), (480, 8), (960, 4)), 1):
            units = []
            for index in range(count):
                first = number == 1 and index == 0
                units.append(_ShuffleUnit(channels, width, 1 if index else 2, 3, first))
                channels = width
            chain[f'layer{number}'] = nn.Sequential(*units)
        super().__init__(chain, ('layer1', 'layer2', 'layer3'), out_indices, init_cfg)
