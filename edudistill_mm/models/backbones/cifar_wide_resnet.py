from collections.abc import Sequence

import torch
from torch import nn

from edudistill_mm.validation.values import check_positive

from ...errors import ConfigurationError
from ...registry import MODELS, register
from .chain_backbone import ChainBackbone


class _PreActivationBlock(nn.Module):
    """BatchNorm, ReLU and a 3x3 convolution, twice, beside a shortcut.

    Where the shape changes, the shortcut is a 1x1 convolution behind the first ReLU, which both
    paths share.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if in_channels != out_channels:
            self.downsample = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        activated = self.relu(self.bn1(x))
        identity = x if self.downsample is None else self.downsample(activated)
        return identity + self.conv2(self.relu(self.bn2(self.conv1(activated))))


@register(MODELS)
class CIFARWideResNet(ChainBackbone):
    """Wide residual networks for CIFAR (Zagoruyko et al., arXiv 1605.07146).

    WRN-d-k: a 3x3 stem of 16 channels and three stages of ``n`` pre-activation blocks each, of
    16k, 32k and 64k channels on maps of 32x32, 16x16 and 8x8 pixels, then BatchNorm and ReLU; the
    depth d is ``6n + 4``. With a linear classifier of 100 classes WRN-16-1, WRN-16-2, WRN-40-1 and
    WRN-40-2 have 0.181 M, 0.703 M, 0.570 M and 2.255 M parameters.

    Args:
        depth (int): 10, 16, 22, 28, 34, 40 or any further ``6n + 4``.
        widen_factor (int): The factor k. Defaults to 1.
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): The stages (0, 1, 2) whose feature maps are returned, the last
            one behind its BatchNorm and ReLU. Defaults to ``(2, )``.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to None: Kaiming's.

    Raises:
        ConfigurationError: There is no network of this depth or width.

    Examples:
        >>> network = CIFARWideResNet(depth=16, widen_factor=2, out_indices=(0, 1, 2))
        >>> [tuple(feature.shape) for feature in network(torch.rand(1, 3, 32, 32))]
        [(1, 32, 32, 32), (1, 64, 16, 16), (1, 128, 8, 8)]
    """

    def __init__(
        self,
        depth: int,
        widen_factor: int = 1,
        in_channels: int = 3,
        out_indices: Sequence[int] = (2,),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if not isinstance(depth, int) or depth < 10 or depth % 6 != 4:
            raise ConfigurationError(
                f'depth of CIFARWideResNet must be 6n + 4 (10, 16, 22, ...), but got {depth!r}'
            )
        check_positive(widen_factor, 'widen_factor of CIFARWideResNet')
        channels = 16
        chain: dict[str, nn.Module] = dict(
            conv1=nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        )
        for number, width in enumerate((16, 32, 64), 1):
            blocks, width = [], width * widen_factor
            for index in range((depth - 4) // 6):
                stride = 2 if number > 1 and index == 0 else 1
                blocks.append(_PreActivationBlock(channels, width, stride))
                channels = width
            chain[f'layer{number}'] = nn.Sequential(*blocks)
        chain.update(bn1=nn.BatchNorm2d(channels), relu=nn.ReLU(inplace=True))
        super().__init__(chain, ('layer1', 'layer2', 'relu'), out_indices, init_cfg)
