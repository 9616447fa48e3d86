"""Folders of images, one for each class: the layout of ImageNet and of most people's own data.

``train/<class>/*`` with ``test/<class>/*``, ``val/<class>/*`` or both, any of these alone, or ``<class>/*``, which
is not split. Splits may have other usual names (`naming.SPLIT_WORDS`), and all may lie in one outer folder. Images are
files of any format that Pillow reads, of any size and mode; those in sub-folders of a class folder belong to the class.
What is left out is counted in notes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitbench.specs import SplitName

from .decoding import Conversions, Pixels
from .naming import (
    OUTER_FOLDERS,
    SPLITS,
    are_whole_numbers,
    class_name,
    in_class_order,
    is_hidden,
    is_text,
    listed,
    resembles_split,
    split_of,
    split_rank,
)

_NO_PICTURES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
"""Formats that Pillow knows and does not decode by itself."""
_DEEPEST = 3
"""Outer folders that are looked into for a dataset."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFiles:
    """One split of a folder of images."""

    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    """int64[N]"""
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    names: tuple[str, ...]
    """The path of each image in the folder of the dataset."""
    lineage: str = ""
    """Where the files come from; empty where nothing says."""
    _seen: Conversions = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_seen", Conversions(len(self.paths)))

    def image(self, i: int) -> Pixels:
        """Return [C, H, W]. Raises ValueError with the path of an unreadable file."""
        return self._seen.decode(i, self.paths[i], name=str(self.paths[i]))

    @property
    def conversions(self) -> dict[str, int]:
        """How many of the images read so far are what, in words."""
        return self._seen.counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where in a folder the splits lie."""

    folders: Mapping[SplitName, Path]
    """The folder of class folders of each split; class folders that are not split are train."""
    is_split: bool
    """Whether the folders' names say so."""
    unused: tuple[str, ...] = ()
    """What else holds images beside them, with the reason."""


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """What a split's folder holds beside the images that are taken."""

    suffixes: Counter[str] = field(default_factory=Counter)
    """Files of no known image format."""
    reasons: Counter[str] = field(default_factory=Counter)
    deeper: Counter[str] = field(default_factory=Counter)
    """Images that are taken, by the sub-folder of a class folder that they lie in."""

    def notes(self, where: str) -> Iterator[str]:
        """Give a sentence on what is left out, and one on what was taken from sub-folders."""
        kinds = [f"{count:,} {suffix}" for suffix, count in self.suffixes.most_common()]
        parts = [f"in image formats that this Pillow cannot read ({listed(kinds)})"] if kinds else []
        parts += [f"{reason} ({count:,})" for reason, count in sorted(self.reasons.items()) if count]
        if parts:
            yield f"files left out in {where}: {', '.join(parts)}"
        if self.deeper:
            folders = [f"{count:,} in {folder}" for folder, count in sorted(self.deeper.items())]
            yield f"images in subfolders of class folders of {where} belong to the class: {listed(folders)}"


def detect(root: Path) -> bool:
    """Whether there is an image in a class folder of `root`, or of a split in it.

    Not where Parquet files hold the dataset: a hub's repository has folders of previews and figures beside them. Nor
    where lists name its images.
    """
    from . import file_list, parquet

    return holds_images(root) and not file_list.detect(root) and not parquet.detect(root)


def has_splits(root: Path) -> bool:
    """Whether class folders of several splits are there, so that nothing else need say what is to be judged on."""
    try:
        layout = find_layout(root)
    except ValueError:
        return False
    return layout.is_split and len(layout.folders) > 1


def holds_images(root: Path) -> bool:
    """Whether there is an image in a class folder of `root`, or of a split in it, whatever lies beside."""
    try:
        return bool(find_layout(root).folders)
    except ValueError:  # images are there, and `open_folder` says what is wrong
        return True


def open_folder(*, root: Path, split: SplitName, download: bool = False) -> ImageFiles | None:
    """Return one split, or None where there is no such folder; class folders that are not split are train.

    Raises:
        FileNotFoundError: `root` does not exist.
        ValueError: there is no image in a class folder of it, or it cannot be told what its folders are.
    """
    layout = find_layout(root)
    if not layout.folders:
        raise ValueError("there are no images in class folders (<class>/*), nor in train/, val/ or test/")
    if split not in layout.folders:
        return None
    images = _scan(layout.folders[split], root, (_described(layout, root),))
    if len(images.class_names) == 1 and images.class_names[0].casefold() in OUTER_FOLDERS:
        raise ValueError(
            f"{images.class_names[0]}/ contains images without labels; put them into class folders (<class>/*), "
            "or add a table (labels.csv with the columns path and label)"
        )
    return images


