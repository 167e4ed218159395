import numpy as np
from torch import Tensor

from .batch_transform import BatchTransform


class BatchSwapChannels(BatchTransform):
    """RGB to BGR and back, as MMPretrain's conversions from and to PIL's images do."""

    num_draws, num_views = 0, 1

    def choose(self, draws: np.ndarray) -> np.ndarray:
        """The only outcome of each image, [B]."""
        return np.zeros(len(draws), np.int64)

    def apply(self, images: Tensor, outcomes: np.ndarray) -> Tensor:
        """Swap the channels of images [B, C, H, W]."""
        return images.flip(1)
