import math
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edudistill_mm.models.teachers.teacher_inputs import normalisation


class DeployedStudent(nn.Module):
    """A plain student from pixels to probabilities, for those who have no MM package.

    It does what its data preprocessor and its head's prediction do in MMPretrain, in the same
    order, so that nothing of them is left to the user.

    Args:
        model (nn.Module): The classifier, with its data preprocessor.
        order (str): Order of the channels that the data preprocessor was given: 'rgb', 'bgr', or
            'gray'.

    Attributes:
        mean, std (Tensor): [1, C, 1, 1] or [1, 1, 1, 1], in the order of the input's channels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, order: str) -> None:
        super().__init__()
        mean, std, swaps = normalisation(model.data_preprocessor)
        # Whether what the network reads is BGR.
        self.bgr = order != 'gray' and swaps == (order == 'rgb')
        if self.bgr:
            mean, std = mean.flip(0), std.flip(0)
        self.register_buffer('mean', mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer('std', std.view(1, -1, 1, 1), persistent=False)
        self.divisor = getattr(model.data_preprocessor, 'pad_size_divisor', 1)
        self.pad_value = getattr(model.data_preprocessor, 'pad_value', 0)
        # Its buffers are constants that nothing reads.
        model.data_preprocessor = None
        self.model = model.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities [B, num_classes] of images [B, C, H, W]: pixels of 0 to 255, RGB or gray."""
        images = (images - self.mean) / self.std
        if self.bgr:
            images = images.flip(1)
        height, width = images.shape[-2:]
        down, right = (math.ceil(x / self.divisor) * self.divisor - x for x in (height, width))
        if down or right:
            images = F.pad(images, (0, right, 0, down), 'constant', self.pad_value)
        scores = self.model(images, mode='tensor')
        # A ConformerHead has two branches, which it sums up.
        scores = reduce(torch.add, scores) if isinstance(scores, tuple) else scores
        return scores.softmax(1)
