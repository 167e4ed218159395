import math

import numpy as np
import torch
from mmpretrain.datasets.transforms import RandomResizedCrop
from torch import Tensor

from edudistill_mm.errors import ConfigurationError

from .batch_transform import BatchTransform


class BatchRandomResizedCrop(BatchTransform):
    """MMPretrain's ``RandomResizedCrop`` with bilinear interpolation.

    Its outcomes are top, left, height and width of the crop. The neutral one is the largest crop of
    the output's shape at the centre, which ``ResizeEdge`` and ``CenterCrop`` to that size show in a
    validation. OpenCV interpolates in fixed-point numbers: a pixel may differ from its by one level.
    """

    def __init__(self, transform: RandomResizedCrop, size: tuple[int, int]) -> None:
        super().__init__(size)
        if transform.interpolation != 'bilinear' or transform.backend != 'cv2':
            raise ConfigurationError(
                f'interpolation="{transform.interpolation}" with backend="{transform.backend}" of '
                f'RandomResizedCrop is none that resident data have, which is "bilinear" with "cv2" only'
            )
        self.transform = transform
        self.output_size = tuple(transform.scale)
        self.num_draws = 4 * transform.max_attempts
        ratio = min(inner / wanted for inner, wanted in zip(size, self.output_size))
        tall, wide = (round(wanted * ratio) for wanted in self.output_size)
        self.neutral = (size[0] - tall) // 2, (size[1] - wide) // 2, tall, wide

    def choose(self, draws: np.ndarray) -> np.ndarray:
        """Top, left, height and width of each crop, [B, 4]."""
        given, (height, width) = self.transform, self.size
        draws = draws.reshape(len(draws), -1, 4)
        low, high = map(math.log, given.aspect_ratio_range)
        least, most = given.crop_ratio_range
        area = (least + draws[..., 0] * (most - least)) * height * width
        ratio = np.exp(low + draws[..., 1] * (high - low))
        wide, tall = np.round(np.sqrt(area * ratio)), np.round(np.sqrt(area / ratio))
        fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
        top = np.floor(draws[..., 2] * (height - tall + 1))
        left = np.floor(draws[..., 3] * (width - wide + 1))
        attempts = np.stack([top, left, tall, wide], 2)
        # Behind all attempts stands what is left if none fits.
        attempts = np.concatenate([attempts, np.tile(self._central(), (len(draws), 1, 1))], 1)
        fits = np.concatenate([fits, np.ones((len(draws), 1), bool)], 1)
        return attempts[np.arange(len(draws)), fits.argmax(1)].astype(np.int64)

    def _central(self) -> tuple[int, int, int, int]:
        (height, width), ratios = self.size, self.transform.aspect_ratio_range
        tall, wide = height, width
        if width / height < min(ratios):
            tall = round(width / min(ratios))
        elif width / height > max(ratios):
            wide = round(height * max(ratios))
        return (height - tall) // 2, (width - wide) // 2, tall, wide

    def apply(self, images: Tensor, outcomes: np.ndarray) -> Tensor:
        """Crop and resize images [B, C, H, W]."""
        device = images.device
        top, left, tall, wide = torch.from_numpy(outcomes).to(device).T
        rows, below, down = _places(tall, self.output_size[0])
        columns, beside, right = _places(wide, self.output_size[1])
        batch = torch.arange(len(images), device=device)[:, None, None]
        rows, below = (top[:, None] + rows)[:, :, None], (top[:, None] + below)[:, :, None]
        columns, beside = (
            (left[:, None] + columns)[:, None],
            (left[:, None] + beside)[:, None],
        )
        pixels = images.permute(0, 2, 3, 1)
        down, right = down[:, :, None, None], right[:, None, :, None]
        upper = pixels[batch, rows, columns] * (1 - right) + pixels[batch, rows, beside] * right
        lower = pixels[batch, below, columns] * (1 - right) + pixels[batch, below, beside] * right
        resized = upper * (1 - down) + lower * down
        return resized.round().to(torch.uint8).permute(0, 3, 1, 2).contiguous()


def _places(lengths: Tensor, wanted: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each output pixel the two pixels it lies between, [B, wanted], and the second's weight."""
    place = torch.arange(wanted, device=lengths.device, dtype=torch.float64) + 0.5
    place = place * (lengths.double() / wanted)[:, None] - 0.5
    last = (lengths - 1)[:, None]
    first = place.floor()
    weight = (place - first).float()
    outside = (first < 0) | (first >= last)
    first = first.long().clamp_min(0).minimum(last)
    return first, (first + 1).minimum(last), weight.masked_fill(outside, 0)
