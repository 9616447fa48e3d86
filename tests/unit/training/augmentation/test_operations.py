"""Operations with a strength per image: what torchvision's give for each image by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from vitbench.training import Draws
from vitbench.training.augmentation.operations import OPERATIONS, apply, jittered

Reference = Callable[[torch.Tensor, float], torch.Tensor]


def images(channels: int, count: int = 6) -> torch.Tensor:
    shape = (count, channels, 20, 14)
    noise = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return noise // torch.tensor([1, 2, 3, 1, 5, 256], dtype=torch.int16)[:, None, None, None].to(torch.uint8).clamp(1)


def affine(image: torch.Tensor, **changes: object) -> torch.Tensor:
    how = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]} | changes
    return tv.affine(image, fill=[128.0] * len(image), **how)


def degrees(strength: float) -> float:
    return math.degrees(math.atan(strength))


SHEARS = [0.3, -0.3, 0.1, -0.2, 0.0, 0.03]
SHARES = [0.45, -0.45, 0.1, -0.2, 0.0, 0.03]
FACTORS = [0.9, -0.9, 0.5, -0.1, 0.0, 0.2]
NONE = [0.0] * 6
CASES: dict[str, tuple[Reference, list[float]]] = {
    "ShearX": (lambda x, s: affine(x, shear=[degrees(s), 0.0], center=[0, 0]), SHEARS),
    "ShearY": (lambda x, s: affine(x, shear=[0.0, degrees(s)], center=[0, 0]), SHEARS),
    "TranslateX": (lambda x, s: affine(x, translate=[int(s * 14), 0]), SHARES),
    "TranslateY": (lambda x, s: affine(x, translate=[0, int(s * 20)]), SHARES),
    "Rotate": (lambda x, s: tv.rotate(x, s, fill=[128.0] * len(x)), [30.0, -30.0, 7.0, -12.5, 0.0, 1.0]),
    "Brightness": (lambda x, s: tv.adjust_brightness(x, 1 + s), FACTORS),
    "Color": (lambda x, s: tv.adjust_saturation(x, 1 + s), FACTORS),
    "Contrast": (lambda x, s: tv.adjust_contrast(x, 1 + s), FACTORS),
    "Sharpness": (lambda x, s: tv.adjust_sharpness(x, 1 + s), FACTORS),
    "Posterize": (lambda x, s: tv.posterize(x, int(s)), [8, 7, 6, 5, 4, 1]),
    "Solarize": (lambda x, s: tv.solarize(x, s), [255.0, 0.0, 127.5, 28.3, 254.0, 1.0]),
    "AutoContrast": (lambda x, s: tv.autocontrast(x), NONE),
    "Equalize": (lambda x, s: tv.equalize(x), NONE),
    "Invert": (lambda x, s: tv.invert(x), NONE),
}
BLENDS = ("Brightness", "Color", "Contrast", "Sharpness")
"""Their sums may be rounded another way, and are then cut to whole levels."""


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_each_image_becomes_what_torchvision_makes_of_it(name: str, channels: int) -> None:
    x, (reference, strengths) = images(channels), CASES[name]
    out = OPERATIONS[name](x, torch.tensor(strengths, dtype=torch.float64))
    assert out.dtype == torch.uint8
    for image, strength, found in zip(x, strengths, out, strict=True):
        difference = (found.int() - reference(image, strength).int()).abs()
        assert difference.max() <= (1 if name in BLENDS else 0)
        assert (difference > 0).float().mean() < 0.03


def test_images_of_five_channels_are_changed_channel_by_channel() -> None:
    """But their contrast, whose gray is the mean of all channels, and Color, which leaves them as they are."""
    assert list(CASES) == list(OPERATIONS)
    x = images(5)
    for name, (_, strengths) in CASES.items():
        strength = torch.tensor(strengths, dtype=torch.float64)
        out = OPERATIONS[name](x, strength)
        if name == "Color":
            assert torch.equal(out, x)
        elif name != "Contrast":
            for c in range(5):
                assert torch.equal(out[:, c : c + 1], OPERATIONS[name](x[:, c : c + 1], strength)), name


def test_the_weakest_strength_changes_nothing() -> None:
    x = images(3).clamp(max=254)  # at 255 Solarize inverts what is white
    for name in CASES:
        if CASES[name][1] is not NONE:
            weakest = {"Posterize": 8.0, "Solarize": 255.0}.get(name, 0.0)
            assert torch.equal(OPERATIONS[name](x, torch.full((6,), weakest, dtype=torch.float64)), x), name


def test_only_the_images_that_drew_an_operation_undergo_it() -> None:
    x = images(3)
    out = apply(x, torch.tensor([0, -1, 1, 0, -1, 1]), ("Invert", "Posterize"), torch.full((6,), 4.0))
    assert torch.equal(out[[0, 3]], ~x[[0, 3]])
    assert torch.equal(out[[1, 4]], x[[1, 4]])
    assert torch.equal(out[[2, 5]], x[[2, 5]] & 0xF0)


def test_jitter_moves_brightness_within_its_range() -> None:
    x = torch.full((500, 1, 2, 2), 100, dtype=torch.uint8)  # one level: contrast and saturation change nothing
    levels = jittered(x, Draws(0, 0, torch.arange(500)), 0.4)[:, 0, 0, 0].float()
    assert 59 <= levels.min() < 63
    assert 137 < levels.max() <= 140
    assert abs(levels.mean() - 99.5) < 5


def test_jitter_changes_contrast_and_colour_and_nothing_at_strength_0() -> None:
    x, draws = images(3), Draws(0, 0, torch.arange(6))
    assert torch.equal(jittered(x, draws, 0.0), x)
    factors = [1 + (draws.uniform(f"jitter {name}") * 2 - 1) * 0.4 for name in ("Brightness", "Contrast", "Color")]
    for image, found, *own in zip(x, jittered(x, draws, 0.4), *factors, strict=True):
        expected = tv.adjust_brightness(image, float(own[0]))
        expected = tv.adjust_saturation(tv.adjust_contrast(expected, float(own[1])), float(own[2]))
        assert (found.int() - expected.int()).abs().max() <= 3  # a level at each of three steps
