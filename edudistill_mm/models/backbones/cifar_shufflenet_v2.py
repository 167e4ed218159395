from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule
from mmpretrain.models.backbones import ShuffleNetV2
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch import nn

from ...registry import MODELS, register
from .cifar_shufflenet_v1 import CIFARShuffleNetV1


@register(MODELS)
class CIFARShuffleNetV2(ShuffleNetV2):
    """ShuffleNetV2 in the form of the distillation literature for CIFAR.

    MMPretrain's network behind a 1x1 stem without stride and without pooling, so that an image of
    32x32 pixels ends at 4x4. With a linear classifier of 100 classes it has 1.356 M parameters.
    Convolutions start as PyTorch starts them, as in the literature.

    Args:
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): Which feature maps are returned: 0, 1, 2 for the stages, 3 for
            the 1x1 convolution behind them. Defaults to ``(3, )``.
        init_cfg (dict | list[dict], optional): Initialisation. Defaults to None: PyTorch's.
        **kwargs: Further arguments of MMPretrain's ``ShuffleNetV2``, such as ``norm_cfg``.

    Examples:
        >>> network = CIFARShuffleNetV2(out_indices=(0, 1, 2, 3))
        >>> [tuple(feature.shape[1:]) for feature in network(torch.rand(1, 3, 32, 32))]
        [(116, 16, 16), (232, 8, 8), (464, 4, 4), (1024, 4, 4)]
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_indices: Sequence[int] = (3,),
        init_cfg: dict | list[dict] | None = None,
        **kwargs: Any,
    ) -> None:
        if init_cfg is None:
            init_cfg = list(CIFARShuffleNetV1.init_cfg_default)
        super().__init__(out_indices=out_indices, init_cfg=init_cfg, **kwargs)
        self.conv1 = ConvModule(
            in_channels,
            self.conv1.out_channels,  # type: ignore[has-type]  # that of MMPretrain
            1,
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )
        self.maxpool = nn.Identity()

    def init_weights(self) -> None:
        """Initialise by ``init_cfg`` alone; MMPretrain's network would overwrite that."""
        BaseBackbone.init_weights(self)
