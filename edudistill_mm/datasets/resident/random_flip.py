import numpy as np
import torch
from mmcv.transforms import RandomFlip
from torch import Tensor

from .batch_transform import BatchTransform

AXES = dict(horizontal=(3,), vertical=(2,), diagonal=(2, 3))


class BatchRandomFlip(BatchTransform):
    """MMCV's ``RandomFlip``: its outcomes are the directions, the last and neutral one is no flip."""

    def __init__(self, transform: RandomFlip, size: tuple[int, int]) -> None:
        super().__init__(size)
        given, prob = transform.direction, transform.prob
        self.directions = [given] if isinstance(given, str) else list(given)
        count = len(self.directions)
        shares = list(prob) if isinstance(prob, list) else [prob / count] * count
        # The largest number below which each direction is drawn.
        self.limits = np.cumsum(shares)
        self.num_views, self.neutral = count + 1, count

    def choose(self, draws: np.ndarray) -> np.ndarray:
        """The number of the direction of each image, [B]."""
        return np.searchsorted(self.limits, draws[:, 0], side='right')

    def apply(self, images: Tensor, outcomes: np.ndarray) -> Tensor:
        """Flip images [B, C, H, W], each in its direction."""
        for number, direction in enumerate(self.directions):
            chosen, axes = outcomes == number, AXES[direction]
            if images.device.type == 'cpu':
                given = images.numpy()
                given[chosen] = np.flip(given[chosen], axes)
            else:
                # Choosing rows would wait for the device.
                flips = torch.from_numpy(chosen).to(images.device, non_blocking=True)
                images = torch.where(flips[:, None, None, None], images.flip(axes), images)
        return images
