from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from torch import Tensor


class BatchTransform(ABC):
    """A random transform of MMPretrain's pipelines, applied to a whole batch of images.

    Its outcomes have the distribution of the original's, and for the same outcome the image is the
    original's.

    Args:
        size (tuple[int, int]): Height and width of the images that it gets.

    Attributes:
        num_draws (int): How many random numbers it takes for an image.
        num_views (int): The number of its outcomes; 0 if they cannot be counted.
        neutral (Any): The outcome of an image that is not augmented, such as no flip. Defaults to
            0, also for each number of a row.
        output_size (tuple[int, int]): Height and width of the images that it returns.
    """

    num_draws = 1
    num_views = 0
    neutral: Any = 0

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = self.output_size = size

    @abstractmethod
    def choose(self, draws: np.ndarray) -> np.ndarray:
        """Turn uniform numbers [B, num_draws] into outcomes.

        Outcomes that can be counted are [B], from 0 to ``num_views - 1``; others are rows of
        numbers, [B, ...].
        """

    @abstractmethod
    def apply(self, images: Tensor, outcomes: np.ndarray) -> Tensor:
        """Transform images [B, C, H, W], uint8, each by its outcome."""
