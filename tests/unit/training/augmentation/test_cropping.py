"""Crops and flips: against slow references, one image at a time."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.v2.functional import resized_crop as resized_crop_of_one

from vitbench.training import Draws, augment
from vitbench.training.augmentation import cropping
from vitbench.training.augmentation.cropping import mirrored, padded_crop, random_boxes, resized_crop


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, height: int, width: int | None = None, channels: int = 3) -> torch.Tensor:
    shape = (count, channels, height, width or height)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(9))


def draws(count: int, seed: int = 0) -> Draws:
    return Draws(seed, 0, torch.arange(count))


def crops(image: torch.Tensor) -> list[torch.Tensor]:
    """All crops of one image padded by reflection."""
    height, width = image.shape[-2:]
    down, right = max(1, height // 8), max(1, width // 8)
    padded = F.pad(image[None].float(), (right, right, down, down), mode="reflect")[0].to(torch.uint8)
    return [padded[:, i : i + height, j : j + width] for i in range(2 * down + 1) for j in range(2 * right + 1)]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 24), (2, 3)])
def test_each_crop_is_a_window_of_the_reflected_image(height: int, width: int) -> None:
    x = images(40, height, width)
    for image, cropped in zip(x, padded_crop(x, draws(40)), strict=True):
        assert any(torch.equal(cropped, window) for window in crops(image))


def test_all_nine_windows_of_a_small_image_are_drawn_about_equally() -> None:
    x = images(1, 8).expand(1800, -1, -1, -1)
    out = padded_crop(x, draws(1800))
    drawn = [int((out == window).all(dim=(1, 2, 3)).sum()) for window in crops(x[0])]
    assert sum(drawn) == 1800
    assert min(drawn) > 140  # 200 expected, standard deviation 13
    assert max(drawn) < 260


def test_a_crop_is_mirrored_after_it_was_moved() -> None:
    x, flip = images(20, 9, 16), draws(20).chance("flip", 0.5)
    assert 0 < flip.sum() < 20
    assert torch.equal(padded_crop(x, draws(20), flip), mirrored(padded_crop(x, draws(20)), flip))


def test_mirrored_images_are_mirrored_and_the_others_untouched() -> None:
    x, flip = images(3, 6), torch.tensor([True, False, True])
    out = mirrored(x, flip)
    assert torch.equal(out[flip], x[flip].flip(3))
    assert torch.equal(out[~flip], x[~flip])


@pytest.mark.parametrize("by_matrices", [False, True])
@pytest.mark.parametrize(("size", "channels"), [((8, 8), 3), ((32, 20), 1), ((50, 50), 5)])
def test_resized_crops_are_those_of_torchvision(size: tuple[int, int], channels: int, by_matrices: bool) -> None:
    x, flip = images(12, 30, 40, channels), torch.arange(12) % 2 == 0
    boxes = random_boxes(draws(12), "crop", (30, 40), scale=(0.08, 1), ratio=(0.75, 1.33))
    with patch.object(cropping, "_BY_MATRICES", "cpu" if by_matrices else ""):  # as a GPU does it
        out = resized_crop(x, boxes, size, flip)
    for image, box, turned, found in zip(x, boxes.tolist(), flip, out, strict=True):
        expected = resized_crop_of_one(image, *box, size=list(size), antialias=True)
        difference = (found.int() - (expected.flip(2) if turned else expected).int()).abs()
        assert difference.max() <= (2 if by_matrices else 0)
        assert (difference > 0).float().mean() < 0.15  # torchvision's weights have 16 bits


def test_a_gpu_resizes_in_pieces_as_it_does_at_once() -> None:
    x = images(7, 30)
    boxes = random_boxes(draws(7), "crop", (30, 30), scale=(0.08, 1), ratio=(0.75, 1.33))
    with patch.object(cropping, "_BY_MATRICES", "cpu"):
        whole = resized_crop(x, boxes, (12, 12))
        with patch.object(cropping, "_CHUNK_BYTES", 2 * 8 * 3 * 30 * 30):
            assert torch.equal(resized_crop(x, boxes, (12, 12)), whole)


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (60, 1), (7, 60), (37, 52)])
@pytest.mark.parametrize(("least", "shape"), [(0.01, 0.2), (1.0, 1.0), (0.5, 0.2)])
def test_boxes_lie_in_the_image(size: tuple[int, int], least: float, shape: float) -> None:
    boxes = random_boxes(draws(300), "crop", size, scale=(least, 1), ratio=(shape, 1 / shape))
    assert boxes.min() >= 0
    assert boxes[:, 2:].min() >= 1
    assert (boxes[:, :2] + boxes[:, 2:] <= torch.tensor(size)).all()


def test_boxes_have_the_areas_and_shapes_asked_for() -> None:
    boxes = random_boxes(draws(4000), "crop", (1000, 1000), scale=(0.1, 0.3), ratio=(0.5, 2)).double()
    top, left, height, width = boxes.T
    area, shape = height * width / 1e6, width / height
    assert 0.098 < area.min() < 0.102
    assert 0.298 < area.max() < 0.302
    assert abs(area.mean() - 0.2) < 0.004  # standard deviation of the mean: 0.001
    assert 0.49 < shape.min() < 0.51
    assert 1.98 < shape.max() < 2.02
    assert abs(shape.log().mean()) < 0.03
    for start, side in ((top, height), (left, width)):
        assert abs((start / (1000 - side)).mean() - 0.5) < 0.02


def test_a_narrow_image_gives_its_centre() -> None:
    boxes = random_boxes(draws(3), "crop", (10, 400), scale=(0.9, 1), ratio=(0.75, 1.5))
    assert boxes.tolist() == [[0, 192, 10, 15]] * 3


def test_the_whole_image_at_its_own_size_is_that_image() -> None:
    x = images(5, 17)
    boxes = random_boxes(draws(5), "crop", (17, 17), scale=(1, 1), ratio=(1, 1))
    assert torch.equal(resized_crop(x, boxes, (17, 17)), x)
    with patch.object(cropping, "_BY_MATRICES", "cpu"):
        assert torch.equal(resized_crop(x, boxes, (17, 17)), x)


def test_a_generator_of_the_recipe_decides_alone() -> None:
    x = images(40, 16)
    first = augment(x, ("crop", "flip"), seeded(1))
    torch.manual_seed(123)
    assert torch.equal(augment(x, ("crop", "flip"), seeded(1)), first)
    assert not torch.equal(augment(x, ("crop", "flip"), seeded(2)), first)
    for image, changed in zip(x, first, strict=True):
        assert any(torch.equal(changed, turned) for window in crops(image) for turned in (window, window.flip(2)))


def test_a_generator_mirrors_about_half_of_the_images() -> None:
    x = images(400, 6)
    out = augment(x, ("flip",), seeded())
    same, turned = ((out == reference).all(dim=(1, 2, 3)) for reference in (x, x.flip(3)))
    assert bool((same ^ turned).all())
    assert 160 < int(turned.sum()) < 240
    assert augment(x, (), seeded()) is x
