from collections.abc import Sequence

import numpy as np
from torch import Tensor

from .batch_transform import BatchTransform
from .draws import uniform_draws
from .split_pipeline import Maker

# Of one image: image and view together are a number of 64 bits.
MOST_VIEWS = 2**31 - 1


class Views:
    """The random part of a pipeline on batches, and the numbers of its outcomes.

    A view is one outcome of all transforms together. All transforms have as many as the product of
    their outcomes, if these can be counted; with ``per_image`` each image has that many, which
    differ from image to image and stay the same for ever.

    Args:
        transforms (Sequence[BatchTransform]): The transforms, in order.
        per_image (int, optional): Number of views of an image. Defaults to None: all.

    Attributes:
        count (int | None): The number of views of an image; None if they cannot be counted.
    """

    def __init__(self, transforms: list[BatchTransform], per_image: int | None = None) -> None:
        self.transforms, self.per_image = transforms, per_image
        self._num_draws = sum(transform.num_draws for transform in transforms)
        #: bool: Whether anything is drawn.
        self.random = self._num_draws > 0
        self.count = per_image
        if per_image is None and all(each.num_views for each in transforms):
            self.count = int(np.prod([each.num_views for each in transforms], dtype=np.int64))

    @classmethod
    def of_images(
        cls, makers: Sequence[Maker], size: tuple[int, int], per_image: int | None = None
    ) -> 'Views':
        """Those of images of a height and width, by the makers of :func:`split_pipeline`."""
        transforms: list[BatchTransform] = []
        for make in makers:
            transforms.append(make(size))
            size = transforms[-1].output_size
        return cls(transforms, per_image)

    def draw(
        self, images: Tensor, indices: np.ndarray, stream: str, strength: float = 1.0
    ) -> tuple[Tensor, np.ndarray | None]:
        """Transform images [B, C, H, W] at random; their views are [B], or None.

        The outcome depends on the stream and the index in the data set. With the probability
        ``strength`` an image has that of strength 1, otherwise all transforms have their neutral
        outcomes. The images may be overwritten.
        """
        if self.per_image is not None:
            assert strength == 1, 'none of the random views of an image is neutral'
            draws = uniform_draws(stream, indices, 1)
            views = (draws[:, 0] * self.per_image).astype(np.int64)
            return self.render(images, indices, views), views
        draws = uniform_draws(stream, indices, self._num_draws + 1)
        outcomes = self._choose(draws[:, :-1])
        for transform, outcome in zip(self.transforms, outcomes):
            outcome[draws[:, -1] >= strength] = transform.neutral
        transformed = self._apply(images, outcomes)
        if self.count is None:
            return transformed, None
        views = np.zeros(len(indices), np.int64)
        for transform, outcome in zip(self.transforms, outcomes):
            views = views * transform.num_views + outcome
        return transformed, views

    def render(self, images: Tensor, indices: np.ndarray, views: np.ndarray) -> Tensor:
        """The views [B] of images [B, C, H, W], which may be overwritten."""
        if self.per_image is not None:
            numbers = indices * self.per_image + views
            outcomes = self._choose(uniform_draws('views', numbers, self._num_draws))
        else:
            outcomes = []
            for transform in reversed(self.transforms):
                views, outcome = np.divmod(views, transform.num_views)
                outcomes.insert(0, outcome)
        return self._apply(images, outcomes)

    def _choose(self, draws: np.ndarray) -> list[np.ndarray]:
        ends = np.cumsum([transform.num_draws for transform in self.transforms])
        parts = np.split(draws, ends[:-1], axis=1) if self.transforms else []
        return [transform.choose(part) for transform, part in zip(self.transforms, parts)]

    def _apply(self, images: Tensor, outcomes: list[np.ndarray]) -> Tensor:
        for transform, outcome in zip(self.transforms, outcomes):
            images = transform.apply(images, outcome)
        return images
