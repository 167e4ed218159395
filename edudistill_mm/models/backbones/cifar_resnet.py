from collections.abc import Sequence
from typing import Any

from mmpretrain.models.backbones import ResNet_CIFAR
from mmpretrain.models.backbones.resnet import BasicBlock

from ...errors import ConfigurationError
from ...registry import MODELS, register


@register(MODELS)
class CIFARResNet(ResNet_CIFAR):
    """The thin ResNets for CIFAR of He et al. (arXiv 1512.03385), section 4.2.

    A 3x3 stem and three stages of ``n`` basic blocks each, of 16, 32 and 64 channels on maps of
    32x32, 16x16 and 8x8 pixels; the depth is ``6n + 2``. As in the distillation literature (and
    unlike in the original, whose shortcuts have no parameters), a 1x1 convolution with BatchNorm
    is the shortcut where the shape changes. With a linear classifier of 100 classes the networks
    of depth 8, 14, 20, 32, 44, 56 and 110 have 0.084 M, 0.181 M, 0.278 M, 0.473 M, 0.667 M,
    0.862 M and 1.737 M parameters. The "ResNet8x4" and "ResNet32x4" of the literature have a
    stem of 32 channels and stages of 64, 128 and 256 (``stem_channels=32, base_channels=64``);
    they have 1.234 M and 7.434 M parameters.

    Convolutions start from Kaiming's normal distribution, BatchNorm from scale 1 and shift 0.

    Args:
        depth (int): 8, 14, 20, 32, 44, 56 or 110.
        base_channels (int): Channels of the first stage; doubled by each further stage. Defaults
            to 16.
        stem_channels (int, optional): Channels of the stem. Defaults to None: ``base_channels``.
        out_indices (Sequence[int]): The stages (0, 1, 2) whose feature maps are returned. Defaults
            to ``(2, )``.
        **kwargs: Arguments of MMPretrain's ``ResNet_CIFAR``, such as ``in_channels``,
            ``frozen_stages``, ``norm_cfg``, ``norm_eval``, ``with_cp`` and ``zero_init_residual``,
            which is False here.

    Raises:
        ConfigurationError: There is no network of this depth.

    Examples:
        >>> network = CIFARResNet(depth=20, out_indices=(0, 1, 2))
        >>> [tuple(feature.shape) for feature in network(torch.rand(1, 3, 32, 32))]
        [(1, 16, 32, 32), (1, 32, 16, 16), (1, 64, 8, 8)]
    """

    arch_settings = {
        depth: (BasicBlock, ((depth - 2) // 6,) * 3) for depth in (8, 14, 20, 32, 44, 56, 110)
    }

    def __init__(
        self,
        depth: int,
        base_channels: int = 16,
        stem_channels: int | None = None,
        out_indices: Sequence[int] = (2,),
        zero_init_residual: bool = False,
        **kwargs: Any,
    ) -> None:
        if depth not in self.arch_settings:
            raise ConfigurationError(
                f'depth of CIFARResNet must be one of {sorted(self.arch_settings)}, but got '
                f'{depth!r}'
            )
        super().__init__(
            depth,
            stem_channels=stem_channels or base_channels,
            base_channels=base_channels,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=out_indices,
            zero_init_residual=zero_init_residual,
            **kwargs,
        )
