"""vitbench.data.opening: which split serves what, and that classes are compared by name."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vitbench.data.locate import Located
from vitbench.data.opening import OpenedSet, open_splits
from vitbench.errors import UnusableError
from vitbench.specs import DatasetSpec

NAMES = ("cat", "dog")
ALL = ("train", "val", "test")


def _split(count: int, names: tuple[str, ...] = NAMES, labels: list[int] | None = None) -> Any:
    """A split of gray images, each as bright as its row."""
    given = np.arange(count) % len(names) if labels is None else np.array(labels)
    return SimpleNamespace(labels=given, class_names=names, image=lambda i: np.full((1, 2, 2), i, np.uint8))


def _open(splits: dict[str, Any], *, whole: bool = False, **changes: Any) -> OpenedSet:
    def open_toy(split: str) -> Any:
        return splits.get(split)

    spec = DatasetSpec(name="toy", open=open_toy, summary="Toy", needs_root=False, splits=ALL)
    located = Located(
        name="toy", spec=spec, plugin="toys", root=None, verified=None, download=False, classes=None,
        augmentations=(), whole=whole,
    )  # fmt: skip
    return open_splits(replace(located, **changes))


def _rows(opened: OpenedSet) -> dict[str, list[int]]:
    """Return the images of each split by their brightness."""
    return {split.name: [int(image[0, 0, 0]) for image in split.read(range(len(split.labels)))]
            for split in opened.splits}  # fmt: skip


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("given", "serves", "note"),
    [
        ({"train": 8, "val": 3, "test": 4}, {"train": 8, "val": 3, "test": 4}, ""),
        ({"train": 8, "test": 4}, {"train": 8, "test": 4}, ""),
        ({"train": 8, "val": 3}, {"train": 8, "test": 3}, ("no test split: the validation split is the test split, "
        "and validation images are taken from train")),
        ({"val": 3}, {"test": 3}, "no test split: the validation split is the test split"),
        ({"test": 3}, {"test": 3}, ""),
        ({"val": 3, "test": 4}, {"test": 4}, "no training split: the validation split is not used"),
    ],
)  # fmt: skip
def test_the_splits_that_are_there_settle_what_serves_what(
    given: dict[str, int], serves: dict[str, int], note: str, whole: bool
) -> None:
    opened = _open({name: _split(count) for name, count in given.items()}, whole=whole)

    assert _rows(opened) == {name: list(range(count)) for name, count in serves.items()}
    assert opened.notes == ((note,) if note else ())
    assert not opened.made_test


def test_images_without_a_test_split_are_split_where_a_model_learns_and_else_all_scored() -> None:
    train = _split(11, labels=[0] * 5 + [1] * 5 + [2], names=("a", "b", "c"))

    cut, whole = (_open({"train": train}, whole=whole) for whole in (False, True))

    rows = _rows(cut)
    assert sorted(rows["train"] + rows["test"]) == list(range(11))
    assert [len(rows["train"]), len(rows["test"])] == [9, 2]
    assert [train.labels[rows[split.name]].tolist() for split in cut.splits] == [s.labels.tolist() for s in cut.splits]
    assert cut.notes[:2] == (
        "no test split: one was created here: stratified, seed 0, 9 training and 2 test images",
        "no test image for 1 of 3 classes that have a single image: 'c'",
    )
    assert _rows(whole) == {"test": list(range(11))}
    assert whole.notes == ("no test split, and no model is trained: all 11 images are scored",)
    assert cut.made_test
    assert whole.made_test


def test_one_image_per_class_is_enough_to_score_and_not_to_learn() -> None:
    assert _rows(_open({"train": _split(2)}, whole=True)) == {"test": [0, 1]}
    with pytest.raises(UnusableError, match="with one image per class none can be held out"):
        _open({"train": _split(2)})


def test_a_set_without_any_split_is_refused() -> None:
    with pytest.raises(UnusableError, match=r"^dataset toy: there are no images$"):
        _open({})


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_same_classes_in_another_order_are_mapped_by_name(split: str) -> None:
    opened = _open({"train": _split(4), "test": _split(4), split: _split(3, ("dog", "cat"), [0, 0, 1])})
    assert opened.class_names == NAMES
    assert {each.name: each.labels.tolist() for each in opened.splits}[split] == [1, 1, 0]


def test_names_that_look_the_same_are_the_same() -> None:
    opened = _open({"train": _split(4, ("caf\u00e9", "tea")), "test": _split(2, ("cafe\u0301", "tea"))})
    assert opened.class_names == ("caf\u00e9", "tea")


@pytest.mark.parametrize(
    ("split", "names", "reason"),
    [
        ("test", ("cat",), "class 'dog' only in train"),
        ("test", ("cat", "dog", "emu"), "class 'emu' only in test"),
        ("val", ("cat", "emu"), "class 'emu' only in val"),
        ("test", ("cat", "dog", "cat"), "two classes are called 'cat'"),
    ],
)
def test_other_classes_are_refused(split: str, names: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UnusableError, match=f"the classes of train and {split} differ: {reason}$"):
        _open({"train": _split(4), "test": _split(4), split: _split(4, names)})


def test_a_validation_split_may_lack_classes() -> None:
    opened = _open({"train": _split(4), "val": _split(2, ("dog",)), "test": _split(4)})
    assert opened.splits[1].labels.tolist() == [1, 1]
    assert opened.notes == ("class 'cat' without any val image",)


def test_a_layout_that_is_not_taken_is_named() -> None:
    splits = {"train": _split(4), "test": _split(4)}
    assert _open(splits, unused=("zoo/idx",)).notes == ("opened as toys/toy; the folder also looks like zoo/idx",)


class Broken:
    """An image set whose own code looks for an attribute that is not there."""

    class_names = NAMES
    image = images = None

    @property
    def labels(self) -> Any:
        return self.rows  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([1, 2], 'open(split="train") returned list, which has no labels; it must return an ImageSet, with labels, '
        "class_names, and image(i) or images(index)"),
        (SimpleNamespace(labels=[0, 1]), "returned SimpleNamespace, which has no class_names; it must"),
        (SimpleNamespace(labels=[0, 1], class_names=NAMES), "which has no image or images; it must"),
        (Broken(), "plugin toys failed: AttributeError: 'Broken' object has no attribute 'rows'"),
    ],
    ids=["list", "no class names", "no images", "an error of its own"],
)  # fmt: skip
def test_what_is_no_image_set_is_told_by_what_it_lacks(given: Any, words: str) -> None:
    with pytest.raises(UnusableError) as caught:
        _open({"train": given})
    assert words in str(caught.value)
