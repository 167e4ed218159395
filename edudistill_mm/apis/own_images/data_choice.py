"""Sizes and data loaders for one's own images."""

from dataclasses import dataclass

from .image_survey import ImageSurvey

# Images up to this size lie on the training device, if all have one size.
LARGEST_RESIDENT = 64
LARGEST_IMAGE = 224
# Batches of an epoch that a smaller batch is taken for.
FEWEST_BATCHES = 20
# The batch size of the rates in configs/_base_/schedules/sgd.py.
LARGEST_BATCH = 64


@dataclass(frozen=True)
class DataChoice:
    """How images are loaded.

    Args:
        survey (ImageSurvey): The images.
        image_size (int): Height and width in pixels.
        batch_size (int): Images a batch.
        val_share (float): The share of each class that is held out where there are no validation
            images.
        seed (int): Chooses which.
    """

    survey: ImageSurvey
    image_size: int
    batch_size: int
    val_share: float
    seed: int

    @property
    def resident(self) -> bool:
        """bool: Whether all images have one small size, and so may lie on the training device."""
        return max(self.survey.one_size or (LARGEST_RESIDENT + 1,)) <= LARGEST_RESIDENT

    @property
    def _last_batch_has_one_image(self) -> bool:
        images = self.survey.count_training(self.val_share)
        return images > self.batch_size and images % self.batch_size == 1

    def name(self, folder: str) -> str:
        """A name for the data set, by which a teacher for the same images is found again."""
        split = '' if self.survey.val else f'_without_{self.val_share}_{self.seed}'
        return f'{folder}_{self.image_size}px{split}'

    def loaders(self) -> dict[str, dict]:
        """The data loaders of training, validation and test, over those of the base."""
        survey = self.survey
        held_out = survey.train if survey.val is None else survey.val
        parts = dict(
            train=(survey.train, 'train', self._training_pipeline(), self.batch_size),
            val=(held_out, 'held_out', self._test_pipeline(), 2 * self.batch_size),
        )
        if survey.test is not None:
            parts['test'] = (survey.test, 'held_out', self._test_pipeline(), 2 * self.batch_size)
        loaders = {}
        for split, (prefix, part, pipeline, batch_size) in parts.items():
            loader: dict = dict(batch_size=batch_size)
            if split == 'train' and self._last_batch_has_one_image:
                # BatchNorm cannot learn from one image whose features are a single pixel.
                loader['drop_last'] = True
            if self.resident:
                loader['resident'] = True
            loader['dataset'] = self._dataset(prefix, part, pipeline)
            loaders[split] = loader
        return loaders

    def _dataset(self, prefix: str, part: str, pipeline: list[dict]) -> dict:
        dataset: dict = dict(type='ImageFolder', data_root=self.survey.root)
        if prefix:
            dataset['data_prefix'] = prefix
        if prefix != self.survey.train:
            dataset['numbered_by'] = self.survey.train
        damaged = [
            path for path in self.survey.damaged if path.startswith(f'{prefix}/' * bool(prefix))
        ]
        if damaged:
            dataset['leave_out'] = damaged
        dataset['pipeline'] = pipeline
        if self.survey.val is not None:
            return dataset
        split = dict(share=self.val_share, seed=self.seed)
        return dict(type='HoldOut', part=part, **split, dataset=dataset)

    def _training_pipeline(self) -> list[dict]:
        size = self.image_size
        if self.resident:
            crop: list[dict] = [
                dict(type='Resize', scale=(size, size)),
                dict(type='RandomCrop', crop_size=size, padding=size // 8),
            ]
        else:
            crop = [dict(type='RandomResizedCrop', scale=size)]
        flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
        return [dict(type='LoadImageFromFile'), *crop, flip, dict(type='PackInputs')]

    def _test_pipeline(self) -> list[dict]:
        size = self.image_size
        if self.resident:
            resize: list[dict] = [dict(type='Resize', scale=(size, size))]
        else:
            resize = [
                dict(type='ResizeEdge', scale=round(size * 256 / 224), edge='short'),
                dict(type='CenterCrop', crop_size=size),
            ]
        return [dict(type='LoadImageFromFile'), *resize, dict(type='PackInputs')]


def choose_image_size(survey: ImageSurvey) -> int:
    """The multiple of 32 pixels nearest to the usual short side, from 32 to 224."""
    return min(max(32, 32 * round(survey.short_side / 32)), LARGEST_IMAGE)


def choose_batch_size(images: int) -> int:
    """64, or less where an epoch would have fewer than 20 batches, but at least 8."""
    sizes = (LARGEST_BATCH, 32, 16)
    return next((size for size in sizes if images >= FEWEST_BATCHES * size), 8)
