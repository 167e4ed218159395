from collections.abc import Sequence

from torch import nn

from ...errors import ConfigurationError
from ...registry import MODELS, register
from .chain_backbone import ChainBackbone


@register(MODELS)
class CIFARVGG(ChainBackbone):
    """The VGG networks with BatchNorm in the form of the distillation literature for CIFAR.

    Five stages of 3x3 convolutions (with bias), of 64, 128, 256, 512 and 512 channels. Max pooling
    halves the maps before the second, third and fourth stage, so that an image of 32x32 pixels
    ends at 4x4; for images of 64x64 mdistiller (mdistiller/models/cifar/vgg.py) halves them before
    the fifth stage as well. One linear layer behind global pooling replaces the three of Simonyan
    et al. (arXiv 1409.1556). With 100 classes the networks of depth 8, 11, 13,
    16 and 19 have 3.965 M, 9.277 M, 9.462 M, 14.774 M and 20.087 M parameters.

    Args:
        depth (int): 8, 11, 13, 16 or 19; the names count the linear layers of the original.
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): The stages (0 to 4) whose feature maps are returned. Defaults
            to ``(4, )``.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to None: Kaiming's.
        num_pools (int): How many of the stages are followed by max pooling: 3, for images of 32x32
            pixels, or 4, for those of 64x64. Defaults to 3.

    Raises:
        ConfigurationError: There is no network of this depth, or with so many pools.

    Examples:
        >>> network = CIFARVGG(depth=8, out_indices=(0, 1, 2, 3, 4))
        >>> [tuple(feature.shape[1:]) for feature in network(torch.rand(1, 3, 32, 32))]
        [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 4, 4)]
    """

    arch_settings = {
        8: (1, 1, 1, 1, 1),
        11: (1, 1, 2, 2, 2),
        13: (2, 2, 2, 2, 2),
        16: (2, 2, 3, 3, 3),
        19: (2, 2, 4, 4, 4),
    }

    def __init__(
        self,
        depth: int,
        in_channels: int = 3,
        out_indices: Sequence[int] = (4,),
        init_cfg: dict | list[dict] | None = None,
        num_pools: int = 3,
    ) -> None:
        if depth not in self.arch_settings:
            raise ConfigurationError(
                f'depth of CIFARVGG must be one of {sorted(self.arch_settings)}, but got {depth!r}'
            )
        if num_pools not in (3, 4):
            raise ConfigurationError(
                f'num_pools of CIFARVGG must be 3 or 4, but got {num_pools!r}'
            )
        chain: dict[str, nn.Module] = {}
        stages = zip(self.arch_settings[depth], (64, 128, 256, 512, 512))
        for number, (convolutions, width) in enumerate(stages, 1):
            layers: list[nn.Module] = []
            for _ in range(convolutions):
                layers += [
                    nn.Conv2d(in_channels, width, 3, padding=1),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ]
                in_channels = width
            chain[f'layer{number}'] = nn.Sequential(*layers)
            if number <= num_pools:
                chain[f'pool{number}'] = nn.MaxPool2d(2)
        names = [name for name in chain if name.startswith('layer')]
        super().__init__(chain, names, out_indices, init_cfg)
