"""Each transform of batches against the transform of MMPretrain, MMCV or torchvision itself."""

import collections

import mmcv
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import CenterCrop, RandomFlip
from mmpretrain.datasets.transforms import (
    RandomCrop,
    RandomErasing,
    RandomResizedCrop,
    ResizeEdge,
)
from PIL import Image
from torchvision.transforms import RandomRotation
from torchvision.transforms import functional as F

from edudistill_mm.datasets.resident.draws import uniform_draws
from edudistill_mm.datasets.resident.random_crop import BatchRandomCrop, _gather
from edudistill_mm.datasets.resident.random_erasing import BatchRandomErasing
from edudistill_mm.datasets.resident.random_flip import BatchRandomFlip
from edudistill_mm.datasets.resident.random_resized_crop import BatchRandomResizedCrop
from edudistill_mm.datasets.resident.random_rotation import BatchRandomRotation
from edudistill_mm.errors import ConfigurationError


def images(count, height, width):
    generator = torch.Generator().manual_seed(height * 100 + width)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def array(image):
    """As MMPretrain's transforms have an image: [H, W, C]."""
    return image.permute(1, 2, 0).contiguous().numpy()


class Given:
    """A transform of MMPretrain with a drawn parameter given."""

    def __init__(self, transform, **methods):
        self.transform = transform
        for name, value in methods.items():
            setattr(transform, name, lambda *_, value=value: value)

    def __call__(self, image):
        result = self.transform.transform(dict(img=array(image).copy()))['img']
        return torch.from_numpy(np.ascontiguousarray(result)).permute(2, 0, 1)


CROPS = [
    dict(crop_size=32, padding=4),
    dict(crop_size=(20, 12), padding=(1, 3)),
    dict(crop_size=24, padding=(1, 2, 3, 4), pad_val=(10, 20, 30)),
    dict(crop_size=24, padding=2, pad_val=(123.675, 116.5, 300)),
    dict(crop_size=24, padding=2, pad_val=127.5),
    dict(crop_size=10),
    dict(crop_size=32),
    dict(crop_size=(40, 36), pad_if_needed=True, pad_val=7),
    dict(crop_size=64, padding=2),
]


@pytest.mark.parametrize('cfg', CROPS, ids=str)
def test_every_crop_is_that_of_mmpretrain(cfg):
    transform, size = RandomCrop(**cfg), (32, 28)
    batch = BatchRandomCrop(transform, size)
    one = images(1, *size)
    outcomes = np.arange(batch.num_views)
    crops = batch.apply(one.expand(len(outcomes), -1, -1, -1).clone(), outcomes)
    assert crops.shape[2:] == batch.output_size
    height, width = batch.output_size
    for outcome, crop in zip(outcomes, crops):
        row, column = divmod(outcome, batch.places[1])
        original = Given(transform, rand_crop_params=(row, column, height, width))
        assert torch.equal(crop, original(one[0]))


@pytest.mark.parametrize('cfg', CROPS, ids=str)
def test_the_neutral_crop_is_at_the_centre_as_mmcvs(cfg):
    batch = BatchRandomCrop(RandomCrop(**cfg), (32, 28))
    one = images(1, 32, 28)
    # Room for crops that are larger than the image.
    fill = cfg.get('pad_val', 0) if cfg['crop_size'] != 24 else 0
    padded = mmcv.impad(array(one[0]), padding=(20, 20, 20, 20), pad_val=fill)
    height, width = batch.output_size
    expected = CenterCrop((width, height)).transform(dict(img=padded))['img']
    (crop,) = batch.apply(one.clone(), np.array([batch.neutral]))
    assert (array(crop) == expected).all()


def test_gathering_as_on_a_gpu_gives_the_same_crops():
    batch, given = BatchRandomCrop(RandomCrop(32, padding=4), (32, 32)), images(81, 32, 32)
    outcomes = np.arange(81)
    rows, columns = np.divmod(outcomes, 9)
    gathered = _gather(batch._pad(given), rows, columns, (32, 32))
    assert torch.equal(gathered, batch.apply(given, outcomes))


def test_the_places_of_crops_are_those_of_mmpretrain_and_equally_frequent():
    batch = BatchRandomCrop(RandomCrop(32, padding=4), (32, 32))
    draws = uniform_draws('0/0', np.arange(81 * 400), 1)
    counts = np.bincount(batch.choose(draws), minlength=81)
    assert len(counts) == batch.num_views == 81
    # 400 expected each; chi squared of 80 degrees of freedom, 99.9 % below 125.
    assert ((counts - 400) ** 2 / 400).sum() < 125


