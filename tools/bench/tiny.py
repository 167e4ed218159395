"""Networks of almost no work and images of noise: what remains of an iteration is everything else."""

from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModule
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS, MODELS
from torch import nn

CLASSES, SIZE = 100, 32
MEAN, STD = (129.304, 124.070, 112.434), (68.170, 65.392, 70.418)
CHANNELS = 8


@DATASETS.register_module()
class NoiseImages(BaseDataset):
    """Images in the shape of CIFAR-100's, [32, 32, 3], and labels, both at random."""

    def __init__(self, count: int, **kwargs: Any) -> None:
        self.count = count
        classes = [str(label) for label in range(CLASSES)]
        super().__init__(ann_file='', metainfo=dict(classes=classes), **kwargs)

    def load_data_list(self) -> list[dict]:
        """The images as MMPretrain's data sets of CIFAR have them."""
        images, labels = noise(self.count)
        return [dict(img=img, gt_label=int(label)) for img, label in zip(images, labels)]


def noise(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 [count, 32, 32, 3], and labels [count]; the same each time."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    return images, random.integers(0, CLASSES, count)


@MODELS.register_module()
class TinyBackbone(BaseModule):
    """One convolution, whose windows do not overlap."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = nn.Conv2d(3, CHANNELS, 8, stride=8)

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor]:
        """Features [B, 8, H / 8, W / 8]."""
        return (self.stage(inputs),)


def tiny_network() -> dict:
    """Config of a classifier around :class:`TinyBackbone`."""
    return dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(type='mmpretrain.TinyBackbone'),
        neck=dict(type='mmpretrain.GlobalAveragePooling'),
        head=dict(
            type='mmpretrain.LinearClsHead',
            num_classes=CLASSES,
            in_channels=CHANNELS,
            loss=dict(type='mmpretrain.CrossEntropyLoss'),
        ),
    )
