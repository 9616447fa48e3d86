"""vitbench.data.geometry: sizes after a resize, and channels that become others."""

from __future__ import annotations

from typing import Any

import pytest

from vitbench.data.geometry import channels_come_last, channels_fit, covering_size, filling, placing


@pytest.mark.parametrize(
    ("size", "target", "expected"),
    [((40, 40), (16, 16), (16, 16)), ((50, 80), (32, 32), (32, 51)), ((81, 50), (32, 32), (51, 32)),
     ((28, 56), (32, 32), (32, 64)), ((30, 60), (8, 16), (8, 16)), ((30, 60), (16, 8), (16, 32)),
     ((30, 60), (4, 16), (8, 16)), ((8, 8), (32, 64), (64, 64))],
)  # fmt: skip
def test_an_image_just_covers_the_target_and_keeps_its_shape(
    size: tuple[int, int], target: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert covering_size(size, target) == expected


def test_every_size_covers_every_target_and_touches_it_one_way() -> None:
    sides = (1, 7, 16, 30, 31)
    for size in ((h, w) for h in sides for w in sides):
        for target in ((h, w) for h in sides for w in sides):
            height, width = covering_size(size, target)
            assert height >= target[0]
            assert width >= target[1]
            assert height == target[0] or width == target[1]


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [(1, 1, True), (1, 3, True), (1, 4, True), (3, 1, True), (3, 3, True), (4, 4, True),
     (4, 3, False), (4, 1, False), (3, 4, False), (2, 1, False), (2, 3, False)],
)  # fmt: skip
def test_gray_becomes_anything_and_colour_gray(given: int, wanted: int, fits: bool) -> None:
    assert channels_fit(given, wanted) is fits


@pytest.mark.parametrize(
    ("shape", "last"),
    [((8, 8, 1), True), ((8, 8, 4), True), ((4, 4, 3), True),
     ((3, 32, 32), False), ((13, 64, 64), False), ((4, 8, 5), False), ((8, 8), False)],
)  # fmt: skip
def test_channels_that_come_last_are_noticed(shape: tuple[int, ...], last: bool) -> None:
    assert channels_come_last(shape) is last


@pytest.mark.parametrize(
    ("size", "how", "expected"),
    [((100, 200), {}, ((32, 64), 0, 16)), ((101, 100), {"crop_fraction": 0.9}, ((35, 35), 2, 2)),
     ((100, 107), {"crop_fraction": 0.95}, ((33, 35), 0, 2)), ((100, 200), {"crop_mode": "squash"}, ((32, 32), 0, 0)),
     ((100, 200), {"crop_mode": "squash", "crop_fraction": 0.5}, ((64, 64), 16, 16)),
     ((100, 200), {"crop_mode": "border"}, ((16, 32), -8, 0)), ((199, 100), {"crop_mode": "border"}, ((32, 16), 0, -8)),
     ((100, 100), {"crop_fraction": 1.15}, ((27, 27), -2, -2)),
     ((1000, 1), {"crop_mode": "border"}, ((32, 1), 0, -15))],
)  # fmt: skip
def test_an_image_is_resized_once_and_its_frame_is_rounded_once(
    size: tuple[int, int], how: dict[str, Any], expected: tuple[tuple[int, int], int, int]
) -> None:
    assert placing(size, (32, 32), **how) == expected


def test_only_a_border_has_the_colour_of_the_weights_images() -> None:
    mean = (0.485, 0.456, 0.406)
    assert filling("center", mean, 3) == (0, 0, 0)
    assert filling("border", mean, 3) == (124, 116, 104)
    assert filling("border", mean, 1) == (117,)
    assert filling("border", (0.5,), 3) == (128, 128, 128)
