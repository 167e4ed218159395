import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tiny import CHANNELS, CLASSES, MEAN, SIZE, STD, noise

PADDING = 4


class BareLoop:
    """Distillation by hand, with nothing of MM software: the images stay in memory as one tensor.

    The networks are those of :func:`tiny_network`.

    Args:
        count (int): How many images there are.
        batch_size (int): Images in a batch.
        slices (bool): How images are cropped: each by a slice of a numpy array, which a CPU does
            fastest, or all at once by indices of a tensor, as on a GPU. Defaults to False.
    """

    def __init__(self, count: int, batch_size: int, slices: bool = False) -> None:
        images, labels = noise(count)
        self.batch_size, self.crop = batch_size, self._slice if slices else self._gather
        self.labels = torch.from_numpy(labels)
        images = torch.from_numpy(images).permute(0, 3, 1, 2)
        self.padded = F.pad(images, (PADDING,) * 4).contiguous()
        self.mean, self.std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
        self.student, self.teacher = (
            nn.Sequential(
                nn.Conv2d(3, CHANNELS, 8, stride=8),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(CHANNELS, CLASSES),
            )
            for _ in range(2)
        )
        self.optimizer = torch.optim.SGD(
            self.student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4
        )

    def _gather(self, indices: Tensor, offsets: Tensor, mirrored: Tensor) -> Tensor:
        span = torch.arange(SIZE)
        rows = span + offsets[:, :1]
        columns = torch.where(mirrored[:, None], SIZE - 1 - span, span) + offsets[:, 1:]
        return self.padded[
            indices.view(-1, 1, 1, 1),
            torch.arange(3).view(1, 3, 1, 1),
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]

    def _slice(self, indices: Tensor, offsets: Tensor, mirrored: Tensor) -> Tensor:
        crops = self.padded.new_empty(len(indices), 3, SIZE, SIZE)
        padded = self.padded.numpy()
        for crop, index, (y, x) in zip(crops.numpy(), indices.tolist(), offsets.tolist()):
            crop[:] = padded[index, :, y : y + SIZE, x : x + SIZE]
        crops[mirrored] = crops[mirrored].flip(3)
        return crops

    def step(self, indices: Tensor) -> None:
        """One iteration on the images of indices, [B]."""
        offsets = torch.randint(2 * PADDING + 1, (len(indices), 2))
        inputs = self.crop(indices, offsets, torch.rand(len(indices)) < 0.5)
        inputs, labels = (inputs.float() - self.mean) / self.std, self.labels[indices]
        with torch.no_grad():
            answers = self.teacher(inputs)
        scores = self.student(inputs)
        divergence = F.kl_div(
            F.log_softmax(scores / 4, 1), F.softmax(answers / 4, 1), reduction='batchmean'
        )
        loss = 0.1 * F.cross_entropy(scores, labels) + 0.9 * 16 * divergence
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def epoch(self) -> float:
        """Train one epoch; the CPU time of an iteration, in seconds."""
        begin = time.process_time()
        batches = torch.randperm(len(self.labels)).split(self.batch_size)
        for indices in batches:
            self.step(indices)
        return (time.process_time() - begin) / len(batches)
