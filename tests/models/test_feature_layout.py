import pytest
import torch

from edudistill_mm.models.students.feature_layout import FeatureLayout, feature_of


@pytest.mark.parametrize(
    'shape, image, channels, positions',
    [
        ((2, 64, 8, 8), (32, 32), 64, 64),
        ((2, 8, 8, 64), (32, 32), 64, 64),
        ((2, 64, 7, 5), (224, 160), 64, 35),
        ((2, 7, 5, 64), (224, 160), 64, 35),
        ((2, 512, 1, 1), (32, 32), 512, 1),
        ((2, 1, 1, 512), (32, 32), 512, 1),
        ((2, 4, 4, 4), (32, 32), 4, 16),
    ],
)
def test_the_sides_of_a_map_have_the_ratio_of_the_image(shape, image, channels, positions):
    layout = FeatureLayout.of(shape, image)
    assert not layout.tokens
    assert (layout.channels, layout.positions) == (channels, positions)


@pytest.mark.parametrize(
    'count, image, prefix',
    [
        (196, (224, 224), 0),
        (197, (224, 224), 1),
        (198, (224, 224), 2),
        (201, (224, 224), 5),
        (35, (224, 160), 0),
        (36, (224, 160), 1),
        (1, (32, 32), 0),
        (2, (32, 32), 1),
    ],
)
def test_leading_tokens_that_are_no_patches_are_found_and_left_out(count, image, prefix):
    layout = FeatureLayout.of((2, count, 12), image)
    assert layout.tokens
    assert (layout.prefix, layout.positions, layout.channels) == (prefix, count - prefix, 12)
    tokens = torch.randn(3, count, 12)
    assert torch.equal(layout.read(tokens), tokens[:, prefix:])


def test_features_are_read_as_maps_with_channels_first_or_as_plain_tokens():
    feature = torch.randn(2, 8, 8, 64)
    layout = FeatureLayout.of(feature.shape, (32, 32))
    assert torch.equal(layout.read(feature), feature.permute(0, 3, 1, 2))
    pixels = torch.randn(2, 49, 4, 4, 6)
    layout = FeatureLayout.of(pixels.shape, (224, 224))
    assert torch.equal(layout.read(pixels), pixels.reshape(2, 49 * 16, 6))


def test_the_features_are_the_first_tensor_that_has_one_entry_an_image():
    tokens, pixels = torch.zeros(2, 5, 3), torch.zeros(10, 4, 3)
    assert feature_of((tokens, (2, 2)), 2) is tokens
    assert feature_of([pixels, tokens], 2) is tokens
    for nothing in (
        None,
        torch.zeros(2, 3),
        torch.zeros(2, 3, 1),
        (pixels, (2, 2)),
        dict(x=tokens),
    ):
        assert feature_of(nothing, 2) is None
