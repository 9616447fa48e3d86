"""vitbench.data.geometry: sizes after a resize, and channels that become others."""

from __future__ import annotations

import pytest

from vitbench.data.geometry import channels_come_last, channels_fit, covering_size


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
    [((32, 32, 3), True), ((8, 8, 1), True), ((8, 8, 4), True), ((3, 32, 32), False), ((13, 64, 64), False),
     ((4, 8, 3), False), ((8, 8), False)],
)  # fmt: skip
def test_channels_that_come_last_are_noticed(shape: tuple[int, ...], last: bool) -> None:
    assert channels_come_last(shape) is last