def _described(layout: Layout, root: Path) -> str:
    """Return a sentence on the layout, which is the same for all splits."""
    if layout.is_split:
        found = "layout folder: " + ", ".join(f"{s} from {_shown(layout.folders[s], root)}" for s in layout.folders)
    else:
        found = f"layout folder: class folders in {_shown(layout.folders['train'], root)}, not split"
    unused = [*layout.unused]
    loose = sum(is_image(path.name) and path.is_file() for path in root.iterdir())
    if loose and root not in layout.folders.values():  # there `_scan` counts them
        unused.append(f"{loose:,} {'image' if loose == 1 else 'images'} in no folder")
    return found + (f"; not used: {listed(unused)}" if unused else "")


def _shown(folder: Path, root: Path) -> str:
    return f"{root.name if folder == root else folder.relative_to(root).as_posix()}/"


# --- where the splits lie --------------------------------------------------------------------------------------------


def find_layout(root: Path, depth: int = 0) -> Layout:
    """Return where the splits lie in `root`; no folder where it contains no images in folders.

    Raises:
        FileNotFoundError: `root` does not exist.
        ValueError: it holds images, and what its folders are cannot be told; the sentence says what to do.
    """
    folders = folders_in(root)
    if broken := [path.name for path in root.iterdir() if split_of(path.name) and not path.exists()]:
        raise ValueError(f"{listed(broken)} is a broken link")
    found = _splits_in(root, folders)
    if found is not None:
        return found
    held = {folder: _holds(folder) for folder in folders}
    held = {folder: what for folder, what in held.items() if what}
    if depth < _DEEPEST and any(what == "folders" for what in held.values()):
        inner = {folder: layout for folder in held if (layout := _splits_in(folder, folders_in(folder)))}
        if len(inner) > 1:
            names = listed([f"{folder.name}/" for folder in inner])
            raise ValueError(f"it contains several datasets, {names}; give the folder of one of them")
        if inner:
            [(folder, layout)] = inner.items()
            return _beside(layout, [other for other in folders if other != folder])
        if len(held) == 1:  # an outer folder, as archives are unpacked into one of their name
            [folder] = held
            if any(_holds(inside) for inside in folders_in(folder)):
                return find_layout(folder, depth + 1)
    _refuse_unclear(held)
    return Layout(folders={"train": root} if held else {}, is_split=False)


def _splits_in(base: Path, folders: list[Path]) -> Layout | None:
    """Return the layout of a folder that holds splits with class folders; None where it holds none."""
    named = sorted((f for f in folders if split_of(f.name)), key=lambda folder: split_rank(folder.name))
    if not named:
        return None
    held = {folder: _holds(folder) for folder in named}
    taken: dict[SplitName, Path] = {}
    for folder in named:
        split = split_of(folder.name)
        if held[folder] == "folders" and split is not None:
            taken.setdefault(split, folder)
    if not taken:
        return None
    flat = [folder.name for folder, what in held.items() if what == "images"]
    empty = [folder.name for folder, what in held.items() if not what and split_of(folder.name) == "test"]
    if not {"val", "test"} & {*taken} and (flat or empty):
        what = f"{flat[0]}/ contains images but no class folders" if flat else f"{empty[0]}/ contains no images"
        raise ValueError(f"{what}: put its images into class folders (<class>/*), or remove it")
    layout = Layout(folders={s: _class_base(taken[s]) for s in SPLITS if s in taken}, is_split=True)
    return _beside(layout, [folder for folder in folders if folder not in taken.values()])


def _beside(layout: Layout, others: list[Path]) -> Layout:
    """Return a layout with the folders that lie beside it, if they hold images or have the name of a split."""
    return replace(layout, unused=(*layout.unused, *counted(others, empty_splits=True)))


def counted(folders: Iterable[Path], *, empty_splits: bool = False) -> Iterator[str]:
    """Give the names of folders that hold images, with their number, and perhaps of empty ones that name a split."""
    for folder in folders:
        count = sum(1 for _ in _images(folder, _LeftOut()))
        if count or (empty_splits and split_of(folder.name)):
            yield f"{folder.name}/ ({count:,} {'image' if count == 1 else 'images'})"


def _class_base(split: Path) -> Path:
    """Return the folder of a split's class folders: itself, or the only one in it with the name of an outer folder."""
    inside = {folder: what for folder in folders_in(split) if (what := _holds(folder))}
    if len(inside) == 1:
        [(folder, what)] = inside.items()
        if what == "folders" and folder.name.casefold() in (OUTER_FOLDERS | {split.name.casefold()}):
            return folder
    return split


