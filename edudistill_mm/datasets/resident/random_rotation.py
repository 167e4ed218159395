import math

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomRotation

from edudistill_mm.errors import ConfigurationError

from .batch_transform import BatchTransform


class BatchRandomRotation(BatchTransform):
    """torchvision's ``RandomRotation`` of PIL images: its outcomes are angles in degrees.

    Pixels are found in 16.16 fixed-point numbers, as Pillow does without interpolation.
    """

    def __init__(self, transform: RandomRotation, size: tuple[int, int]) -> None:
        super().__init__(size)
        nearest = transform.interpolation == InterpolationMode.NEAREST
        if not nearest or transform.expand or transform.center:
            raise ConfigurationError(
                'interpolation, expand and center of torchvision/RandomRotation must have their defaults '
                'for resident data'
            )
        self.degrees, self.fill = transform.degrees, transform.fill

    def choose(self, draws: np.ndarray) -> np.ndarray:
        """The angle of each image, [B]."""
        low, high = map(float, self.degrees)
        return low + draws[:, 0] * (high - low)

    def apply(self, images: Tensor, outcomes: np.ndarray) -> Tensor:
        """Rotate images [B, C, H, W] counter-clockwise, each by its angle."""
        height, width = self.size
        device = images.device
        fixed = torch.tensor([_matrix(angle, width, height) for angle in outcomes.tolist()])
        fixed = fixed.to(device)[:, :, None, None]
        y, x = torch.arange(height, device=device)[:, None], torch.arange(width, device=device)
        column = (fixed[:, 2] + fixed[:, 0] * x + fixed[:, 1] * y) >> 16
        row = (fixed[:, 5] + fixed[:, 3] * x + fixed[:, 4] * y) >> 16
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        places = (row * width + column).where(inside, 0).flatten(1)
        rotated = images.flatten(2).gather(2, places[:, None].expand(-1, images.shape[1], -1))
        fill = torch.as_tensor(self.fill, device=device).to(images.dtype).view(-1, 1, 1)
        return torch.where(inside[:, None], rotated.view_as(images), fill)


def _matrix(angle: float, width: int, height: int) -> list[int]:
    """The affine map from an output pixel to its source, in 16.16 fixed-point numbers."""
    radians = -math.radians(angle % 360)
    a, b = round(math.cos(radians), 15), round(math.sin(radians), 15)
    d, e = round(-math.sin(radians), 15), a
    center_x, center_y = width / 2, height / 2
    c = a * -center_x + b * -center_y + center_x
    f = d * -center_x + e * -center_y + center_y
    # Pixels are taken at their centers.
    numbers = (a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5)
    return [math.floor(number * 65536 + 0.5) for number in numbers]
