"""Open the splits of a dataset, check what a plugin gave, and settle which split serves what.

Nothing is written here.

Shapes: N images in a split, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import inspect
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitbench import contract
from vitbench.data.geometry import channels_come_last
from vitbench.data.locate import Located
from vitbench.data.splits import SPLIT_SEED, single_image_note, stratified_split
from vitbench.errors import UnusableError, VitbenchError, error_of, reason_of
from vitbench.printable import whole
from vitbench.protocols import ImageSet
from vitbench.specs import SplitName, load_target

__all__ = [
    "NONE_TRAINED",
    "OpenedSet",
    "OpenedSplit",
    "Pixels",
    "Unreadable",
    "absent_classes",
    "check_class_count",
    "fault",
    "no_image_set",
    "open_splits",
    "refuses",
]

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
MOST_CLASSES = 1_000_000
"""A head for more would not fit beside any backbone: such labels are not classes."""
TEST_SHARE = 0.2
"""The share of the images that is held out where data that a model learns from have no test split."""
NONE_TRAINED = "no test split, and no model is trained"
"""What the note begins with that says that all images are scored; of a run that scores nothing it is not shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """An image that cannot be read."""

    row: int
    reason: str
    """One line that names it, as its plugin says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedSplit:
    """One split whose labels were checked; its images are still to be read."""

    name: SplitName
    images: ImageSet
    labels: NDArray[np.int64]
    """int64[N], each in 0..K-1."""
    rows: NDArray[np.int64] | None = None
    """int64[N], the rows of `images` that it has; None: all."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """K names, as these images have them, composed (NFC): one name that two systems spell otherwise is one."""
        return tuple(unicodedata.normalize("NFC", whole(str(name))) for name in self.images.class_names)

    def only(self, rows: NDArray[np.int64], name: SplitName) -> OpenedSplit:
        """Return a split of some of the images, all rows of which are still there."""
        return replace(self, name=name, labels=self.labels[rows], rows=rows)

    def read(self, rows: Sequence[int]) -> Iterator[Pixels | Unreadable]:
        """Yield uint8 or uint16[C, H, W] for each row, or that it cannot be read; several threads call this at once.

        Raises ValueError for anything else, and what the plugin raises but ValueError and OSError.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        if self.rows is not None:
            wanted = self.rows[wanted]
        batch = self._batch(wanted)
        for position, row in enumerate(rows):
            try:
                image = np.asarray(self._one(int(wanted[position])) if batch is None else batch[position])
            except (ValueError, OSError) as error:
                reason = " ".join(whole(str(error)).split())
                yield Unreadable(row=row, reason=reason or type(error).__name__)
                continue
            known = image.dtype.char in "BH" and image.ndim == 3 and 0 not in image.shape  # uint8, uint16
            if not known or channels_come_last(image.shape):
                raise self._no_image(row, image)
            yield image

    @property
    def names(self) -> list[str] | None:
        """What each image is called, such as the path of its file; None where the plugin does not say."""
        given = getattr(self.images, "names", None)
        if given is None:
            return None
        names = [whole(str(name)) for name in given]
        return names if self.rows is None else [names[row] for row in self.rows.tolist()]

    @property
    def conversions(self) -> dict[str, int]:
        """What the plugin says of the images that it has read: how many are what, in words."""
        told: dict[Any, int] = getattr(self.images, "conversions", {})
        return {whole(str(words)): count for words, count in told.items()}

    def _batch(self, rows: NDArray[np.int64]) -> Any:
        """Return images together, where they are offered so and all can be read."""
        source: Any = self.images
        try:
            return source.images(rows) if hasattr(source, "images") else None
        except (ValueError, OSError):
            return None

    def _one(self, row: int) -> Any:
        source: Any = self.images
        return source.images(np.array([row]))[0] if hasattr(source, "images") else source.image(row)

    def _no_image(self, row: int, image: NDArray[Any]) -> ValueError:
        return ValueError(
            f"{self.name} image {row} must be uint8 or uint16 of shape [channels, height, width], "
            f"not {image.dtype}{list(image.shape)}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedSet:
    """The splits of a dataset, with what holds for all."""

    splits: tuple[OpenedSplit, ...]
    """Train, val and test in this order, of which test is always there."""
    class_names: tuple[str, ...]
    published: bool | None
    """Whether the plugin says that the files are the published ones; None: it says nothing."""
    notes: tuple[str, ...]
    """Sentences that the user should read."""
    lineage: str = ""
    """Which making of the dataset its files are, as the plugin says; empty: it says nothing."""
    made_test: bool = False
    """Whether the test split is made of images that came without one, and depends on whether a model learns."""


def open_splits(located: Located) -> OpenedSet:
    """Open the splits that a dataset has, settle which serves what, and check labels and class names.

    Without a test split, the validation split is the test split. Without either, a stratified fifth of the training
    images is held out; or all are the test split, where no model learns from them.

    Raises:
        UnusableError: it is not there, cannot be downloaded, or cannot be used; one line with name, place and remedy.
    """
    opened = [_open(located, name) for name in ("train", "val", "test") if name in located.spec.splits]
    given = {split.name: split for split in opened if split}
    if not given:
        raise fault(located, "there are no images")
    notes: dict[str, None] = {}
    for split in given.values():
        notes |= dict.fromkeys(whole(str(note)) for note in getattr(split.images, "notes", ()))
    if located.unused:
        layouts = ", ".join(located.unused)
        notes[f"opened as {located.plugin}/{located.spec.name}; the folder also looks like {layouts}"] = None
    said = [getattr(split.images, "verified", None) for split in given.values()]
    lineages = sorted({whole(str(getattr(split.images, "lineage", ""))) for split in given.values()} - {""})
    published = False if any(each is not None and not each for each in said) else all(said) or None
    splits, made_test, words = _settled(located, given)
    notes |= dict.fromkeys(words)
    class_names = splits[0].class_names
    check_class_count(located, class_names)
    splits = tuple(_with_classes(located, split, splits[0]) for split in splits)
    present = np.unique(splits[0].labels)
    if splits[0].name == "train" and len(present) < 2 and not located.whole:
        raise fault(
            located, f"all training images have the same class, {class_names[present[0]]!r}; at least two are needed"
        )
    for split in splits:
        notes |= dict.fromkeys(absent_classes(class_names, split.labels, split.name))
    return OpenedSet(
        splits=splits,
        class_names=class_names,
        published=published,
        notes=tuple(notes),
        lineage=", ".join(lineages),
        made_test=made_test,
    )


def _settled(
    located: Located, given: dict[SplitName, OpenedSplit]
) -> tuple[tuple[OpenedSplit, ...], bool, tuple[str, ...]]:
    """Return the splits, whether test is made of images that came without one, and what the user should know of it."""
    train, val, test = (given.get(name) for name in ("train", "val", "test"))
    if test is not None and train is None:
        note = "no training split: the validation split is not used" if val else ""
        return (test,), False, tuple(filter(None, [note]))
    if test is not None:
        return tuple(given.values()), False, ()
    if val is not None:
        note = "no test split: the validation split is the test split"
        if train is None:
            return (replace(val, name="test"),), False, (note,)
        return (train, replace(val, name="test")), False, (f"{note}, and validation images are taken from train",)
    assert train is not None
    if located.whole:
        note = f"{NONE_TRAINED}: all {len(train.labels):,} images are scored"
        return (replace(train, name="test"),), True, (note,)
    kept, held_out = stratified_split(train.labels, TEST_SHARE, SPLIT_SEED)
    if not len(held_out):
        raise fault(located, "there is no test split, and with one image per class none can be held out for it")
    notes = (
        f"no test split: one was created here: stratified, seed {SPLIT_SEED}, "
        f"{len(kept):,} training and {len(held_out):,} test images",
        single_image_note(train.labels, train.class_names, held_out="test"),
    )
    return (train.only(kept, "train"), train.only(held_out, "test")), True, tuple(filter(None, notes))


def refuses(located: Located) -> bool:
    """Return whether `open` refuses what is in the folder, by FileNotFoundError or ValueError as its contract says.

    What else goes wrong is for `open_splits` to tell.
    """
    try:
        open_splits(located)
    except VitbenchError as error:
        return isinstance(error.__cause__, (FileNotFoundError, ValueError))
    return False


def absent_classes(class_names: Sequence[str], labels: NDArray[np.int64], split: str) -> list[str]:
    """Return a sentence that names the classes without an image in a split, or none."""
    absent = np.setdiff1d(np.arange(len(class_names)), labels)
    return [f"{_listed([class_names[k] for k in absent])} without any {split} image"] if len(absent) else []


def fault(located: Located, reason: object) -> UnusableError:
    """Return the error that says, in one line, which dataset in which place cannot be used, and why."""
    place = f" in {located.root}" if located.root else ""
    return UnusableError(f"dataset {located.title}{place}: {' '.join(whole(str(reason)).split())}")


def check_class_count(located: Located, class_names: Sequence[str]) -> None:
    """Raise UnusableError for fewer than two classes or far too many, or for other than the named dataset has."""
    if len(class_names) > MOST_CLASSES:
        raise fault(located, f"has {len(class_names):,} classes; at most {MOST_CLASSES:,} can be told apart")
    if len(class_names) < 2:
        raise fault(
            located, f"has only one class, {class_names[0]!r}; at least two are needed" if class_names else "no classes"
        )
    if located.classes not in (None, len(class_names)):
        raise fault(
            located,
            f"has {len(class_names)} classes, but {located.name} has {located.classes}; give this data another name",
        )


def no_image_set(given: object, split: SplitName) -> str:
    """Return what is wrong with what `open` returned if it is no `ImageSet`, such as a list; else an empty text."""
    lacking = [name for name in ("labels", "class_names") if not _has(given, name)]
    if not _has(given, "image") and not _has(given, "images"):
        lacking.append("image or images")
    if not lacking:
        return ""
    return (
        f'open(split="{split}") returned {type(given).__name__}, which has no {lacking[0]}; it must return an '
        "ImageSet, with labels, class_names, and image(i) or images(index)"
    )


def _has(given: object, name: str) -> bool:
    """Return whether an object has an attribute; a property counts whose own code raises AttributeError."""
    return inspect.getattr_static(given, name, given) is not given or hasattr(given, name)


def _open(located: Located, name: SplitName) -> OpenedSplit | None:
    """Return a split whose labels are in order; None where the files have no such split."""
    remedy = f"give its location with --data {quote(located.name)}=PATH"
    try:
        images = contract.call(
            load_target(located.spec.open),
            {"root": located.root, "split": name, "download": located.download},
            located.options,
            later={"classes": located.classes},
        )
        if images is None:
            return None
        if lack := no_image_set(images, name):
            raise ValueError(lack)
        labels, classes = np.asarray(images.labels), len(images.class_names)
        names = getattr(images, "names", None)
        named = len(labels) if names is None else len(names)
    except VitbenchError as error:
        raise error_of(error.exit_code, f"dataset {located.title}: {reason_of(error)}") from error
    except FileNotFoundError as error:
        raise fault(located, f"not found ({error}); {remedy}") from error
    except ValueError as error:
        raise fault(located, error) from error
    except OSError as error:
        # With a download under way the likeliest cause is the network: URLError and time-outs are OSErrors.
        reason = f"cannot be downloaded ({error}); {remedy}" if located.download else error
        raise fault(located, reason) from error
    except Exception as error:
        raise fault(located, f"plugin {located.plugin} failed: {type(error).__name__}: {error}") from error
    if labels.ndim == 2:
        kind = f"{labels.dtype}{list(labels.shape)}"
        reason = f"{name} labels must be int64[N], one class each, not {kind}"
        raise fault(located, f"{reason}; several labels per image are not supported yet")
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        raise fault(located, f"{name} labels must be integers of shape [N], not {labels.dtype}{list(labels.shape)}")
    if not len(labels):
        raise fault(located, f"there are no {name} images")
    if named != len(labels):
        raise fault(located, f"{named:,} names for {len(labels):,} {name} images; name all images, or none")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        first = wrong[0]
        raise fault(located, f"{name} image {first} has label {labels[first]}, which is not in 0..{classes - 1}")
    return OpenedSplit(name=name, images=images, labels=labels.astype(np.int64))


def _with_classes(located: Located, split: OpenedSplit, first: OpenedSplit) -> OpenedSplit:
    """Return a split with the labels that its classes have in the first split: what counts is a class's name.

    Raises:
        UnusableError: the names do not agree. A validation split, which only guides choices, may lack classes.
    """
    wanted, names = first.class_names, split.class_names
    if names == wanted:
        return split
    only = [
        f"{_listed(extra)} only in {where}"
        for extra, where in (
            (sorted({*wanted} - {*names}) if split.name != "val" else [], first.name),
            (sorted({*names} - {*wanted}), split.name),
        )
        if extra
    ]
    twice = [name for some in (wanted, names) for name in some if some.count(name) > 1]
    if only or twice:
        reason = ", ".join(only) or f"two classes are called {twice[0]!r}"
        raise fault(located, f"the classes of {first.name} and {split.name} differ: {reason}")
    place = {name: label for label, name in enumerate(wanted)}
    return replace(split, labels=np.array([place[name] for name in names], dtype=np.int64)[split.labels])


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{'class' if len(names) == 1 else 'classes'} {shown}{more}"
