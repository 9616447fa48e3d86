"""Checks of datasets: a good one passes them all, and each bad one is caught by the check that names its fault."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vitbench.catalog.plugin_files import load_file, read_files
from vitbench.specs import DatasetSpec
from vitbench.testing import DatasetCase, Outcome, checks_for, datasets, opening, run_checks

_numbers = itertools.count()
DECLARED = {"classes": 3, "shape": (3, 4, 4), "sizes": {"train": 30, "test": 12}}


@dataclass
class Images:
    """One split of a sound dataset of three classes."""

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
    """A dataset that offers image(i) alone, of any size."""

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
        "check_dataset_batches_agree": "it offers only image(i)",
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


class OneFile(Images):
    """Has one position, as an open file has; somebody may move it before it is read from."""

    at = 0

    def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([self.image(int(i)) for i in index])

    def image(self, i: int) -> NDArray[np.uint8]:
        self.at = i
        time.sleep(0.0002)
        return self.pixels[self.at]


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
        "train has 30 images, but the spec says 31",
        sound,
        {"sizes": {"train": 31, "test": 12}},
    ),
    "another count of classes": (
        "check_dataset_sizes",
        "train has 3 classes, but the spec says 4",
        sound,
        {"classes": 4},
    ),
    "another shape": (
        "check_dataset_sizes",
        "train image 0 is [3, 4, 4], but the spec says [1, 4, 4]",
        sound,
        {"shape": (1, 4, 4)},
    ),
    "cannot be opened": (
        "check_dataset_opens",
        'open(split="train") raised ValueError: the archive is damaged (test_datasets.py, line ',
        broken,
        {},
    ),
    "no labels": ("check_dataset_opens", "raised TypeError", changed(labels=None), {}),
    "empty": (
        "check_dataset_opens",
        'open(split="test") returned 0 images',
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
        "train image 0 is [8, 8, 3]; it must be [channels, height, width]",
        lambda split: replace(
            sound(split), pixels=np.random.default_rng(len(split)).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
        ),
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
        "train and test have different class names",
        in_test(lambda one: {"class_names": ("b", "a", "c")}),
        {},
    ),
    "numbers for names": (
        "check_dataset_class_names",
        "must be two or more strings, not [0, 1, 2]",
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
    "one image in val and test": (
        "check_dataset_splits_disjoint",
        "12 of 12 test images are in val, too, such as test 0, val 0",
        sound,
        {"splits": ("train", "val", "test")},
    ),
    "other names in val": (
        "check_dataset_class_names",
        "train and val and test have different class names",
        lambda split: (
            replace(sound(split), class_names=("a", "c", "b"), pixels=255 - sound(split).pixels)
            if split == "val"
            else sound(split)
        ),
        {"splits": ("train", "val", "test")},
    ),
    "no split at all": (
        "check_dataset_opens",
        "open returned None for every split; raise FileNotFoundError if there is nothing",
        lambda split: None,
        {},
    ),
    "a list": (
        "check_dataset_opens",
        'open(split="train") returned list, which has no labels; it must return an ImageSet',
        lambda split: [sound(split)],
        {},
    ),
    "labels in another order": (
        "check_dataset_order_stable",
        "the labels of train are in a different order when opened again",
        lambda split: Shuffling(split, labels=True),
        {},
    ),
    "images in another order": (
        "check_dataset_order_stable",
        "the images of train differ when opened again",
        lambda split: Shuffling(split, labels=False),
        {},
    ),
    "one open file for all": (
        "check_dataset_threads_agree",
        "differs when 8 threads read at once; share no open file and no other state",
        of(OneFile),
        {},
    ),
    "batches that are sorted": (
        "check_dataset_batches_agree",
        "train image 29 differs between a",
        of(SortsRows),
        {},
    ),
    "two decoders": ("check_dataset_batches_agree", "differs between a batch and alone", of(TwoDecoders), {}),
}


@pytest.mark.parametrize("case", BAD)
def test_each_bad_data_set_is_caught_by_name_and_fails_no_other_check(case: str) -> None:
    check, words, make, fields = BAD[case]
    found = failed(run(make, **fields))
    assert list(found) == [check]
    assert words in found[check]


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
    root.mkdir(exist_ok=True)
    raise FileNotFoundError(root)


def writes_beside(*, root: Path, split: str, download: bool) -> Images:
    root.with_name("cache.bin").touch()
    raise FileNotFoundError(root)


def a_bug(*, root: Path, split: str, download: bool) -> Images:
    raise ValueError(f"invalid literal for int() with base 10: '{split}'")


def no_words(*, root: Path, split: str, download: bool) -> Images:
    raise ValueError if root.exists() else FileNotFoundError


def expects_a_file(*, root: Path, split: str, download: bool) -> Images:
    next(iter(root.iterdir())).read_text()
    return sound(split)


def careless_of_test(*, root: Path, split: str, download: bool) -> Images:
    if split == "test":
        return sound(split)
    raise FileNotFoundError(root)


@pytest.mark.parametrize(
    ("open_split", "words"),
    [
        (
            key_error,
            "open(split=\"train\") where there is no folder raised KeyError: 'train' (test_datasets.py",
        ),
        (invents, 'open(split="train") where there is no folder found images; raise FileNotFoundError'),
        (makes_folder, 'open(split="train") where there is no folder and download=False created data; write nothing'),
        (writes_beside, 'open(split="train") where there is no folder and download=False created cache.bin; write'),
        (a_bug, 'open(split="train") where there is no folder raised ValueError: invalid literal for int() with'),
        (no_words, 'open(split="train") of an empty folder raised ValueError'),
        (expects_a_file, 'open(split="train") of an empty folder raised StopIteration'),
        (careless_of_test, 'open(split="test") where there is no folder found images'),
    ],
)
def test_what_open_does_where_there_is_nothing(open_split: Open, words: str) -> None:
    outcome = run_with_files(open_split)["check_dataset_missing"]
    assert outcome.status == "failed"
    assert outcome.reason.startswith(words)


def test_an_empty_folder_may_be_refused_by_a_sentence() -> None:
    def layout(*, root: Path, split: str, download: bool) -> Images:
        raise ValueError(f"no images in {list(root.iterdir())}, looked for png")

    assert run_with_files(layout)["check_dataset_missing"].status == "passed"


# Opened more than once ------------------------------------------------------------------------------------------------

MODULE = """
import numpy as np

