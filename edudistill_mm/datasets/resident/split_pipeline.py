from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mmcv.transforms import CenterCrop, LoadImageFromFile, Pad, RandomFlip, Resize
from mmpretrain.datasets.transforms import (
    EfficientNetCenterCrop,
    NumpyToPIL,
    PackInputs,
    PILToNumpy,
    RandomCrop,
    RandomErasing,
    RandomResizedCrop,
    ResizeEdge,
)
from torchvision import transforms as torchvision

from edudistill_mm.errors import ConfigurationError

from .batch_transform import BatchTransform
from .random_crop import BatchRandomCrop
from .random_erasing import BatchRandomErasing
from .random_flip import BatchRandomFlip
from .random_resized_crop import BatchRandomResizedCrop
from .random_rotation import BatchRandomRotation
from .swap_channels import BatchSwapChannels

# Makes a transform of batches for images of a given height and width.
Maker = Callable[[tuple[int, int]], BatchTransform]

# What gives the same image each time. Subclasses may not.
FIXED = (
    LoadImageFromFile,
    Resize,
    ResizeEdge,
    CenterCrop,
    EfficientNetCenterCrop,
    Pad,
    NumpyToPIL,
    PILToNumpy,
    torchvision.Resize,
    torchvision.CenterCrop,
    torchvision.Pad,
    torchvision.Grayscale,
)
RANDOM: dict[type, type] = {
    RandomCrop: BatchRandomCrop,
    RandomFlip: BatchRandomFlip,
    RandomErasing: BatchRandomErasing,
    RandomResizedCrop: BatchRandomResizedCrop,
    torchvision.RandomRotation: BatchRandomRotation,
}


def split_pipeline(transforms: Sequence[Any]) -> tuple[list[Any], list[Maker], PackInputs]:
    """Split a pipeline into what resident data do once an image, and what they do each time.

    Args:
        transforms (Sequence): The transforms of MMPretrain, MMCV or torchvision, the last of them
            ``PackInputs``.

    Returns:
        tuple: The transforms before the first random one, makers of those from there on, and the
        last one.

    Raises:
        ConfigurationError: For a transform that resident data do not have.
    """
    *inner, pack = transforms or [None]
    if type(pack) is not PackInputs or pack.input_key != 'img' or pack.algorithm_keys:
        raise ConfigurationError(
            'resident data need a pipeline that ends in PackInputs without input_key and '
            f'algorithm_keys, but its last transform is {pack!r}'
        )
    known = [getattr(transform, 't', transform) for transform in inner]
    first = next((i for i, each in enumerate(known) if type(each) in RANDOM), len(known))
    for transform in known[:first]:
        if type(transform) not in FIXED:
            raise _unknown(transform)
    makers: list[Maker] = []
    for transform in known[first:]:
        kind = type(transform)
        if kind in RANDOM:
            makers.append(partial(RANDOM[kind], transform))
        elif kind in (NumpyToPIL, PILToNumpy):
            if getattr(transform, 'to_rgb', False) or getattr(transform, 'to_bgr', False):
                makers.append(BatchSwapChannels)
        else:
            raise _unknown(transform)
    return inner[:first], makers, pack


def _unknown(transform: Any) -> ConfigurationError:
    return ConfigurationError(
        f'resident data do not have the transform {type(transform).__name__} of the pipeline; '
        f'possible are {", ".join(sorted(kind.__name__ for kind in FIXED))}, and after them '
        f'{", ".join(sorted(kind.__name__ for kind in RANDOM))}'
    )
