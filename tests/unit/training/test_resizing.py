"""Resizing by matrices is Pillow's, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from vitbench.specs import Preprocess
from vitbench.training import inputs, preprocess, resizing
from vitbench.training.resizing import agrees, resized

CPU = torch.device("cpu")


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("given", "size"),
    [((32, 32), (256, 256)), ((1, 5), (7, 5)), ((9, 13), (9, 40)), ((48, 32), (24, 16)), ((33, 33), (7, 7))],
)
def test_images_are_resized_as_pillow_does(given: tuple[int, int], size: tuple[int, int], interpolation: str) -> None:
    random = np.random.default_rng(0)
    images = np.stack([random.integers(0, 256, (3, *given)), random.integers(0, 2, (3, *given)) * 255]).astype(np.uint8)
    ours = resized(torch.from_numpy(images), size, interpolation)
    for image, mine in zip(images, ours.numpy(), strict=True):
        picture = Image.fromarray(image.transpose(1, 2, 0)).resize(size[::-1], Image.Resampling[interpolation.upper()])
        np.testing.assert_array_equal(mine.transpose(1, 2, 0), picture)
    assert agrees(given, size, interpolation, CPU)


def test_what_pillow_resizes_in_another_order_is_left_to_it() -> None:
    assert not agrees((40, 20), (30, 30), "bicubic", CPU)


def test_a_pillow_of_another_arithmetic_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resizing, "_bicubic", lambda x: max(0.0, 2.0 - abs(x)))
    for kept in (resizing._weights, resizing._weights_on):
        kept.cache_clear()
    assert not agrees((6, 7), (10, 11), "bicubic", CPU)
    for kept in (resizing._weights, resizing._weights_on):
        kept.cache_clear()


@pytest.mark.parametrize(("shape", "crop_fraction"), [((11, 14), 1.0), ((48, 48), 0.875), ((11, 14), 1.2)])
def test_a_device_that_resizes_by_itself_shows_the_same(
    shape: tuple[int, int], crop_fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randint(0, 256, (5, 3, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    how = Preprocess(mean=(0.5,), std=(0.5,), crop_fraction=crop_fraction)
    expected = preprocess(images, how, image_size=(32, 32), in_channels=3)
    monkeypatch.setattr(inputs, "_BY_MATRICES", "cpu")
    assert torch.equal(preprocess(images, how, image_size=(32, 32), in_channels=3), expected)
