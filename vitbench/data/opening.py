"""Open both splits of a dataset and check what a plugin gave, before anything is written.

Shapes: N images in a split, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitbench import contract
from vitbench.data.geometry import channels_come_last
from vitbench.data.locate import Located
from vitbench.errors import UnusableError, VitbenchError, error_of, reason_of
from vitbench.protocols import ImageSet
from vitbench.specs import load_target

__all__ = [
    "OpenedSet",
    "OpenedSplit",
    "Pixels",
    "Unreadable",
    "absent_classes",
    "check_class_count",
    "fault",
    "open_splits",
    "refuses",
]

SplitName = Literal["train", "test"]
Pixels = NDArray[np.uint8] | NDArray[np.uint16]


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

    def read(self, rows: Sequence[int]) -> Iterator[Pixels | Unreadable]:
        """Yield uint8 or uint16[C, H, W] for each row, or that it cannot be read; several threads call this at once.

        Raises ValueError for anything else, and what the plugin raises but ValueError and OSError.
        """
        batch = self._batch(rows)
        for position, row in enumerate(rows):
            try:
                image = np.asarray(self._one(row) if batch is None else batch[position])
            except (ValueError, OSError) as error:
                reason = " ".join(str(error).encode("utf-8", "backslashreplace").decode().split())  # odd file names
                yield Unreadable(row=row, reason=reason or type(error).__name__)
                continue
            known = image.dtype.char in "BH" and image.ndim == 3 and 0 not in image.shape  # uint8, uint16
            if not known or channels_come_last(image.shape):
                raise self._no_image(row, image)
            yield image

    @property
    def conversions(self) -> dict[str, int]:
        """What the plugin says of the images that it has read: how many are what, in words."""
        return dict(getattr(self.images, "conversions", {}))

    def _batch(self, rows: Sequence[int]) -> Any:
        """Return images together, where they are offered so and all can be read."""
        source: Any = self.images
        try:
            return source.images(np.asarray(rows, dtype=np.int64)) if hasattr(source, "images") else None
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
    """Both splits of a dataset, with what holds for both."""

    train: OpenedSplit
    test: OpenedSplit
    class_names: tuple[str, ...]
    verified: bool
    """False where the plugin says that the files are not the published ones."""
    notes: tuple[str, ...]
    """Sentences that the user should read."""


def open_splits(located: Located) -> OpenedSet:
    """Open the train and the test split and check labels and class names.

    Raises:
        UnusableError: it is not there, cannot be downloaded, or cannot be used; one line with name, place and remedy.
    """
    train, test = (_open(located, name) for name in ("train", "test"))
    class_names = tuple(str(name) for name in train.images.class_names)
    _check_same_classes(located, class_names, tuple(str(name) for name in test.images.class_names))
    check_class_count(located, class_names)
    present = np.unique(train.labels)
    if len(present) < 2:
        raise fault(located, f"all training images are of one class, {class_names[present[0]]!r}; two are needed")
    notes: dict[str, None] = {}
    for split in (train, test):
        notes |= dict.fromkeys(getattr(split.images, "notes", ()))
        notes |= dict.fromkeys(absent_classes(class_names, split.labels, split.name))
    verified = all(getattr(split.images, "verified", True) for split in (train, test))
    return OpenedSet(train=train, test=test, class_names=class_names, verified=verified, notes=tuple(notes))


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
    return UnusableError(f"dataset {located.title}{place}: {' '.join(str(reason).split())}")


def check_class_count(located: Located, class_names: Sequence[str]) -> None:
    """Raise UnusableError for fewer than two classes, or for other than the dataset of that name has."""
    if len(class_names) < 2:
        raise fault(located, f"has one class only, {class_names[0]!r}; two are needed" if class_names else "no classes")
    if located.classes not in (None, len(class_names)):
        raise fault(
            located,
            f"has {len(class_names)} classes, but {located.name} has {located.classes}; give these data another name",
        )


def _open(located: Located, name: SplitName) -> OpenedSplit:
    remedy = f"say where it lies with --data {located.name}=PATH"
    try:
        images = contract.call(
            load_target(located.spec.open),
            {"root": located.root, "split": name, "download": located.download},
            located.options,
        )
        labels, classes = np.asarray(images.labels), len(images.class_names)
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
        raise fault(located, f"{reason}; several labels per image are not measured yet")
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        raise fault(located, f"{name} labels must be integers of shape [N], not {labels.dtype}{list(labels.shape)}")
    if not len(labels):
        raise fault(located, f"there are no {name} images")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        first = wrong[0]
        raise fault(located, f"{name} image {first} has label {labels[first]}, which is not in 0..{classes - 1}")
    return OpenedSplit(name=name, images=images, labels=labels.astype(np.int64))


def _check_same_classes(located: Located, train: tuple[str, ...], test: tuple[str, ...]) -> None:
    if train == test:
        return
    only = [
        f"{_listed(extra)} only in {where}"
        for extra, where in ((sorted({*train} - {*test}), "train"), (sorted({*test} - {*train}), "test"))
        if extra
    ]
    first = next((k for k, (a, b) in enumerate(zip(train, test, strict=False)) if a != b), min(len(train), len(test)))
    order = f"class {first} is not the same"
    raise fault(located, f"the classes of train and test differ: {', '.join(only) or order}")


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{'class' if len(names) == 1 else 'classes'} {shown}{more}"
