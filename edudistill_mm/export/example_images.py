"""Images of a run, on which an exported network is checked."""

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from edudistill_mm.config.data import build_dataset, dataset_class
from edudistill_mm.config.parts import innermost
from edudistill_mm.datasets.channel_order import channel_order
from edudistill_mm.datasets.reading_errors import clear_annotation_errors, name_samples
from edudistill_mm.errors import ConfigurationError, reason_of
from edudistill_mm.validation.build_errors import errors_name_keys

COUNT = 8
LOADERS = ('val_dataloader', 'test_dataloader', 'train_dataloader')


@dataclass(frozen=True)
class ExampleImages:
    """Images as a run's data set gives them to the data preprocessor.

    Attributes:
        images (Tensor): uint8 [N, C, H, W].
        order (str): Order of the channels: 'rgb', 'bgr', or 'gray' for a single one.
        classes (Sequence[str] | None): Names of the data set's classes.
        source (str): The key of the data loader.
    """

    images: Tensor
    order: str
    classes: Sequence[str] | None
    source: str

    @classmethod
    def of_run(cls, cfg: Config) -> 'ExampleImages':
        """Read images of the first data set that is there: of validation, test or training.

        Nothing is downloaded.

        Raises:
            ConfigurationError: If no data set can be read, or its images are not pixels of one
                size and a known order of the channels.
        """
        problem = 'the config has no data loader'
        for loader in LOADERS:
            if cfg.get(loader) is None:
                continue
            try:
                dataset = _read(cfg[loader])
            except Exception as error:  # data sets fail in all ways
                problem = f'{loader}.dataset: {reason_of(error)}'
                continue
            images = _some(dataset, loader)
            order = 'gray' if images.shape[1] == 1 else channel_order(dataset)
            if order is None and (images == images[:, :1]).all():
                order = 'rgb'  # gray images, whose channels are equal
            if order is None:
                raise ConfigurationError(
                    f'{loader}.dataset of type {type(dataset).__name__} does not say in which order '
                    'it gives the channels; say it by '
                    f'{loader}.dataset.metainfo=dict(channel_order="rgb"), or "bgr"'
                )
            names = getattr(dataset, 'metainfo', {}).get('classes')
            return cls(images, order, names, loader)
        raise ConfigurationError(
            'size and order of the input are those of the images of the run, of which none can be '
            f'read ({problem}); name their folder by --cfg-options data_root=FOLDER'
        )

    @property
    def rgb(self) -> Tensor:
        """Tensor: The images as an exported network takes them: float32, in RGB or gray."""
        images = self.images.flip(1) if self.order == 'bgr' else self.images
        return images.float()


def _read(loader: Any) -> Any:
    loader = copy.deepcopy(loader)
    inner = innermost(loader)
    if 'download' in inspect.signature(dataset_class(inner)).parameters:
        inner['download'] = False
    with errors_name_keys(loader.dataset, 'dataset'), clear_annotation_errors(loader):
        dataset = build_dataset(loader.dataset)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
    if not len(dataset):
        raise ConfigurationError('it holds no image')
    name_samples(dataset)
    return dataset


def _some(dataset: Any, loader: str) -> Tensor:
    step = max(len(dataset) // COUNT, 1)
    # Batches of several sizes are checked, so that a small data set gives its images repeatedly.
    found = [dataset[index * step % len(dataset)].get('inputs') for index in range(COUNT)]
    pixels = all(isinstance(x, Tensor) and x.ndim == 3 and x.dtype == torch.uint8 for x in found)
    if not pixels or len(found[0]) not in (1, 3):
        raise ConfigurationError(
            f'{loader}.dataset must give images of pixels (uint8, of 1 or 3 channels), as the '
            f'exported network takes these, but gives {_kind(found[0])}; leave the normalisation to '
            'data_preprocessor'
        )
    shapes = sorted({tuple(image.shape) for image in found})
    if len(shapes) > 1:
        raise ConfigurationError(
            f'{loader}.dataset gives images of several sizes, such as {shapes[0]} and {shapes[-1]}, '
            'but an exported network has one; add a CenterCrop or Resize to its pipeline'
        )
    return torch.stack(found)


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f'{str(value.dtype).removeprefix("torch.")} of shape {tuple(value.shape)}'
    return type(value).__name__
