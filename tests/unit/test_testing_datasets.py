"""Checks of data sets: a good one passes them all, and each bad one is caught by the check that names its fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vitbench.specs import DatasetSpec
from vitbench.testing import DatasetCase, Outcome, checks_for, datasets, run_checks

DECLARED = {"classes": 3, "shape": (3, 4, 4), "sizes": {"train": 30, "test": 12}}


@dataclass
class Images:
    """One split of a sound data set of three classes."""

    labels: Any
    pixels: NDArray[np.uint8]
    class_names: Any = ("a", "b", "c")
    reads: list[int] = field(default_factory=list)

    def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.pixels[index]

    def image(self, i: int) -> NDArray[np.uint8]:
        return self.pixels[i]


def sound(split: str) -> Images:
    count, seed = (30, 0) if split == "train" else (12, 1)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, 4, 4), dtype=np.uint8)
    return Images(labels=np.arange(count) % 3, pixels=pixels)


Open = Callable[..., Any]


def run(make: Callable[[str], Any], *, only: str = "", **fields: Any) -> dict[str, Outcome]:
    def open_split(*, root: Path | None, split: str, download: bool) -> Any:
        assert not download
        return make(split)

    spec = DatasetSpec(name="set", open=open_split, summary="A set", **{"needs_root": False, **fields})
    checks = checks_for("mine/set", DatasetCase(spec=spec))
    return {one.check: one for one in run_checks([check for check in checks if only in ("", check.name)])}


def failed(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.reason for name, outcome in outcomes.items() if outcome.status == "failed"}


class OneByOne:
    """A data set that offers image(i) alone, of any size."""

    def __init__(self, split: str) -> None:
        whole = sound(split)
        self.labels, self.class_names, self.pixels = whole.labels, whole.class_names, whole.pixels

    def image(self, i: int) -> NDArray[np.uint8]:
        return self.pixels[i][:, : 1 + i % 4]


def test_a_good_data_set_passes_all() -> None:
    outcomes = run(sound, **DECLARED)
    assert failed(outcomes) == {}
    assert {name for name, one in outcomes.items() if one.status == "skipped"} == {"check_dataset_missing"}


def test_one_that_gives_images_alone_passes_all() -> None:
    outcomes = run(OneByOne)
    assert failed(outcomes) == {}
    assert {name: one.reason for name, one in outcomes.items() if one.status == "skipped"} == {
        "check_dataset_missing": "it reads no files",
        "check_dataset_sizes": "it declares neither classes nor shape nor sizes",
        "check_dataset_batches_agree": "it offers image(i) alone",
    }


def changed(**values: Any) -> Callable[[str], Images]:
    return lambda split: replace(sound(split), **values)


def in_test(change: Callable[[Images], dict[str, Any]]) -> Callable[[str], Images]:
    return lambda split: sound(split) if split == "train" else replace(sound(split), **change(sound(split)))


class Shuffling:
    """Comes in another order each time that it is opened."""

    opened = 0

    def __init__(self, split: str, *, labels: bool) -> None:
        Shuffling.opened += 1
        whole = sound(split)
        rows = np.roll(np.arange(len(whole.labels)), Shuffling.opened)
        self.labels = whole.labels[rows] if labels else whole.labels
        self.class_names, self.pixels = whole.class_names, whole.pixels[rows]

    def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.pixels[index]


class SortsRows(Images):
    def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.pixels[np.sort(index)]


class TwoDecoders(Images):
    def image(self, i: int) -> NDArray[np.uint8]:
        return self.pixels[i][::-1]


class Unreadable(Images):
    def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        raise OSError("truncated file")


def of(kind: type[Images]) -> Callable[[str], Images]:
    return lambda split: kind(labels=sound(split).labels, pixels=sound(split).pixels)


def broken(split: str) -> Images:
    raise ValueError("the archive is damaged")


BAD: dict[str, tuple[str, str, Callable[[str], Any], dict[str, Any]]] = {
    "fewer images": (
        "check_dataset_sizes",
        "train has 30 images, the spec says 31",
        sound,
        {"sizes": {"train": 31, "test": 12}},
    ),
    "another count of classes": ("check_dataset_sizes", "train has 3 classes, the spec says 4", sound, {"classes": 4}),
    "another shape": (
        "check_dataset_sizes",
        "train image 0 is [3, 4, 4], the spec says [1, 4, 4]",
        sound,
        {"shape": (1, 4, 4)},
    ),
    "cannot be opened": (
        "check_dataset_labels",
        'open(split="train") raised ValueError: the archive is damaged (test_testing_datasets.py, line ',
        broken,
        {},
    ),
    "empty": (
        "check_dataset_images",
        'open(split="test") gave 0 images',
        in_test(lambda one: {"labels": one.labels[:0]}),
        {},
    ),
    "cannot be read": ("check_dataset_images", "raised OSError: truncated file", of(Unreadable), {}),
    "floats": (
        "check_dataset_images",
        "train image 0 is float32; it must be an array of uint8",
        lambda split: replace(sound(split), pixels=sound(split).pixels / np.float32(255)),
        {},
    ),
    "channels last": (
        "check_dataset_images",
        "train image 0 is [4, 4, 3]; it must be [1 or 3, height, width]",
        lambda split: replace(sound(split), pixels=sound(split).pixels.transpose(0, 2, 3, 1)),
        {},
    ),
    "a list of labels": (
        "check_dataset_labels",
        "the labels of train are list",
        lambda split: replace(sound(split), labels=sound(split).labels.tolist()),
        {},
    ),
    "small integers": (
        "check_dataset_labels",
        "the labels of train are int32[30]; they must be an array of int64",
        lambda split: replace(sound(split), labels=sound(split).labels.astype(np.int32)),
        {},
    ),
    "from 1 on": (
        "check_dataset_labels",
        "test image 2 has the label 3, not one of 0..2",
        in_test(lambda one: {"labels": one.labels + 1}),
        {},
    ),
    "other names in test": (
        "check_dataset_class_names",
        "train and test have other class names",
        in_test(lambda one: {"class_names": ("b", "a", "c")}),
        {},
    ),
    "numbers for names": (
        "check_dataset_class_names",
        "must be two or more texts, not [0, 1, 2]",
        changed(class_names=(0, 1, 2)),
        {},
    ),
    "a name twice": (
        "check_dataset_class_names",
        "two classes are called 'a'",
        changed(class_names=("a", "b", "a")),
        {},
    ),
    "a class without test images": (
        "check_dataset_every_class",
        "test has no image of 1 classes, such as 'c'; split class by class",
        in_test(lambda one: {"labels": one.labels % 2}),
        {},
    ),
    "one image in both": (
        "check_dataset_splits_disjoint",
        "1 of 12 test images are in train, too, such as test 11, train 7",
        in_test(lambda one: {"pixels": np.concatenate([one.pixels[:-1], sound("train").pixels[7:8]])}),
        {},
    ),
    "labels in another order": (
        "check_dataset_order_stable",
        "the labels of train come in another order when opened again",
        lambda split: Shuffling(split, labels=True),
        {},
    ),
    "images in another order": (
        "check_dataset_order_stable",
        "train image 0 is another when opened again",
        lambda split: Shuffling(split, labels=False),
        {},
    ),
    "batches that are sorted": ("check_dataset_batches_agree", "train image 29 is another one in a", of(SortsRows), {}),
    "two decoders": ("check_dataset_batches_agree", "is another one in a batch than alone", of(TwoDecoders), {}),
}


@pytest.mark.parametrize("case", BAD)
def test_each_bad_data_set_is_caught_by_name(case: str) -> None:
    check, words, make, fields = BAD[case]
    (outcome,) = run(make, only=check, **fields).values()
    assert (outcome.check, outcome.status) == (check, "failed")
    assert words in outcome.reason


@pytest.mark.parametrize("case", ["fewer images", "from 1 on", "a name twice", "one image in both", "two decoders"])
def test_a_fault_fails_no_other_check(case: str) -> None:
    check, _, make, fields = BAD[case]
    assert set(failed(run(make, **fields))) <= {check, "check_dataset_every_class"}


# Where there are files ------------------------------------------------------------------------------------------------


def run_with_files(open_split: Open, root: Path | None = None) -> dict[str, Outcome]:
    case = DatasetCase(spec=DatasetSpec(name="set", open=open_split, summary="A set"), root=root)
    return {one.check: one for one in run_checks(checks_for("mine/set", case))}


def reads_files(*, root: Path, split: str, download: bool) -> Images:
    assert not download
    if not (root / "here").exists():
        raise FileNotFoundError("nothing here")
    return sound(split)


def test_without_its_files_a_data_set_is_checked_for_saying_so(tmp_path: Path) -> None:
    outcomes = run_with_files(reads_files)
    assert outcomes["check_dataset_missing"].status == "passed"
    assert outcomes["check_dataset_images"].reason == "needs its files: --data set=PATH"
    (tmp_path / "here").touch()
    outcomes = run_with_files(reads_files, tmp_path)
    assert {name for name, one in outcomes.items() if one.status != "passed"} == {"check_dataset_sizes"}


def key_error(*, root: Path, split: str, download: bool) -> Images:
    raise KeyError(split)


def invents(*, root: Path, split: str, download: bool) -> Images:
    return sound(split)


def makes_folder(*, root: Path, split: str, download: bool) -> Images:
    root.mkdir()
    raise FileNotFoundError(root)


@pytest.mark.parametrize(
    ("open_split", "words"),
    [
        (key_error, "open where there is nothing raised KeyError: 'train'"),
        (invents, "open found images in a folder that does not exist"),
        (makes_folder, "open with download=False made its folder"),
    ],
)
def test_what_open_does_where_there_is_nothing(open_split: Open, words: str) -> None:
    outcome = run_with_files(open_split)["check_dataset_missing"]
    assert outcome.status == "failed"
    assert outcome.reason.startswith(words)


def test_every_check_has_a_bad_data_set() -> None:
    names = {
        check.name for check in checks_for("set", DatasetCase(spec=DatasetSpec(name="s", open=invents, summary="x")))
    }
    assert {check for check, *_ in BAD.values()} | {"check_dataset_missing"} == names


def test_of_a_large_split_some_images_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    class Watched(Images):
        def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
            read.extend(index.tolist())
            return super().images(index)

    monkeypatch.setattr(datasets, "MOST_BYTES", 5 * 48)
    assert failed(run(of(Watched), only="check_dataset_splits_disjoint")) == {}
    assert read == [0, 0, 7, 14, 21, 29, 0, 0, 2, 5, 8, 11]


def test_a_data_set_whose_module_is_not_installed_is_skipped() -> None:
    assert {one.status for one in run(sound, requires=("no_such_module_anywhere",), **DECLARED).values()} == {"skipped"}