@pytest.mark.parametrize(
    'cfg, shares',
    [
        (dict(prob=0.5), [0.5, 0.5]),
        (dict(prob=0.3, direction='vertical'), [0.3, 0.7]),
        (dict(prob=0.6, direction=['horizontal', 'diagonal']), [0.3, 0.3, 0.4]),
        (dict(prob=[0.1, 0.2, 0.3], direction=['horizontal', 'vertical', 'diagonal']),
         [0.1, 0.2, 0.3, 0.4]),
        (dict(prob=1.0), [1.0, 0.0]),
        (dict(prob=0.0), [0.0, 1.0]),
    ],
    ids=str,
)  # fmt: skip
def test_flips_are_those_of_mmcv_and_as_frequent(cfg, shares):
    batch, given = BatchRandomFlip(RandomFlip(**cfg), (6, 8)), images(1, 6, 8)
    outcomes = batch.choose(uniform_draws('flip', np.arange(10000), 1))
    assert batch.num_views == len(shares)
    frequencies = np.bincount(outcomes, minlength=len(shares)) / 10000
    assert frequencies == pytest.approx(shares, abs=0.02)
    assert [f for f, share in zip(frequencies, shares) if share in (0, 1)] == [
        share for share in shares if share in (0, 1)
    ]
    for number, direction in enumerate([*batch.directions, None]):
        flipped = batch.apply(given.clone(), np.array([number]))[0]
        expected = array(given[0])
        if direction is not None:
            expected = mmcv.imflip(expected, direction=direction)
        assert np.array_equal(array(flipped), expected)


@settings(max_examples=60, deadline=None)
@given(angle=st.floats(-180, 180), height=st.integers(5, 40), width=st.integers(5, 40))
def test_rotations_are_those_of_pillow(angle, height, width):
    given = images(2, height, width)
    batch = BatchRandomRotation(RandomRotation(20), (height, width))
    rotated = batch.apply(given, np.array([angle, 0.0]))
    for image, one, degrees in zip(given, rotated, (angle, 0.0)):
        original = F.rotate(Image.fromarray(array(image)), degrees, fill=[0, 0, 0])
        assert np.array_equal(array(one), np.asarray(original))


def test_angles_are_uniform():
    angles = BatchRandomRotation(RandomRotation(20), (8, 8)).choose(
        uniform_draws('a', np.arange(40000), 1)
    )
    counts, _ = np.histogram(angles, 20, (-20, 20))
    assert counts.sum() == 40000 and ((counts - 2000) ** 2 / 2000).sum() < 44  # 99.9 %, 19 degrees


@pytest.mark.parametrize('cfg', [dict(), dict(fill_color=(1, 2, 3), aspect_range=0.5)], ids=str)
def test_erased_parts_are_those_of_mmpretrain(cfg):
    transform, given = RandomErasing(erase_prob=0.8, **cfg), images(200, 20, 30)
    batch = BatchRandomErasing(transform, (20, 30))
    outcomes = batch.choose(uniform_draws('e', np.arange(200), batch.num_draws))
    erased = batch.apply(given.clone(), outcomes)
    for image, one, (top, left, height, width, _) in zip(given, erased, outcomes):
        original = Given(
            transform, random_disable=height == 0, random_patch=(top, left, height, width)
        )
        assert torch.equal(one, original(image))


def test_erased_parts_have_the_distribution_of_mmpretrain():
    transform, count = RandomErasing(erase_prob=0.5), 20000
    batch = BatchRandomErasing(transform, (32, 32))
    ours = batch.choose(uniform_draws('d', np.arange(count), batch.num_draws))
    np.random.seed(0)
    theirs = np.array([transform.random_patch(32, 32) for _ in range(count)])
    erased = ours[:, 2] > 0
    assert erased.mean() == pytest.approx(0.5, abs=0.015)
    for column in range(4):
        mine, other = ours[erased, column], theirs[:, column]
        assert mine.mean() == pytest.approx(other.mean(), abs=0.3)
        assert mine.std() == pytest.approx(other.std(), abs=0.3)
        marks = [0, 0.02, 0.98, 0.999]
        assert np.abs(np.quantile(mine, marks) - np.quantile(other, marks)).max() <= 1


@pytest.mark.parametrize('std', [None, 20])
def test_pixels_of_erased_parts_have_the_distribution_of_mmpretrain(std):
    transform = RandomErasing(
        erase_prob=1.0, mode='rand', fill_std=std, min_area_ratio=1.0, max_area_ratio=1.0,
        aspect_range=(1.0, 1.0),
    )  # fmt: skip
    batch, given = BatchRandomErasing(transform, (32, 32)), images(32, 32, 32)
    outcomes = batch.choose(uniform_draws('p', np.arange(32), batch.num_draws))
    ours = batch.apply(given.clone(), outcomes).double()
    np.random.seed(0)
    theirs = torch.stack([Given(transform, random_disable=False)(image) for image in given])
    assert float(ours.mean()) == pytest.approx(float(theirs.double().mean()), abs=0.6)
    assert float(ours.std()) == pytest.approx(float(theirs.double().std()), abs=0.6)
    assert len({tuple(image.flatten()[:8].tolist()) for image in ours}) == 32
    assert torch.equal(ours, batch.apply(given.clone(), outcomes).double())