def _refuse_unclear(held: Mapping[Path, str]) -> None:
    """Raise ValueError where folders that would be taken for classes have the names of splits, or hold splits."""
    named = [folder.name for folder in held if resembles_split(folder.name)]
    if len(named) > 1 and len(named) == len(held):
        if all(map(split_of, named)):
            reason = "contain images but no class folders; put the images into class folders (train/<class>/*)"
        else:
            reason = "are named like splits, not classes; rename them to train, val and test"
        raise ValueError(f"the folders {listed(named)} {reason}")
    for folder, what in held.items():
        if what == "images" and len(held) > 1 and split_of(folder.name) in ("val", "test"):
            others = listed([f"{other.name}/" for other in held if other != folder])
            raise ValueError(
                f"{folder.name}/ contains images but no class folders, next to {others}: "
                "put its images into class folders (<class>/*), or remove it"
            )
    inside = [[f for f in folders_in(folder) if split_of(f.name) and _holds(f)] for folder in held]
    if held and all(inside):
        first = inside[0][0]
        raise ValueError(
            f"splits are inside the class folders ({first.parent.name}/{first.name}/); swap them: "
            f"{first.name}/{first.parent.name}/"
        )


def _holds(folder: Path) -> str:
    """Return "folders" where a folder holds sub-folders with images, "images" where only it does, else nothing."""
    if any(next(_images(inside, _LeftOut()), None) for inside in folders_in(folder)):
        return "folders"
    return "images" if next(_images(folder, _LeftOut()), None) else ""


def folders_in(base: Path) -> list[Path]:
    """Return the folders in a folder that are not hidden."""
    with os.scandir(base) as entries:
        return sorted(Path(entry.path) for entry in entries if not is_hidden(entry.name) and is_folder(entry))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # links that lead round in a circle
        return False


# --- what lies in a split --------------------------------------------------------------------------------------------


def _scan(base: Path, root: Path, notes: tuple[str, ...]) -> ImageFiles:
    left_out, where = _LeftOut(), _shown(base, root)
    files: dict[str, list[Path]] = {}
    renamed: list[str] = []
    for path in base.iterdir():
        if not path.exists():
            left_out.reasons["broken links"] += 1
        elif is_hidden(path.name) and path.is_dir():
            left_out.reasons["images in hidden folders"] += sum(1 for _ in _images(path, _LeftOut()))
        elif not path.is_dir() and is_image(path.name):
            left_out.reasons["images outside any class folder"] += 1
    for folder in folders_in(base):
        name = class_name(folder.name)
        if name in files or not is_text(folder.name):
            renamed.append(name)
        files.setdefault(name, []).extend(sorted(_images(folder, left_out)))
    classes = tuple(in_class_order(name for name, paths in files.items() if paths))
    extra = [*left_out.notes(where)]
    if empty := sorted({*files} - {*classes}):
        extra.append(f"not classes, because they contain no images: {listed(empty)} (in {where})")
    if renamed:
        extra.append(f"folders whose names are encoded differently (not UTF-8, or not composed) are {listed(renamed)}")
    if are_whole_numbers(classes) and list(classes) != sorted(classes):
        first = ", ".join(classes[:3])
        extra.append(f"classes are integers, ordered by value: {first}, ..., {classes[-1]}")
    paths = tuple(path for name in classes for path in files[name])
    start = len(str(root / "x")) - 1  # millions of files: no `relative_to` for each
    return ImageFiles(
        paths=paths,
        labels=np.repeat(np.arange(len(classes)), [len(files[name]) for name in classes]),
        class_names=classes,
        notes=(*notes, *extra),
        names=tuple(str(path)[start:].replace(os.sep, "/") for path in paths),
    )


def _images(folder: Path, left_out: _LeftOut, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield the images in a folder, then those in its sub-folders; tally what is left out."""
    deeper = []
    below_class = folder.relative_to(above[0].parent).as_posix() if above else ""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if is_folder(entry):
                deeper.append(Path(entry.path))
            elif is_hidden(name):
                left_out.reasons["hidden images"] += is_image(name)
            elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110 - as below
                left_out.reasons["broken links"] += 1
            elif not entry.is_file():
                left_out.reasons["no regular files"] += 1
            elif is_image(name):
                if below_class:
                    left_out.deeper[below_class] += 1
                yield Path(entry.path)
            else:
                left_out.suffixes[os.path.splitext(name)[1].lower() or "without a suffix"] += 1  # noqa: PTH122
    for inside in sorted(deeper):
        if is_hidden(inside.name):
            left_out.reasons["images in hidden folders"] += sum(1 for _ in _images(inside, _LeftOut()))
        elif inside.is_symlink() and folder.resolve().is_relative_to(inside.resolve()):
            left_out.reasons["links back to a parent folder"] += 1
        else:
            yield from _images(inside, left_out, (*above, folder))


def is_image(name: str) -> bool:
    """Whether a file's name has the suffix of a format that this Pillow reads."""
    return os.path.splitext(name)[1].lower() in _suffixes()  # noqa: PTH122 - millions of files: no Path for each


@lru_cache(maxsize=1)
def _suffixes() -> frozenset[str]:
    """Return the suffixes of all formats that this Pillow reads."""
    Image.init()
    return frozenset(
        suffix for suffix, kind in Image.EXTENSION.items() if kind in Image.OPEN and kind not in _NO_PICTURES
    )
