import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

# Leading tokens that are no patches: a class token, a distillation token, registers.
MAX_PREFIX_TOKENS = 8


def feature_of(output: Any, batch_size: int) -> torch.Tensor | None:
    """The first tensor [batch_size, ...] of three dimensions or more in what a module returns.

    Modules return a tensor, or a tuple or list such as ``(tokens, hw_shape)`` or several branches.
    Tensors of another length (the pixels of TNT) and pooled features [B, C, 1] are passed over.
    """
    outputs = output if isinstance(output, (tuple, list)) else (output,)
    for item in outputs:
        if not isinstance(item, torch.Tensor) or item.ndim < 3 or len(item) != batch_size:
            continue
        if item.ndim > 3 or item.shape[2] > 1:
            return item
    return None


@dataclass(frozen=True)
class FeatureLayout:
    """How to read the features that a module returns.

    Args:
        shape (tuple[int, ...]): Shape of the features in the dry run.
        tokens (bool): Whether they are tokens [B, N, C], or a map.
        channels_last (bool): Whether the channels are the last dimension.
        prefix (int): Number of leading tokens that are no patches.
    """

    shape: tuple[int, ...]
    tokens: bool
    channels_last: bool
    prefix: int = 0

    @classmethod
    def of(cls, shape: Sequence[int], image_size: tuple[int, int]) -> 'FeatureLayout':
        """Derive the layout from a shape, and from the (H, W) of the image.

        Shapes are [B, C, H, W] or [B, H, W, C] of a map, [B, N, C] of tokens, or [B, N, h, w, C]
        of tokens that hold pixels. The side lengths of a map have the image's ratio, and the
        patches among the tokens fill such a map. When in doubt, channels come first and each token
        is a patch.
        """
        shape, ratio = tuple(shape), math.log(image_size[0] / image_size[1])
        if len(shape) == 4:
            first, last = (
                abs(math.log(height / width) - ratio) for height, width in (shape[2:], shape[1:3])
            )
            return cls(shape, tokens=False, channels_last=last < first)
        prefix = 0
        if len(shape) == 3:
            candidates = range(min(MAX_PREFIX_TOKENS + 1, shape[1]))
            prefix = next((p for p in candidates if _fills_a_map(shape[1] - p, image_size)), 0)
        return cls(shape, tokens=True, channels_last=True, prefix=prefix)

    @property
    def channels(self) -> int:
        """int: Number of channels."""
        return self.shape[-1] if self.channels_last else self.shape[1]

    @property
    def positions(self) -> int:
        """int: Number of places in the image that have features: the resolution."""
        return math.prod(self.shape[1:]) // self.channels - self.prefix

    def read(self, feature: torch.Tensor) -> torch.Tensor:
        """Turn features into a map [B, C, H, W] or the patches' tokens [B, N, C]."""
        if self.tokens:
            return feature.flatten(1, -2)[:, self.prefix :]
        return feature.movedim(-1, 1) if self.channels_last else feature


def _fills_a_map(count: int, image_size: tuple[int, int]) -> bool:
    rows = round(math.sqrt(count * image_size[0] / image_size[1]))
    return rows > 0 and rows * round(rows * image_size[1] / image_size[0]) == count
