from collections.abc import Sequence

import torch
from torch import nn

from ...registry import MODELS, register
from .chain_backbone import ChainBackbone


class _InvertedResidual(nn.Module):
    """1x1 convolution to a multiple of the channels, 3x3 depthwise and linear 1x1 convolution."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, expand_ratio: int
    ) -> None:
        super().__init__()
        hidden = in_channels * expand_ratio
        self.conv = nn.Sequential(
            # Also with expand_ratio 1, where MMPretrain's block has no such layer.
            nn.Conv2d(in_channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.with_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.conv(x)
        return x + out if self.with_shortcut else out


@register(MODELS)
class CIFARMobileNetV2(ChainBackbone):
    """MobileNetV2 of half width in the form of the distillation literature for CIFAR.

    It differs from the network of Sandler et al. (arXiv 1801.04381) and of
    MMPretrain: ReLU instead of ReLU6, widths that are not rounded to multiples of eight, an
    expansion layer in the first block too, and less striding, so that an image of 32x32 pixels
    ends at 2x2. With a linear classifier of 100 classes it has 0.813 M parameters.

    Args:
        widen_factor (float): Factor of all widths but the last one, 1280. Defaults to 0.5.
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): Which feature maps are returned: 0 to 6 for the seven stages,
            7 for the 1x1 convolution behind them. Defaults to ``(7, )``.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to None: Kaiming's.

    Examples:
        >>> network = CIFARMobileNetV2(out_indices=(1, 2, 4, 7))
        >>> [tuple(feature.shape[1:]) for feature in network(torch.rand(1, 3, 32, 32))]
        [(12, 16, 16), (16, 8, 8), (48, 4, 4), (1280, 2, 2)]
    """

    # expand_ratio, channels, blocks, stride of the first block
    arch_settings = (
        (1, 16, 1, 1),
        (6, 24, 2, 1),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(
        self,
        widen_factor: float = 0.5,
        in_channels: int = 3,
        out_indices: Sequence[int] = (7,),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        channels = int(32 * widen_factor)
        stem = nn.Conv2d(in_channels, channels, 3, 2, padding=1, bias=False)
        chain = dict(conv1=self._activated(stem))
        for number, (expand_ratio, width, count, stride) in enumerate(self.arch_settings, 1):
            blocks, width = [], int(width * widen_factor)
            for index in range(count):
                blocks.append(
                    _InvertedResidual(channels, width, 1 if index else stride, expand_ratio)
                )
                channels = width
            chain[f'layer{number}'] = nn.Sequential(*blocks)
        chain['conv2'] = self._activated(nn.Conv2d(channels, 1280, 1, bias=False))
        super().__init__(chain, list(chain)[1:], out_indices, init_cfg)

    @staticmethod
    def _activated(convolution: nn.Conv2d) -> nn.Sequential:
        return nn.Sequential(
            convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
        )
