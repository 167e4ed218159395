import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.device import get_device
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset, get_worker_info

from edudistill_mm.errors import ConfigurationError
from edudistill_mm.registry import DATASETS, register
from edudistill_mm.validation.values import check_bool, check_positive

from ..subset import Subset
from .read_images import read_images
from .split_pipeline import split_pipeline
from .views import MOST_VIEWS, Views


@register(DATASETS)
class ResidentDataset(Dataset):
    """A data set whose images lie on the training device, and which answers whole batches.

    What stands in the pipeline before the first random transform is done once an image; the rest
    runs on batches on the device. It has the same distribution as the pipeline, and for the same
    crop or flip the image is the same, bit for bit. With :class:`GradeSampler` what is drawn for a
    sample depends on the seed, the epoch and the sample only, and the ``augmentation`` of grades is
    followed.

    It needs a data loader without workers, and ``collate_fn=dict(type='whole_batch')``; the key
    ``resident`` of a data loader sets all that.

    Args:
        dataset (BaseDataset | Subset | dict): The data set, or its config.
        training (bool): Whether a batch has one ``DataSample`` with the labels of all samples,
            ``gt_label`` [B], their numbers in the data set, ``sample_idx`` [B], and, if they can
            be counted, the numbers of their views, ``view`` [B]. MMPretrain's heads compute the
            same losses of it as of B samples. Defaults to False: a ``DataSample`` each.
        views_per_image (int, optional): The number of views of each image in the whole run.
            Defaults to None: all that the random transforms have.
        device (str, optional): Where the images lie. Defaults to None: on MMEngine's device.

    Attributes:
        images (torch.Tensor): The images before the first random transform, [N, C, H, W], uint8.
        num_views (int | None): The number of views of an image; None if it cannot be counted.

    Raises:
        ConfigurationError: For a data set, a transform or images that cannot be resident, and if
            the device lacks memory for them.
    """

    def __init__(
        self,
        dataset: BaseDataset | Subset | dict,
        training: bool = False,
        views_per_image: int | None = None,
        device: str | None = None,
    ) -> None:
        check_bool(training, 'training of ResidentDataset')
        if views_per_image is not None:
            views_per_image = check_positive(
                views_per_image, 'resident.views_per_image', MOST_VIEWS
            )
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if not isinstance(self.dataset, (BaseDataset, Subset)):
            raise ConfigurationError(
                f'a data set of type {type(self.dataset).__name__} cannot be resident; possible are '
                'those with a pipeline of their own, and ClassSubset or HoldOut around one'
            )
        self.training, self.views_per_image = training, views_per_image
        self.device = torch.device(device or get_device())
        self._pipeline: Any = None
        self._fixed = ''

    def full_init(self) -> None:
        """Read annotations and images, once."""
        self.dataset.full_init()
        self._follow_pipeline()

    def _follow_pipeline(self) -> None:
        """Read the images, at first and when hooks have replaced the pipeline."""
        if self.dataset.pipeline is self._pipeline:
            return
        pipeline: Any = self.dataset.pipeline
        transforms = pipeline.transforms
        fixed, makers, pack = split_pipeline(transforms)
        if self._pipeline is None or repr(fixed) != self._fixed:
            self.images, self._samples = read_images(
                self.dataset, fixed, None if self.training else pack, self.device
            )
            self._fixed = repr(fixed)
            self.__dict__.pop('fingerprint', None)
            if self.training:
                self._labels = torch.tensor(self._samples, device=self.device)
        size: tuple[int, int] = (self.images.shape[2], self.images.shape[3])
        self._random = repr(transforms[len(fixed) :])
        self.views = Views.of_images(makers, size, self.views_per_image)
        self._pipeline = pipeline

    @property
    def num_views(self) -> int | None:
        """The number of views of an image; None if it cannot be counted."""
        self._follow_pipeline()
        return self.views.count

    @cached_property
    def fingerprint(self) -> str:
        """str: sha256 of the images, the labels and what makes their views, in hexadecimal."""
        self._follow_pipeline()
        digest = hashlib.sha256(self.images.cpu().numpy().data)
        digest.update(np.asarray(self.get_gt_labels(), np.int64).tobytes())
        digest.update(f'{self._random} {self.views_per_image}'.encode())
        return digest.hexdigest()

    @property
    def metainfo(self) -> dict:
        """dict: The wrapped data set's."""
        return self.dataset.metainfo

    @property
    def test_mode(self) -> bool:
        """bool: The wrapped data set's."""
        return self.dataset.test_mode

    def get_data_info(self, idx: int) -> dict:
        """The annotation of a sample."""
        return self.dataset.get_data_info(idx)

    def get_gt_labels(self) -> np.ndarray:
        """The labels of all samples, [N]."""
        if self.training:
            return self._labels.cpu().numpy()
        return np.array([int(sample.gt_label) for sample in self._samples])

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label of a sample, in a list as samplers of MM projects expect it."""
        return [int(self.get_gt_labels()[idx])]

    def render(self, indices: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
        """Views [B] of images with the numbers [B] in the data set, [B, C, H, W], uint8."""
        self._follow_pipeline()
        images = self.images[indices.to(self.device)]
        return self.views.render(images, indices.cpu().numpy(), views.cpu().numpy())

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        """A sample as the wrapped data set gives it."""
        return self.dataset[index]

    def __getitems__(self, indices: Sequence[int]) -> dict:
        """A batch: ``inputs`` [B, C, H, W], uint8, and ``data_samples``."""
        if get_worker_info() is not None:
            raise ConfigurationError(
                'resident data need num_workers=0 of their data loader, and persistent_workers=False'
            )
        self._follow_pipeline()
        numbers = np.array(indices, np.int64)
        places = torch.from_numpy(numbers).to(self.device, non_blocking=True)
        images, views = self._draw(self.images.index_select(0, places), numbers, indices)
        if not self.training:
            return dict(inputs=images, data_samples=[self._samples[i].new() for i in numbers])
        sample = DataSample().set_gt_label(self._labels[places])
        sample.set_field(places, 'sample_idx')
        if views is not None:
            view = torch.from_numpy(views).to(self.device, non_blocking=True)
            sample.set_field(view, 'view')
        return dict(inputs=images, data_samples=[sample])

    def _draw(
        self, images: torch.Tensor, numbers: np.ndarray, indices: Sequence[int]
    ) -> tuple[torch.Tensor, np.ndarray | None]:
        """Transform the images of a batch, which may lie over the border of two passes."""
        streams = [getattr(index, 'stream', None) for index in indices]
        begins = [i for i, stream in enumerate(streams) if i == 0 or stream != streams[i - 1]]
        parts = [
            self.views.draw(
                images[begin:end],
                numbers[begin:end],
                self._stream(streams[begin]),
                getattr(indices[begin], 'strength', 1.0),
            )
            for begin, end in zip(begins, [*begins[1:], len(streams)])
        ]
        if len(parts) == 1:
            return parts[0]
        views = [part for _, part in parts if part is not None]
        return torch.cat([part for part, _ in parts]), np.concatenate(views) if views else None

    def _stream(self, stream: str | None) -> str:
        if stream is None and self.views.random:
            # Other samplers: as in a pipeline, numpy's generator decides.
            return str(np.random.randint(2**62))
        return stream or ''
