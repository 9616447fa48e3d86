"""What masked patch prediction hides and what it asks for: exact values."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from vitbench_recipes.masking import (
    colour_codes,
    colours_of,
    corruption,
    denormalised,
    image_of,
    masked_count,
    normalised_pixels,
    patches_of,
    pixels_of,
)

from vitbench import Preprocess
from vitbench.errors import UsageError
from vitbench.training import Draws, preprocess

CIFAR10 = Preprocess(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))


def plain(*colour: int) -> Tensor:
    """One patch of a colour, uint8[1, C, 7, 7]."""
    return torch.tensor(colour, dtype=torch.uint8)[None, :, None, None].expand(-1, -1, 7, 7)


@pytest.mark.parametrize(
    ("colour", "code"),
    [
        ((0, 0, 0), 0),
        ((255, 255, 255), 511),
        ((128, 0, 0), 256),
        ((0, 128, 0), 32),
        ((0, 0, 128), 4),
        ((31, 32, 255), 15),
        ((31,), 0),
        ((32,), 1),
        ((255,), 7),
    ],
)
def test_a_colour_has_3_bits_per_channel_the_first_channel_the_highest(colour: tuple[int, ...], code: int) -> None:
    assert colour_codes(plain(*colour), (1, 1)).tolist() == [[code]]


def test_a_code_is_that_of_the_mean_without_rounding() -> None:
    patch = plain(32, 0, 0).clone()
    patch[0, 0, 0, 0] -= 1  # the mean is just below 32
    assert colour_codes(patch, (1, 1)).item() == 0
    patch[0, 0, 6, 6] += 1
    assert colour_codes(patch, (1, 1)).item() == 64


@pytest.mark.parametrize("channels", [1, 3])
def test_each_class_is_shown_as_the_colour_in_its_middle(channels: int) -> None:
    codes = torch.arange(8**channels)[:, None]
    colours = colours_of(codes, channels)  # [B, 1, C]
    assert torch.equal(colour_codes(colours.transpose(1, 2)[..., None], (1, 1)), codes)
    assert colours.unique().tolist() == [16, 48, 80, 112, 144, 176, 208, 240]


def test_patches_come_row_by_row_of_images_that_need_not_be_square() -> None:
    images = torch.zeros(1, 1, 4, 9, dtype=torch.uint8)
    images[0, 0, 2:, 3:6] = 255  # second row, second of three columns
    assert colour_codes(images, (2, 3)).tolist() == [[0, 0, 0, 0, 7, 0]]
    counted = torch.arange(36).view(1, 1, 4, 9)
    assert patches_of(counted, (2, 3))[0, 4, 0].tolist() == [21, 22, 23, 30, 31, 32]
    assert torch.equal(image_of(patches_of(counted, (2, 3)), (2, 3), (4, 9)), counted)
    with pytest.raises(UsageError, match="an input of 4x9 pixels has no 3x3 patches of equal size"):
        patches_of(counted, (3, 3))


def test_pixels_are_those_before_normalisation() -> None:
    """Each of the 256 values comes back, in each channel; gray images are gray in all channels of a colour input."""
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, -1, -1)
    inputs = preprocess(values, CIFAR10, image_size=(16, 16), in_channels=3)
    assert torch.equal(pixels_of(inputs, CIFAR10), values)
    gray = preprocess(values[:, :1], CIFAR10, image_size=(16, 16), in_channels=3)
    assert torch.equal(pixels_of(gray, CIFAR10), values)


def test_pixels_of_a_patch_are_normalised_by_their_own_mean_and_deviation() -> None:
    images = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[2, :, :4, :4] = 77  # all alike: nothing but zeros
    found = normalised_pixels(images, (2, 2))
    assert found.shape == (3, 4, 48)
    assert found[2, 0].abs().max() == 0
    masked = torch.tensor([[3, 1], [0, 2], [2, 0]])
    goals = found.take_along_dim(masked[:, :, None], dim=1)
    expected = patches_of(images, (2, 2)).flatten(2).take_along_dim(masked[:, :, None], dim=1)
    assert torch.equal(denormalised(goals, masked, images, (2, 2)), expected)
    by_hand = images[1, :, :4, 4:].flatten().double() / 255
    torch.testing.assert_close(found[1, 1].double(), (by_hand - by_hand.mean()) / by_hand.std(), atol=1e-4, rtol=1e-4)


def test_eighty_of_a_hundred_are_replaced_by_the_token_ten_by_another_patch_and_ten_are_kept() -> None:
    images, patches, count = 6250, 32, 16
    found = corruption(Draws(5, 2, torch.arange(images)), patches=patches, count=count)
    total = images * count
    assert found.masked.shape == (images, count)
    both = torch.cat([found.masked, found.kept], dim=1).sort(dim=1).values
    assert torch.equal(both, torch.arange(patches).expand(images, -1)), "each patch is masked or kept"
    own = torch.arange(patches).expand(images, -1)
    other = found.source != own
    is_masked = torch.zeros(images, patches, dtype=torch.bool).scatter(1, found.masked, True)
    assert not (found.token | other)[~is_masked].any()
    assert not (found.token & other).any()
    left = is_masked & ~found.token & ~other
    for share, chosen in ((0.8, found.token), (0.1, other), (0.1, left)):
        sigma = math.sqrt(total * share * (1 - share))
        assert abs(int(chosen.sum()) - share * total) < 4 * sigma
    # Which patches are masked, and which others take their places, is drawn evenly.
    each = is_masked.sum(0).double()
    assert (each - images / 2).abs().max() < 4 * math.sqrt(images / 4)
    shift = (found.source - own)[other] % patches
    assert shift.unique().tolist() == list(range(1, patches))


def test_what_is_hidden_belongs_to_an_image_and_an_epoch() -> None:
    first, second = Draws(5, 2, torch.tensor([4, 9])), Draws(5, 2, torch.tensor([9]))
    for a, b in zip(*(corruption(draws, patches=16, count=8) for draws in (first, second)), strict=True):
        assert torch.equal(a[1:], b)
    later = corruption(Draws(5, 3, torch.tensor([9])), patches=16, count=8)
    assert not torch.equal(later.masked, corruption(second, patches=16, count=8).masked)


def test_a_share_that_masks_no_patch_or_all_of_them_is_refused_in_words() -> None:
    assert [masked_count(mask, 16) for mask in (0.04, 0.5, 0.75, 0.9)] == [1, 8, 12, 14]
    for mask, patches, words in (
        (0.02, 16, r"mask = 0.02 of 16 patches masks none: use a share of at least 0.062, below 1"),
        (0.98, 16, r"mask = 0.98 of 16 patches leaves none to predict them from"),
        (0.5, 1, "an image of a single patch leaves nothing to predict it from: use a smaller patch_size"),
    ):
        with pytest.raises(UsageError, match=words):
            masked_count(mask, patches)