class Images:
    def __init__(self, split, class_names):
        seed, count = (0, 30) if split == "train" else (1, 12)
        self.class_names = class_names
        self.labels = np.arange(count) % 10
        self.pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, 4, 4), dtype=np.uint8)

    def images(self, index):
        return self.pixels[index]

def open_sorted(*, root, split, download):
    print("hello")
    return Images(split, sorted({f"class {k}" for k in range(10)}))

def open_set(*, root, split, download):
    return Images(split, list({f"class {k}" for k in range(10)}))

def open_shuffled(*, root, split, download):
    images = Images(split, [f"class {k}" for k in range(10)])
    images.labels = np.random.permutation(images.labels)
    return images
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"dataset_fake_{next(_numbers)}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.mark.process
@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("open_sorted", ""),
        ("open_set", "the class names of train are in a different order when opened again; sort them"),
        ("open_shuffled", "the labels of train are in a different order when opened again; sort, or fix the seed"),
    ],
)
def test_a_data_set_is_opened_in_two_processes(function: str, words: str, module: str) -> None:
    spec = DatasetSpec(name="set", open=f"{module}:{function}", summary="A set", needs_root=False)
    checks = checks_for("mine/set", DatasetCase(spec=spec))
    (outcome,) = run_checks([check for check in checks if check.name == "check_dataset_order_stable"])
    assert outcome.reason == words
    assert outcome.status == ("failed" if words else "passed")


