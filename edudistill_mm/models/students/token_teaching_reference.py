import torch
from mmengine.model import BaseModule
from mmpretrain.models import LinearClsHead
from torch import nn

from edudistill_mm.registry import MODELS, register
from edudistill_mm.validation.values import check_positive


@register(MODELS)
class TokenTeachingReference(BaseModule):
    """Closes a lower grade's fragments of a transformer: adapter, mean over patches, classifier.

    As in :class:`TeachingReference`, an adapter (LayerNorm and a linear layer on each token) leads
    to the width of the complete student's features, the mean makes the classifier independent of
    the image size, and a linear head classifies. The mean leaves a class or distillation token
    out, which the lower layers of a transformer hardly fill, so that networks with and without one
    are closed alike.

    Args:
        in_channels (int): Channels of the tokens. :class:`FragmentedStudent` fills it in.
        num_classes (int): Width of the classifier: that of the complete student. Filled in.
        width (int, optional): Channels after the adapter. Defaults to None: filled in with the
            channels of the complete student's features.
        adapter (bool): Whether there is an adapter; without one the classifier reads
            ``in_channels``. Defaults to True.
        loss (dict | nn.Module): Loss of the head. Filled in with the student's own loss module.
        init_cfg (dict, optional): Defaults to None: truncated normal (std 0.02) for the adapter,
            and the head's own.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        width: int | None = None,
        adapter: bool = True,
        loss: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='TruncNormal', layer='Linear', std=0.02))
        width = in_channels if width is None or not adapter else width
        check_positive(width, 'reference.width')
        if adapter:
            self.adapter = nn.Sequential(nn.LayerNorm(in_channels), nn.Linear(in_channels, width))
        else:
            self.adapter = nn.Identity()
        self.head = LinearClsHead(
            num_classes=num_classes,
            in_channels=width,
            loss=loss or dict(type='CrossEntropyLoss', loss_weight=1.0),
        )

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Turn the patches' tokens [B, N, in_channels] into features [B, width]."""
        return self.adapter(feature).mean(1)

    def layers(self) -> list[dict]:
        """list[dict]: Configs of torch's own layers for the adapter; the mean comes after."""
        if not isinstance(self.adapter, nn.Sequential):
            return []
        norm, linear = self.adapter
        return [
            dict(type='torch.nn.LayerNorm', normalized_shape=norm.normalized_shape[0]),
            dict(
                type='torch.nn.Linear',
                in_features=linear.in_features,
                out_features=linear.out_features,
            ),
        ]