@pytest.mark.parametrize('scale, size', [(16, (32, 32)), ((20, 24), (17, 40)), (32, (16, 12))])
def test_resized_crops_are_those_of_opencv_within_one_level(scale, size):
    transform, given = RandomResizedCrop(scale), images(60, *size)
    batch = BatchRandomResizedCrop(transform, size)
    outcomes = batch.choose(uniform_draws('r', np.arange(60), batch.num_draws))
    resized = batch.apply(given, outcomes)
    assert resized.shape[2:] == batch.output_size
    for image, one, outcome in zip(given, resized, outcomes):
        original = Given(transform, rand_crop_params=tuple(outcome.tolist()))(image)
        assert (original.int() - one.int()).abs().max() <= 1


@pytest.mark.parametrize('size', [(32, 32), (32, 48), (48, 32)])
def test_the_neutral_resized_crop_is_what_a_validation_at_its_size_shows(size):
    batch, one = BatchRandomResizedCrop(RandomResizedCrop(16), size), images(1, *size)
    (crop,) = batch.apply(one, np.array([batch.neutral]))
    resized = ResizeEdge(16).transform(dict(img=array(one[0])))
    expected = CenterCrop(16).transform(resized)['img']
    assert np.abs(array(crop).astype(int) - expected).max() <= 1


@pytest.mark.parametrize('size', [(32, 32), (10, 40), (40, 10)])
def test_resized_crops_have_the_distribution_of_mmpretrain(size):
    transform, count = RandomResizedCrop(16), 20000
    batch = BatchRandomResizedCrop(transform, size)
    ours = batch.choose(uniform_draws('d', np.arange(count), batch.num_draws))
    np.random.seed(0)
    image = np.zeros((*size, 3), np.uint8)
    theirs = np.array([transform.rand_crop_params(image) for _ in range(count)])
    for mine, other in zip(ours.T, theirs.T):
        assert mine.mean() == pytest.approx(other.mean(), abs=0.25)
        assert mine.std() == pytest.approx(other.std(), abs=0.25)
    # Central crops, which are left where no attempt fits.
    common = collections.Counter(map(tuple, theirs)).most_common(1)[0]
    mine = collections.Counter(map(tuple, ours))[common[0]]
    assert mine == pytest.approx(common[1], abs=4 * common[1] ** 0.5 + 4)


@pytest.mark.parametrize(
    'make, word',
    [
        (lambda: BatchRandomCrop(RandomCrop(40, pad_if_needed=True, padding_mode='edge'), (8, 8)),
         'padding_mode="edge"'),
        (lambda: BatchRandomResizedCrop(RandomResizedCrop(8, interpolation='bicubic'), (8, 8)),
         'interpolation="bicubic"'),
        (lambda: BatchRandomRotation(RandomRotation(5, expand=True), (8, 8)), 'expand'),
    ],
)  # fmt: skip
def test_what_would_be_another_image_is_refused(make, word):
    with pytest.raises(ConfigurationError, match=word):
        make()


def test_draws_depend_on_stream_index_and_place_only():
    draws = uniform_draws('7/3', np.array([5, 2, 5]), 3)
    assert (draws[0] == draws[2]).all() and (draws[0] != draws[1]).all()
    assert (uniform_draws('7/3', np.array([2]), 2)[0] == draws[1, :2]).all()
    assert (uniform_draws('7/4', np.array([5]), 3)[0] != draws[0]).all()
    assert ((draws >= 0) & (draws < 1)).all()


def test_draws_are_uniform_and_neighbours_are_independent():
    draws = uniform_draws('s', np.arange(100_000), 2)
    for numbers in draws.T:
        counts, _ = np.histogram(numbers, 100, (0, 1))
        assert ((counts - 1000) ** 2 / 1000).sum() < 149  # chi squared, 99.9 %, 99 degrees
    correlations = [
        np.corrcoef(draws[:, 0], draws[:, 1])[0, 1],
        np.corrcoef(draws[1:, 0], draws[:-1, 0])[0, 1],
        np.corrcoef(draws[:, 0], uniform_draws('t', np.arange(100_000), 1)[:, 0])[0, 1],
    ]
    assert max(map(abs, correlations)) < 0.0125  # four standard deviations