@pytest.mark.process
def test_a_plugin_in_one_file_is_found_by_the_other_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one_file_set.py"
    path.write_text(MODULE)
    load_file(read_files([path])[0])
    case = DatasetCase(spec=DatasetSpec(name="set", open="one_file_set:open_sorted", summary="A set", needs_root=False))
    here = tmp_path / "here"
    here.mkdir()
    (here / "one_file_set.py").write_text(MODULE.replace("open_sorted", "open_other"))  # of the same name
    monkeypatch.chdir(here)
    found = opening.seen_elsewhere(case)
    assert found["test"] == opening.seen(opening.open_split(case, "test"))
    monkeypatch.syspath_prepend(str(here))
    assert opening.seen_elsewhere(case) == found
    monkeypatch.delitem(sys.modules, "one_file_set")


def test_the_checks_of_a_case_share_what_was_opened() -> None:
    opened: list[str] = []

    def make(split: str) -> Images:
        opened.append(split)
        return sound(split)

    assert failed(run(make)) == {}
    assert opened == ["train", "test", "train", "test"]  # for all checks, and again for the order


def test_a_data_set_that_takes_a_lock_may_share_a_file() -> None:
    class Locked(OneFile):
        lock = threading.Lock()

        def image(self, i: int) -> NDArray[np.uint8]:
            with self.lock:
                return super().image(i)

    assert failed(run(of(Locked), only="check_dataset_threads_agree")) == {}


def test_every_check_has_a_bad_data_set() -> None:
    names = {
        check.name for check in checks_for("set", DatasetCase(spec=DatasetSpec(name="s", open=invents, summary="x")))
    }
    assert {check for check, *_ in BAD.values()} | {"check_dataset_missing"} == names


@pytest.mark.parametrize("root", [None, "."])
def test_a_set_that_cannot_be_imported_fails_once_with_files_and_without(root: str | None) -> None:
    spec = DatasetSpec(name="set", open="no_such_package:open", summary="A set")
    case = DatasetCase(spec=spec, root=None if root is None else Path(root))
    found = failed({one.check: one for one in run_checks(checks_for("mine/set", case))})
    assert list(found) == ["check_dataset_opens"]
    assert found["check_dataset_opens"].startswith("cannot import no_such_package:open")


def test_a_set_is_opened_with_its_options() -> None:
    folds: list[int] = []

    def opens(*, split: str, fold: int) -> Images:
        folds.append(fold)
        return sound(split)

    spec = DatasetSpec(name="set", open=opens, summary="A set", needs_root=False, options={"fold": 2})
    assert not failed({one.check: one for one in run_checks(checks_for("mine/set", DatasetCase(spec=spec)))})
    assert set(folds) == {2}
    run_checks(checks_for("mine/set", DatasetCase(spec=spec, options={"fold": 3})))
    assert set(folds) == {2, 3}


def test_images_of_many_channels_are_images_and_a_mix_of_them_is_none() -> None:
    def spectral(channels: int) -> NDArray[np.uint8]:
        return np.random.default_rng(channels).integers(0, 256, (30, channels, 8, 8), dtype=np.uint8)

    def of_channels(train: int, test: int) -> Callable[[str], Images]:
        return lambda split: replace(
            sound(split), pixels=spectral(train if split == "train" else test)[: len(sound(split).labels)]
        )

    assert failed(run(of_channels(6, 6), only="check_dataset_images")) == {}
    assert failed(run(of_channels(3, 1), only="check_dataset_images")) == {}
    assert failed(run(of_channels(3, 6), only="check_dataset_images")) == {
        "check_dataset_images": "images have 3 and 6 channels; give one number"
    }


def test_of_a_large_split_some_images_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    class Watched(Images):
        def images(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
            read.extend(index.tolist())
            return super().images(index)

    monkeypatch.setattr(datasets, "MOST_BYTES", 5 * 48)
    assert failed(run(of(Watched), only="check_dataset_splits_disjoint")) == {}
    assert read[-12:] == [0, 0, 7, 14, 21, 29, 0, 0, 2, 5, 8, 11]


def test_a_data_set_whose_module_is_not_installed_is_skipped() -> None:
    assert {one.status for one in run(sound, requires=("no_such_module_anywhere",), **DECLARED).values()} == {"skipped"}
