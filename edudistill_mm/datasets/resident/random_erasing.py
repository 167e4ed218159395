import numpy as np
import torch
from mmpretrain.datasets.transforms import RandomErasing
from torch import Tensor

from .batch_transform import BatchTransform
from .draws import uniform_draws


class BatchRandomErasing(BatchTransform):
    """MMPretrain's ``RandomErasing``.

    Its outcomes are top, left, height and width of the erased part, and a number of which the
    pixels of ``mode='rand'`` are drawn; nothing is erased where height and width are 0.
    """

    num_draws = 6

    def __init__(self, transform: RandomErasing, size: tuple[int, int]) -> None:
        super().__init__(size)
        self.transform = transform

    def choose(self, draws: np.ndarray) -> np.ndarray:
        """Top, left, height, width and the number for the pixels of each image, [B, 5]."""
        given, (height, width) = self.transform, self.size
        erased, aspect, area, top, left, pixels = draws.T
        low, high = np.log(np.asarray(given.aspect_range, np.float32))
        ratio = np.exp(low + aspect * (high - low))
        least, most = given.min_area_ratio, given.max_area_ratio
        area = height * width * (least + area * (most - least))
        heights = np.minimum(np.round(np.sqrt(area * ratio)), height)
        widths = np.minimum(np.round(np.sqrt(area / ratio)), width)
        tops, lefts = np.floor(top * (height - heights)), np.floor(left * (width - widths))
        outcomes = np.stack([tops, lefts, heights, widths, pixels * 2.0**53], 1).astype(np.int64)
        outcomes[erased > given.erase_prob, 2:4] = 0
        return outcomes

    def apply(self, images: Tensor, outcomes: np.ndarray) -> Tensor:
        """Erase a part of each of the images [B, C, H, W]."""
        device, (height, width) = images.device, self.size
        top, left, high, wide = torch.from_numpy(outcomes[:, :4]).to(device).T[..., None]
        y, x = torch.arange(height, device=device), torch.arange(width, device=device)
        rows, columns = (y >= top) & (y < top + high), (x >= left) & (x < left + wide)
        erased = (rows[:, :, None] & columns[:, None, :])[:, None]
        return torch.where(erased, self._pixels(outcomes[:, 4], images), images)

    def _pixels(self, numbers: np.ndarray, images: Tensor) -> Tensor:
        given, shape = self.transform, images.shape
        color = np.asarray(given.fill_color)
        if given.mode == 'const':
            return torch.from_numpy(color.astype(np.uint8)).view(-1, 1, 1).to(images.device)
        draws = uniform_draws('pixels', numbers, int(np.prod(shape[1:])))
        pixels = torch.from_numpy(draws).view(shape)
        if given.fill_std is None:
            return (pixels * 256).to(images.device, torch.uint8)
        deviation = torch.as_tensor(given.fill_std, dtype=torch.float64).view(-1, 1, 1)
        # The quantile of a normal distribution; numbers of exactly 0 would have none.
        normal = torch.special.ndtri(pixels.clamp_min(2.0**-54)) * deviation
        normal += torch.from_numpy(color.astype(float)).view(-1, 1, 1)
        return normal.trunc().clamp(0, 255).to(images.device, torch.uint8)
