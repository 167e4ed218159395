from functools import lru_cache

import torch
from mmengine.model import BaseModule
from mmpretrain.models import LinearClsHead
from torch import nn

from edudistill_mm.registry import MODELS, register
from edudistill_mm.validation.values import check_positive


@register(MODELS)
class TeachingReference(BaseModule):
    """Closes the fragments of a lower grade: adapter, pooling, classifier.

    A 1x1 convolution with BatchNorm brings the features of the last active fragment to the width
    of the complete student's features, a pooling to a fixed size makes the classifier independent
    of the image size, and a linear head classifies. The layout follows the public code of arXiv
    2311.13811, which gives its ResNet20 a reference of 64 channels pooled to 4x4 after stage 1 and
    to 1x1 after stage 2.

    Args:
        in_channels (int): Channels of the features. :class:`FragmentedStudent` fills it in.
        num_classes (int): Width of the classifier: that of the complete student. Filled in.
        width (int, optional): Channels after the adapter. Defaults to None: filled in with the
            channels of the complete student's features.
        pool_size (int, optional): Side length after the pooling. Defaults to None: filled in with
            1 for the deepest reference and 4 for the others.
        adapter (bool): Whether there is an adapter; without one the classifier reads
            ``in_channels``. Defaults to True.
        loss (dict | nn.Module): Loss of the head. Filled in with the student's own loss module.
        init_cfg (dict, optional): Defaults to None: Kaiming for the convolution, and the head's
            own.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        width: int | None = None,
        pool_size: int | None = None,
        adapter: bool = True,
        loss: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            init_cfg
            or [
                dict(type='Kaiming', layer='Conv2d'),
                dict(type='Constant', val=1, layer='_BatchNorm'),
            ]
        )
        width = in_channels if width is None or not adapter else width
        pool_size = 1 if pool_size is None else pool_size
        for key, value in (('width', width), ('pool_size', pool_size)):
            check_positive(value, f'reference.{key}')
        if adapter:
            self.adapter = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, bias=False), nn.BatchNorm2d(width)
            )
        else:
            self.adapter = nn.Identity()
        self._pool_size, self.pool = pool_size, nn.AdaptiveAvgPool2d(pool_size)
        self.head = LinearClsHead(
            num_classes=num_classes,
            in_channels=width * pool_size**2,
            loss=loss or dict(type='CrossEntropyLoss', loss_weight=1.0),
        )

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Turn features [B, in_channels, H, W] into the head's, [B, width * pool_size ** 2]."""
        feature = self.adapter(feature)
        if feature.is_cuda and torch.are_deterministic_algorithms_enabled():
            # On a GPU torch adds up the gradients of its own pooling in any order.
            return _average_pool(feature, self._pool_size).flatten(1)
        return self.pool(feature).flatten(1)

    def layers(self) -> list[dict]:
        """list[dict]: Configs of torch's own layers that do what :meth:`forward` does.

        Those of the adapter come first, under its names.
        """
        layers: list[dict] = [
            dict(type='torch.nn.AdaptiveAvgPool2d', output_size=self.pool.output_size),
            dict(type='torch.nn.Flatten'),
        ]
        if isinstance(self.adapter, nn.Sequential):
            convolution, norm = self.adapter
            layers[:0] = [
                dict(
                    type='torch.nn.Conv2d',
                    in_channels=convolution.in_channels,
                    out_channels=convolution.out_channels,
                    kernel_size=1,
                    bias=False,
                ),
                dict(type='torch.nn.BatchNorm2d', num_features=norm.num_features),
            ]
        return layers


def _average_pool(feature: torch.Tensor, size: int) -> torch.Tensor:
    """``torch.nn.AdaptiveAvgPool2d(size)`` as two products of matrices."""
    rows, columns = (
        _windows_on(length, size, feature.device, feature.dtype) for length in feature.shape[-2:]
    )
    return rows @ feature @ columns.T


@lru_cache(maxsize=64)
def _windows_on(length: int, size: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """:func:`_windows` on a device, once: no step waits for a copy, nor does one that is captured."""
    return _windows(length, size).to(device, dtype)


def _windows(length: int, size: int) -> torch.Tensor:
    """The mean over each window, as a matrix [size, length].

    Window i of torch's adaptive pooling goes from floor(i * length / size) to
    ceil((i + 1) * length / size).
    """
    windows = torch.zeros(size, length)
    for index in range(size):
        begin, end = index * length // size, -(-(index + 1) * length // size)
        windows[index, begin:end] = 1 / (end - begin)
    return windows
