"""The lookalikes of dSprites: the same on every machine, whole, and with every factor to be seen."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from vitbench_vtab.lookalike import FACTORS, OPENERS, SIDE, drawn


def test_the_pixels_are_the_same_on_every_machine() -> None:
    images = OPENERS.location(split="train").images(np.arange(100))
    assert images.shape == (100, 1, SIDE, SIDE)
    assert set(np.unique(images)) == {0, 255}
    assert hashlib.sha256(images.tobytes()).hexdigest()[:16] == "a4288ba2988a5d5b"


def test_the_splits_have_no_image_in_common_and_both_tasks_have_the_same_images() -> None:
    splits = [OPENERS.location(split=split) for split in ("train", "val", "test")]
    assert [len(split.labels) for split in splits] == [800, 200, 2_000]
    every = np.concatenate([split.factors for split in splits])
    assert len(np.unique(every, axis=0)) == 3_000
    assert np.array_equal(every[:800], OPENERS.orientation(split="train").factors)
    assert splits[0].lineage == "lookalike"


def test_labels_are_the_bins_of_their_factor() -> None:
    location, orientation = OPENERS.location(split="test"), OPENERS.orientation(split="test")
    assert np.array_equal(location.labels, location.factors[:, 3] // 2)
    assert np.array_equal(orientation.labels, (orientation.factors[:, 2] / 2.5).astype(int))
    assert np.bincount(orientation.labels).min() > 0


@pytest.mark.parametrize("shape", range(FACTORS[0]))
def test_the_largest_shape_lies_whole_in_the_image_at_each_angle_and_corner(shape: int) -> None:
    corners = [(shape, 5, turn, x, y) for turn in range(FACTORS[2]) for x in (0, 31) for y in (0, 31)]
    areas = drawn(np.array(corners)).reshape(len(corners), -1).astype(bool).sum(1)
    middle = drawn(np.array([(shape, 5, turn, 15, 15) for turn in range(FACTORS[2])])).reshape(40, -1).astype(bool)
    assert np.abs(areas.reshape(40, 4) / middle.sum(1)[:, None] - 1).max() < 0.05


def test_position_moves_a_shape_right_and_down_and_size_makes_it_larger() -> None:
    def middle(*factors: int) -> tuple[float, float, int]:
        rows, columns = np.nonzero(drawn(np.array([factors]))[0, 0])
        return float(rows.mean()), float(columns.mean()), len(rows)

    start, right, down, large = (
        middle(*f) for f in ((0, 0, 0, 0, 0), (0, 0, 0, 31, 0), (0, 0, 0, 0, 31), (0, 5, 0, 0, 0))
    )
    assert right[1] - start[1] == pytest.approx(33, abs=1.5)
    assert right[0] == start[0]
    assert down[0] - start[0] == pytest.approx(33, abs=1.5)
    assert large[2] > 3 * start[2]
