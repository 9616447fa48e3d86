"""The part of a training split whose labels are learnt from."""

from __future__ import annotations

import numpy as np
import pytest
import toy_training

from vitbench.errors import UsageError
from vitbench.training import labelled, labelled_count

SPLIT = toy_training.split(np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1), np.arange(200) % 4)


@pytest.mark.parametrize(("labels", "count"), [(1.0, 200), (0.05, 10), (0.0201, 4), (30.0, 30), (900.0, 200)])
def test_a_share_or_a_number_of_images_is_left_with_the_classes_in_proportion(labels: float, count: int) -> None:
    found = labelled(SPLIT, labels)
    assert len(found) == len(found.labels) == labelled_count(200, labels) == count
    per_class = np.bincount(found.labels, minlength=4)
    assert per_class.max() - per_class.min() <= 1
    assert (found.images[found.index][:, 0, 0, 0] % 4 == found.labels).all(), "each with its own label"
    assert np.array_equal(found.index, labelled(SPLIT, labels).index)


@pytest.mark.parametrize("sizes", [(1, 2, 3, 40), (7, 7, 6, 80, 13, 1)])
def test_fewer_labels_are_among_more_and_each_class_has_its_share(sizes: tuple[int, ...]) -> None:
    """Quotas by the largest remainder are not nested: of 7, 7, 6, 80, 13 and 1 images, 33 do not hold all of 32."""
    of = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    split = toy_training.split(np.zeros((len(of), 1, 1, 1), dtype=np.uint8), of)
    before: set[int] = set()
    for count in range(max(2, len(sizes)), len(of) + 1):
        found = labelled(split, float(count))
        assert before < set(found.index.tolist())
        before = set(found.index.tolist())
        ideal = np.maximum(1, np.array(sizes) * count / len(of))
        assert len(found) == count
        assert np.abs(np.bincount(found.labels, minlength=len(sizes)) - ideal).max() < len(sizes)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (0.01, "labels = 0.01 leaves 2 of 4 classes without a label: it is 2 of 200 images; use at least 4"),
        (3.0, "labels = 3 leaves 1 of 4 classes without a label"),
        (2.5, "labels = 2.5 is neither a share of the images, up to 1, nor their number, from 2 on"),
        (0.0, "labels = 0 is neither"),
        (float("nan"), "labels = nan is neither"),
    ],
)
def test_what_leaves_a_class_out_or_is_no_number_is_refused_in_words(labels: float, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        labelled(SPLIT, labels)
