"""Answers as they are read from stored predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pages
import pytest

from vitbench.leaderboard.answers import read_answers


def test_what_is_stored_is_read_back_and_mistakes_are_in_the_order_of_their_confidence(tmp_path):
    pages.save(tmp_path / "p.npz", [0, 1, 0, 0], [1, 1, 2, 1], [0.25, 0.5, 0.75, 0.25])
    found = read_answers(tmp_path / "p.npz")
    assert found is not None
    assert found.labels.tolist() == [0, 1, 0, 0]
    assert found.classes.tolist() == [1, 1, 2, 1]
    assert found.confidence.tolist() == pytest.approx([0.25, 0.5, 0.75, 0.25])
    assert found.mistakes().tolist() == [2, 0, 3]
    assert found.are_on_images_of(replace(found, classes=found.labels))
    assert not found.are_on_images_of(replace(found, index=np.array([0, 1, 2, 4])))


@pytest.mark.parametrize("content", [None, b"PK\x03\x04 no archive", b"\x93NUMPY"], ids=["none", "zip", "npy"])
def test_a_missing_or_damaged_file_says_nothing(tmp_path, content):
    if content is not None:
        (tmp_path / "p.npz").write_bytes(content)
    assert read_answers(tmp_path / "p.npz") is None
