"""Preprocessing and the statistics that it normalises by."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
import toy_training
from PIL import Image
from torchvision.transforms import v2

from vitbench.specs import Preprocess
from vitbench.training import preprocess, statistics

PLAIN_GRAY = Preprocess(mean=(0.0,), std=(1.0,))
PLAIN = Preprocess(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_same_size_is_scaled_and_normalised_and_nothing_else() -> None:
    x = images(4, 3, 6, 6)
    how = Preprocess(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0), crop_fraction=0.5)
    before = x.clone()
    out = preprocess(x, how, image_size=(6, 6), in_channels=3)
    assert torch.equal(x, before), "the cached images stay as they are"
    expected = (x / 255 - torch.tensor(how.mean).view(3, 1, 1)) / torch.tensor(how.std).view(3, 1, 1)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected)


def shown(image: torch.Tensor, how: Preprocess, size: tuple[int, int], wanted: tuple[int, int]) -> torch.Tensor:
    """Return an image uint8[3, H, W] as Pillow resizes it to a size, with its centre cut out, in 0..1."""
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    picture = v2.functional.center_crop(
        picture.resize(size[::-1], Image.Resampling[how.interpolation.upper()]), list(wanted)
    )
    return v2.functional.pil_to_tensor(picture) / 255


@pytest.mark.parametrize(("given", "interpolation"), [(64, "bilinear"), (64, "bicubic"), (16, "bicubic")])
def test_images_of_another_size_are_resized_by_pillow_and_centre_cropped(given: int, interpolation: str) -> None:
    x = images(3, 3, given, given)
    how = Preprocess(mean=(0.0,) * 3, std=(1.0,) * 3, interpolation=interpolation, crop_fraction=0.875)
    out = preprocess(x, how, image_size=(32, 32), in_channels=3)
    for image, mine in zip(x, out, strict=True):
        assert torch.equal(mine, shown(image, how, (36, 36), (32, 32)))


def test_a_batch_is_resized_alike_by_any_number_of_threads() -> None:
    x, threads = images(20, 3, 9, 13), torch.get_num_threads()
    alone = preprocess(x, PLAIN, image_size=(16, 16), in_channels=3)
    try:
        torch.set_num_threads(4)
        assert torch.equal(preprocess(x, PLAIN, image_size=(16, 16), in_channels=3), alone)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("crop_mode", "crop_fraction", "expected"),
    [
        ("center", 1.0, [[1, 1], [1, 1]]),
        ("squash", 1.0, [[0, 2], [0, 2]]),
        ("border", 1.0, [[9, 9, 9, 9], [0, 1, 1, 2], [0, 1, 1, 2], [9, 9, 9, 9]]),
        ("center", 2.0, [[8, 8, 8, 8], [0, 1, 1, 2], [0, 1, 1, 2], [8, 8, 8, 8]]),
    ],
)
def test_images_of_another_shape_are_cut_squashed_or_bordered(
    crop_mode: str, crop_fraction: float, expected: list[list[int]]
) -> None:
    """Of an image with a black, two gray and a white quarter; black is around it where nothing else is said."""
    x = torch.tensor([0, 128, 128, 255], dtype=torch.uint8).repeat_interleave(4).expand(1, 3, 8, 16)
    side = len(expected)
    how = Preprocess(mean=(0.2,) * 3, std=(1.0,) * 3, crop_mode=crop_mode, crop_fraction=crop_fraction)
    out = preprocess(x, how, image_size=(8, 8), in_channels=3) + torch.tensor(how.mean).view(3, 1, 1)
    cells = out[0, 0].unfold(0, 8 // side, 8 // side).unfold(1, 8 // side, 8 // side).mean(dim=(2, 3))
    for value, cell in zip(chain.from_iterable(expected), cells.flatten().tolist(), strict=True):
        low, high = {0: (0, 0.3), 1: (0.4, 0.6), 2: (0.7, 1), 8: (0, 0), 9: (0.2, 0.2)}[value]
        assert low - 1e-6 <= cell <= high + 1e-6


def test_a_border_has_the_colour_that_is_said() -> None:
    how = Preprocess(mean=(0.2,), std=(1.0,), crop_mode="border", fill=(0.0,))
    out = preprocess(torch.full((1, 1, 8, 16), 255, dtype=torch.uint8), how, image_size=(8, 8), in_channels=1) + 0.2
    assert (out[0, 0, 0, 0].item(), out[0, 0, 4, 0].item()) == (0, 1)


def test_bicubic_does_not_leave_the_range_of_pixels() -> None:
    x = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    x[..., 4:] = 255
    out = preprocess(x, PLAIN_GRAY, image_size=(32, 32), in_channels=1)
    assert out.min() == 0
    assert out.max() == 1


def test_gray_is_repeated_with_each_channels_own_normalisation_and_one_mean_serves_three() -> None:
    x = images(2, 1, 4, 4)
    out = preprocess(x, Preprocess(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0)), image_size=(4, 4), in_channels=3)
    gray = x[:, 0] / 255
    for c, (mean, std) in enumerate([(0.1, 1.0), (0.2, 2.0), (0.3, 4.0)]):
        torch.testing.assert_close(out[:, c], (gray - mean) / std)

    out = preprocess(images(2, 1, 4, 4), Preprocess(mean=(0.5,), std=(0.5,)), image_size=(4, 4), in_channels=3)
    assert torch.equal(out[:, 0], out[:, 2])


def test_colour_becomes_pillows_luminance_for_a_gray_input() -> None:
    x = images(1, 3, 8, 8)
    expected = np.asarray(Image.fromarray(x[0].permute(1, 2, 0).numpy()).convert("L"))
    out = preprocess(x, PLAIN_GRAY, image_size=(8, 8), in_channels=1)
    assert out.shape == (1, 1, 8, 8)
    assert np.abs(out[0, 0].numpy() * 255 - expected).max() <= 1


def test_three_means_become_their_luminance_for_a_gray_input() -> None:
    white = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    out = preprocess(white, Preprocess(mean=(1.0, 0.0, 0.0), std=(0.5, 0.5, 0.5)), image_size=(2, 2), in_channels=1)
    torch.testing.assert_close(out, torch.full((1, 1, 2, 2), (1 - 0.299) / 0.5))


def test_statistics_are_those_of_the_splits_images_only() -> None:
    pixels = images(300, 5, 4, 9).numpy()
    chosen = np.arange(0, 300, 2)
    whole = toy_training.split(pixels, np.zeros(300))
    part = type(whole)(images=whole.images, index=whole.index[chosen], labels=whole.labels[chosen])
    how = statistics(part)
    expected = pixels[chosen].astype(np.float64) / 255
    np.testing.assert_allclose(how.mean, expected.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(how.std, expected.std(axis=(0, 2, 3)), rtol=1e-12)


def test_statistics_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    split = toy_training.split(images(50, 1, 4, 4).numpy(), np.zeros(50))
    at_once = statistics(split)
    monkeypatch.setattr("vitbench.training.inputs._CHUNK_BYTES", 7 * 16)
    assert statistics(split) == at_once


def test_a_constant_channel_can_be_normalised() -> None:
    split = toy_training.split(np.full((4, 1, 3, 3), 51, dtype=np.uint8), np.zeros(4))
    how = statistics(split)
    assert how.mean == pytest.approx((0.2,))
    out = preprocess(torch.from_numpy(split.images), how, image_size=(3, 3), in_channels=1)
    assert out.abs().max() < 1e-4


@pytest.mark.parametrize(
    ("given", "wanted", "interpolation"),
    [
        ((40, 60), (32, 32), "bicubic"),
        ((20, 30), (32, 48), "bilinear"),
        ((30, 90), (32, 16), "bicubic"),
    ],
)
def test_rectangles_are_resized_to_cover_the_input_and_their_centre_is_cut_out(
    given: tuple[int, int], wanted: tuple[int, int], interpolation: str
) -> None:
    x = images(2, 3, *given)
    scale = max(wanted[0] / given[0], wanted[1] / given[1])
    size = (round(given[0] * scale), round(given[1] * scale))
    how = Preprocess(mean=(0.0,) * 3, std=(1.0,) * 3, interpolation=interpolation)
    out = preprocess(x, how, image_size=wanted, in_channels=3)
    for image, mine in zip(x, out, strict=True):
        assert torch.equal(mine, shown(image, how, size, wanted))


def test_a_crop_fraction_cuts_rectangles_both_ways() -> None:
    x = images(1, 1, 40, 80)
    how = Preprocess(mean=(0.0,), std=(1.0,), crop_fraction=0.5)
    torch.testing.assert_close(preprocess(x, how, image_size=(20, 40), in_channels=1), x[..., 10:30, 20:60] / 255)


def test_many_channels_have_each_their_normalisation_and_gray_becomes_many() -> None:
    x, how = images(3, 5, 4, 6), Preprocess(mean=(0.1, 0.2, 0.3, 0.4, 0.5), std=(1.0, 2.0, 3.0, 4.0, 5.0))
    mean, std = (torch.tensor(values).view(5, 1, 1) for values in (how.mean, how.std))
    torch.testing.assert_close(preprocess(x, how, image_size=(4, 6), in_channels=5), (x / 255 - mean) / std)
    gray = preprocess(x[:, :1], how, image_size=(4, 6), in_channels=5)
    torch.testing.assert_close(gray, (x[:, :1] / 255 - mean) / std)


@pytest.mark.parametrize(
    ("channels", "values", "wanted", "words"),
    [
        (4, 1, 3, "images of 4 channels cannot become an input of 3"),
        (4, 1, 1, "images of 4 channels cannot become an input of 1"),
        (3, 1, 4, "images of 3 channels cannot become an input of 4"),
        (4, 3, 4, "3 values of mean and std cannot normalise 4 channels"),
    ],
)
def test_channels_that_become_no_input_are_refused(channels: int, values: int, wanted: int, words: str) -> None:
    how = Preprocess(mean=(0.5,) * values, std=(0.5,) * values)
    with pytest.raises(ValueError, match=words):
        preprocess(images(1, channels, 4, 4), how, image_size=(4, 4), in_channels=wanted)
