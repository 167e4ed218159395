import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.dist import is_main_process
from mmengine.utils import ProgressBar
from mmpretrain.datasets.transforms import PackInputs

from edudistill_mm.datasets.naming_pipeline import NamingPipeline
from edudistill_mm.errors import ConfigurationError, DataError

from .room import check_room

# Images are decoded outside Python's lock.
THREADS = 8


def read_images(
    dataset: Any,
    transforms: Sequence[Any],
    pack: PackInputs | None,
    device: torch.device,
) -> tuple[torch.Tensor, list[Any]]:
    """Read all images of a data set once.

    Args:
        dataset (Any): A data set of MMEngine, or one that answers ``get_data_info``.
        transforms (Sequence): Transforms that give the same image each time.
        pack (PackInputs, optional): Makes samples of what they return; None: labels are enough.
        device (torch.device): Where the images shall lie.

    Returns:
        tuple[torch.Tensor, list]: Images [N, C, H, W], uint8, and their samples, or their labels.

    Raises:
        ConfigurationError: If the images have several sizes, are no uint8, or do not fit, or one
            has another label than a class.
        DataError: If a sample cannot be read.
    """
    count, name = len(dataset), type(dataset).__name__
    prepare = NamingPipeline(Compose(list(transforms)), name)

    def read(index: int) -> tuple[torch.Tensor, Any]:
        result = dataset.get_data_info(index)
        if transforms:
            result = prepare(result)
        if result is None:
            raise DataError(
                f'the pipeline of {name} gave up sample {index}, which resident data cannot replace by '
                f'another'
            )
        if pack is None:
            return PackInputs.format_input(result['img']), _label(result, index, name)
        packed = pack(result)
        return packed['inputs'], packed['data_samples']

    first, _ = read(0)
    if first.dtype != torch.uint8:
        raise ConfigurationError(
            f'resident data are images of uint8, but the pipeline of {name} gives '
            f'{str(first.dtype).removeprefix("torch.")}'
        )
    check_room((count, *first.shape), device)
    images = torch.empty((count, *first.shape), dtype=torch.uint8)
    samples = []
    for index, (image, sample) in enumerate(_in_order(read, count, threads=bool(transforms))):
        if image.shape != first.shape or image.dtype != first.dtype:
            raise ConfigurationError(
                f'resident data need images of one size, but those of {name} have {_size(first)} and '
                f'{_size(image)} (sample {index}) before the first random transform; put a Resize before it'
            )
        images[index] = image
        samples.append(sample)
    return images.to(device), samples


def _label(result: dict, index: int, name: str) -> int:
    label: Any = result.get('gt_label')
    a_class = np.ndim(label) == 0 and np.asarray(label).dtype.kind in 'iu'
    if not a_class or 'gt_score' in result or 'mask' in result:
        given = [key for key in ('gt_label', 'gt_score', 'mask') if key in result]
        raise ConfigurationError(
            f'resident data for training have one class an image as its gt_label, but sample {index} of '
            f'{name} has {", ".join(f"{key}={result[key]!r}" for key in given) or "none"}'
        )
    return int(label)


def _in_order(read: Callable[[int], Any], count: int, threads: bool) -> Any:
    if not threads:
        yield from map(read, range(count))
        return
    show = is_main_process() and sys.stdout.isatty()
    bar = ProgressBar(count) if show else None
    with ThreadPoolExecutor(THREADS) as pool:
        for begin in range(0, count, 1024):
            block = range(begin, min(begin + 1024, count))
            yield from pool.map(read, block)
            if bar is not None:
                bar.update(len(block))
    if bar is not None:
        bar.file.write('\n')


def _size(image: torch.Tensor) -> str:
    channels, height, width = image.shape
    return f'{height}x{width} pixels of {channels} channels'
