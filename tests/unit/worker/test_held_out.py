"""What a recipe says of images that it held out is checked, and comes in the order of the images."""

from __future__ import annotations

import numpy as np
import pytest

from vitbench.errors import UsageError
from vitbench.protocols import Split
from vitbench.worker.held_out import HeldOut

CLASS_NAMES = ("zero", "one", "two")
IMAGES = np.zeros((10, 1, 2, 2), np.uint8)
TRAIN = Split(images=IMAGES, index=np.array([2, 5, 9]), labels=np.array([1, 0, 2]))
VAL = Split(images=IMAGES, index=np.array([3, 7]), labels=np.array([2, 0]))


def started() -> HeldOut:
    return HeldOut(TRAIN, VAL, num_classes=3)


def logits(*classes: int) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[list(classes)]


def test_what_several_folds_give_is_of_each_image_with_its_own_label() -> None:
    held_out = started()
    held_out.add(np.array([9, 3]), logits(2, 1))
    held_out.add(np.array([5]), logits(0))
    said, images = held_out.predictions(CLASS_NAMES)
    assert said.index.tolist() == images.index.tolist() == [3, 5, 9]
    assert said.labels.tolist() == images.labels.tolist() == [2, 0, 2]
    assert said.top_classes[:, 0].tolist() == [1, 0, 2]
    assert images.images is IMAGES


def test_what_was_saved_goes_on() -> None:
    held_out, again = started(), started()
    held_out.add(np.array([9]), logits(2))
    again.restore(held_out.state())
    with pytest.raises(UsageError, match="row 9 is given twice"):
        again.add(np.array([2, 9]), logits(0, 0))
    assert len(again) == 1


@pytest.mark.parametrize(
    ("index", "given", "words"),
    [
        ([2.0], logits(0), r"index must be int64\[N\], .*not float64\[1\]"),
        ([[2]], logits(0), r"index must be int64\[N\], .*not int64\[1, 1\]"),
        (np.empty(0, np.int64), logits(), r"not int64\[0\]"),
        ([2, 5], logits(0), r"logits must be float32\[2, 3\], not float32\[1, 3\]"),
        ([2], logits(0)[:, :2], r"logits must be float32\[1, 3\], not float32\[1, 2\]"),
        ([2], logits(0).astype(int), r"logits must be float32\[1, 3\], not int64\[1, 3\]"),
        ([2, 5], logits(0, 1) * np.array([[1], [np.nan]]), "the logits of image 5 are not finite"),
        ([2, 4], logits(0, 1), "row 4 is neither a training nor a validation image"),
        ([2, 2], logits(0, 1), "row 2 is given twice"),
    ],
)
def test_what_cannot_be_scored_is_refused(index, given, words) -> None:
    held_out = started()
    with pytest.raises(UsageError, match=words):
        held_out.add(np.asarray(index), given)
    assert len(held_out) == 0
