"""Random crop and flip: against slow references, one image at a time."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vitbench.training import augment


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, side: int, channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=seeded(9))


def crops(image: torch.Tensor) -> list[torch.Tensor]:
    """All crops of one image padded by reflection."""
    side = image.shape[-1]
    pad = max(1, side // 8)
    padded = F.pad(image[None].float(), (pad,) * 4, mode="reflect")[0].to(torch.uint8)
    return [padded[:, i : i + side, j : j + side] for i in range(2 * pad + 1) for j in range(2 * pad + 1)]


@pytest.mark.parametrize("side", [8, 16, 5])
def test_each_crop_is_a_window_of_the_reflected_image(side: int) -> None:
    x = images(40, side)
    out = augment(x, ("crop",), seeded())
    for image, cropped in zip(x, out, strict=True):
        assert any(torch.equal(cropped, window) for window in crops(image))


def test_all_nine_windows_of_a_small_image_are_drawn_about_equally() -> None:
    x = images(1, 8).expand(1800, -1, -1, -1)
    out = augment(x, ("crop",), seeded())
    drawn = [int((out == window).all(dim=(1, 2, 3)).sum()) for window in crops(x[0])]
    assert sum(drawn) == 1800
    assert min(drawn) > 140  # 200 expected, standard deviation 13
    assert max(drawn) < 260


def test_about_half_of_the_images_are_mirrored_and_the_others_untouched() -> None:
    x = images(400, 6)
    out = augment(x, ("flip",), seeded())
    same, mirrored = ((out == reference).all(dim=(1, 2, 3)) for reference in (x, x.flip(3)))
    assert bool((same ^ mirrored).all())
    assert 160 < int(mirrored.sum()) < 240


def test_nothing_happens_where_nothing_is_allowed() -> None:
    x = images(4, 8)
    assert augment(x, (), seeded()) is x


def test_the_generator_alone_decides() -> None:
    x = images(16, 16)
    first = augment(x, ("crop", "flip"), seeded(1))
    torch.manual_seed(123)
    assert torch.equal(augment(x, ("crop", "flip"), seeded(1)), first)
    assert not torch.equal(augment(x, ("crop", "flip"), seeded(2)), first)


def test_shape_type_and_the_input_are_kept() -> None:
    x = images(3, 9, channels=1)
    before = x.clone()
    out = augment(x, ("crop", "flip"), seeded())
    assert out.shape == x.shape
    assert out.dtype == torch.uint8
    assert out.is_contiguous()
    assert torch.equal(x, before)
