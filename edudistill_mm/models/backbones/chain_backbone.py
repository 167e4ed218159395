from collections.abc import Mapping, Sequence

import torch
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch import nn

from ...errors import ConfigurationError


class ChainBackbone(BaseBackbone):
    """Base of backbones that run named modules one after another.

    Convolutions start from Kaiming's normal distribution with the fan of the output, BatchNorm
    from scale 1 and shift 0, unless ``init_cfg`` says otherwise.

    Args:
        chain (Mapping[str, nn.Module]): The modules by name, in the order in which they run.
        stages (Sequence[str]): Names of the modules whose outputs ``out_indices`` count.
        out_indices (Sequence[int]): The stages whose feature maps are returned, ascending.
        init_cfg (dict | list[dict], optional): Initialisation.

    Raises:
        ConfigurationError: There is no stage of such an index.
    """

    init_cfg_default: tuple[dict, ...] = (
        dict(type='Kaiming', layer='Conv2d'),
        dict(type='Constant', val=1, layer='_BatchNorm'),
    )

    def __init__(
        self,
        chain: Mapping[str, nn.Module],
        stages: Sequence[str],
        out_indices: Sequence[int],
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(list(self.init_cfg_default) if init_cfg is None else init_cfg)
        if not out_indices or not set(out_indices) <= set(range(len(stages))):
            raise ConfigurationError(
                f'out_indices of {type(self).__name__} must be some of '
                f'{list(range(len(stages)))}, but got {out_indices!r}'
            )
        self.chain = tuple(chain)
        self.out_names = tuple(stages[index] for index in sorted(set(out_indices)))
        for name, module in chain.items():
            self.add_module(name, module)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the feature maps [B, c, h, w] of ``out_indices`` for images [B, C, H, W]."""
        features = []
        for name in self.chain:
            x = getattr(self, name)(x)
            if name in self.out_names:
                features.append(x)
        return tuple(features)
