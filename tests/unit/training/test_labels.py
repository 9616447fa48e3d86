"""The part of a training split whose labels are learnt from."""

from __future__ import annotations

import numpy as np
import pytest
import toy_training

from vitbench.errors import UsageError
from vitbench.training import labelled, labelled_count

SPLIT = toy_training.split(np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1), np.arange(200) % 4)


@pytest.mark.parametrize(("labels", "count"), [(1.0, 200), (0.05, 10), (0.0201, 4), (4.0, 4), (30.0, 30), (900.0, 200)])
def test_a_share_or_a_number_of_images_is_left_with_the_classes_in_proportion(labels: float, count: int) -> None:
    found = labelled(SPLIT, labels)
    assert len(found) == len(found.labels) == labelled_count(200, labels) == count
    per_class = np.bincount(found.labels, minlength=4)
    assert per_class.max() - per_class.min() <= 1
    assert (found.images[found.index][:, 0, 0, 0] % 4 == found.labels).all(), "each with its own label"
    assert np.array_equal(found.index, labelled(SPLIT, labels).index)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (0.01, "labels = 0.01 leaves 2 of 4 classes without a label: it is 2 of 200 images; use at least 4"),
        (3.0, "labels = 3 leaves 1 of 4 classes without a label"),
        (1e-9, "leaves 3 of 4 classes"),
        (2.5, "labels = 2.5 is neither a share of the images, up to 1, nor their number, from 2 on"),
        (1.5, "labels = 1.5 is neither"),
        (0.0, "labels = 0 is neither"),
        (float("nan"), "labels = nan is neither"),
    ],
)
def test_what_leaves_a_class_out_or_is_no_number_is_refused_in_words(labels: float, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        labelled(SPLIT, labels)
