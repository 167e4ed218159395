import math
from typing import Any

import numpy as np
import torch
from mmpretrain.datasets.transforms import RandomCrop
from torch import Tensor

from edudistill_mm.errors import ConfigurationError

from .batch_transform import BatchTransform


class BatchRandomCrop(BatchTransform):
    """MMPretrain's ``RandomCrop``: its outcomes are the places of the crop, row by row.

    The neutral one is at the centre of the image, as MMCV's ``CenterCrop``: all of an image that is
    as large as the crop.
    """

    def __init__(self, transform: RandomCrop, size: tuple[int, int]) -> None:
        super().__init__(size)
        left, top, right, bottom = _padding(transform.padding)
        if transform.pad_if_needed:
            lacks_h = transform.crop_size[0] - (size[0] + top + bottom)
            lacks_w = transform.crop_size[1] - (size[1] + left + right)
            more_h, more_w = (math.ceil(max(0, lack) / 2) for lack in (lacks_h, lacks_w))
            if (more_h or more_w) and transform.padding_mode != 'constant':
                raise ConfigurationError(
                    f'padding_mode="{transform.padding_mode}" of RandomCrop is none of the modes of resident '
                    f'data, which have "constant" only'
                )
            left, top, right, bottom = left + more_w, top + more_h, right + more_w, bottom + more_h
        self.padding, self.fill = (left, top, right, bottom), transform.pad_val
        padded = size[0] + top + bottom, size[1] + left + right
        self.output_size = tuple(map(min, transform.crop_size, padded))
        self.places = tuple(outer - inner + 1 for outer, inner in zip(padded, self.output_size))
        self.num_views = self.places[0] * self.places[1]
        row, column = (
            min(max(before + round((inner - wanted) / 2), 0), places - 1)
            for before, inner, wanted, places in zip(
                (top, left), size, self.output_size, self.places
            )
        )
        self.neutral = row * self.places[1] + column

    def choose(self, draws: np.ndarray) -> np.ndarray:
        """The number of the place of each crop, [B]."""
        return (draws[:, 0] * self.num_views).astype(np.int64)

    def apply(self, images: Tensor, outcomes: np.ndarray) -> Tensor:
        """Crop images [B, C, H, W] at their places."""
        rows, columns = np.divmod(outcomes, self.places[1])
        if images.device.type == 'cpu':
            return self._slice(images, rows, columns)
        if any(self.padding):
            images = self._pad(images)
        return _gather(images, rows, columns, self.output_size) if self.num_views > 1 else images

    def _filled(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Images of another size that have the colour of the padding, [B, C, *size]."""
        shape = *images.shape[:2], *size
        filled = images.new_zeros(shape)
        # As OpenCV does it: a single number is that of the first channel, and all are rounded.
        colour = self.fill if isinstance(self.fill, (list, tuple)) else [self.fill]
        for channel, value in enumerate(colour):
            if value:
                filled[:, channel] = min(max(round(value), 0), 255)
        return filled

    def _slice(self, images: Tensor, rows: np.ndarray, columns: np.ndarray) -> Tensor:
        """Copy what each crop and its image have in common.

        On a CPU, which has few threads, this is several times as fast as :func:`_gather`.
        """
        (left, top, _, _), (height, width) = self.padding, self.size
        wanted = self.output_size
        # Bounds of the image in the coordinates of the crop.
        y, x = top - rows, left - columns
        above, below = y.clip(0, wanted[0]), (y + height).clip(0, wanted[0])
        before, behind = x.clip(0, wanted[1]), (x + width).clip(0, wanted[1])
        crops = self._filled(images, wanted)
        bounds = np.stack([above, below, before, behind, y, x], 1).tolist()
        for crop, image, bound in zip(crops.numpy(), images.numpy(), bounds):
            above, below, before, behind, y, x = bound
            crop[:, above:below, before:behind] = image[
                :, above - y : below - y, before - x : behind - x
            ]
        return crops

    def _pad(self, images: Tensor) -> Tensor:
        (left, top, right, bottom), (height, width) = self.padding, self.size
        padded = self._filled(images, (height + top + bottom, width + left + right))
        padded[:, :, top : top + height, left : left + width] = images
        return padded


def _gather(images: Tensor, rows: np.ndarray, columns: np.ndarray, size: tuple) -> Tensor:
    device = images.device
    batch, channels, _, width = images.shape
    first = torch.from_numpy(rows * width + columns).to(device, non_blocking=True)
    inside = torch.arange(size[0], device=device)[:, None] * width
    inside = (inside + torch.arange(size[1], device=device)).flatten()
    places = (first[:, None] + inside)[:, None].expand(-1, channels, -1)
    return images.flatten(2).gather(2, places).view(batch, channels, *size)


def _padding(padding: Any) -> tuple[int, int, int, int]:
    """Left, top, right, bottom, as mmcv's ``impad`` reads its argument."""
    if padding is None:
        return 0, 0, 0, 0
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 2:
        return padding[0], padding[1], padding[0], padding[1]
    return tuple(padding)
