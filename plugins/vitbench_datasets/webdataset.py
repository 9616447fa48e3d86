"""Tar files of a webdataset: ``KEY.webp``, ``.jpg`` or ``.png`` beside ``KEY.cls``, read where they lie.

``train/0.tar``, ``train/1.tar`` and ``test/0.tar``, as clip-benchmark's ``wds_*`` repositories on a hub have them, or
``train-000000.tar`` and the like (`naming.SPLIT_WORDS`). A key ends at the first dot of a name, as webdataset has it;
``.cls`` holds the number of the class as text. ``nshards.txt`` beside the files of a split says how many there must be,
and ``classnames.txt`` names the classes. Nothing is unpacked.

Shapes: N images in a split.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitbench.specs import SplitName

from . import folder
from .decoding import Conversions, Pixels
from .label_classes import named_classes
from .naming import is_hidden, listed, split_of

_NAME = re.compile(r"(?P<word>.+?)(?:[-_.]?\d+)?\.tar")
_MOST_CLASSES = 100_000
_LOOKED_AT = 20
"""Members of a file that decide whether it is one of a webdataset."""


class _Place(NamedTuple):
    """Where an image lies."""

    shard: int
    offset: int
    size: int


class TarImages:
    """One split of a webdataset."""

    def __init__(
        self,
        shards: Sequence[Path],
        places: Sequence[_Place],
        *,
        labels: NDArray[np.int64],
        class_names: tuple[str, ...],
        names: tuple[str, ...],
        notes: tuple[str, ...],
    ) -> None:
        self._shards, self._places = shards, places
        self.labels = labels
        self.class_names = class_names
        self.names = names
        self.notes = notes
        self._seen = Conversions(len(labels))

    @property
    def conversions(self) -> dict[str, int]:
        """How many of the images read so far are what, in words."""
        return self._seen.counts

    def image(self, i: int) -> Pixels:
        """Return [C, H, W]. Raises ValueError with the file and the member of an unreadable image."""
        place = self._places[i]
        with self._shards[place.shard].open("rb") as file:
            file.seek(place.offset)
            content = file.read(place.size)
        return self._seen.decode(i, io.BytesIO(content), name=self.names[i])


def detect(root: Path) -> bool:
    """Whether there are tar files of a split in `root` that begin with images and their classes."""
    shards = shards_of(root)
    try:
        return any(_begins_well(paths[0]) for paths in shards.values())
    except ValueError:
        return False


def open_webdataset(
    *, root: Path, split: SplitName, download: bool = False, classes: int | None = None
) -> TarImages | None:
    """Return one split, or None where there are no files of it.

    Args:
        root: the folder of the files.
        split: which split.
        download: nothing is downloaded.
        classes: how many classes the dataset has; None: as many as are named, or as labels count.

    Raises:
        FileNotFoundError: `root` does not exist.
        ValueError: a file is missing or damaged, or an image has no class.
    """
    shards = shards_of(root)
    if not shards:
        raise ValueError("there are no tar files of a split (train/0.tar, test/0.tar; train-000000.tar)")
    if split not in shards:
        return None
    read = {name: _read(paths, root) for name, paths in shards.items()}
    count = 1 + max(int(labels.max()) for labels, _, _ in read.values())
    names = named_classes(root)
    if classes is None:
        classes = max(count, len(names))
    labels, places, members = read[split]
    wrong = np.flatnonzero(labels >= classes)
    if len(wrong):
        raise ValueError(f"{members[wrong[0]]} has the class {labels[wrong[0]]}, which is not in 0..{classes - 1}")
    files = ", ".join(f"{name} from {len(paths)} tar files" for name, paths in shards.items())
    return TarImages(
        shards[split],
        places,
        labels=labels,
        class_names=names if len(names) == classes else tuple(map(str, range(classes))),
        names=members,
        notes=(f"layout webdataset: {files.replace('from 1 tar files', 'from 1 tar file')}",),
    )


def shards_of(root: Path) -> dict[SplitName, list[Path]]:
    """Return the files of each split, in the order of their numbers.

    Raises:
        ValueError: a file says that there are more or fewer.
    """
    found: dict[SplitName, list[Path]] = {}
    inside = [base for base in folder.folders_in(root) if split_of(base.name)]
    for base in (root, *inside):
        for path in base.iterdir():
            match = _NAME.fullmatch(path.name)
            split = split_of(base.name) if base != root else split_of(match["word"]) if match else None
            if split and path.suffix == ".tar" and not is_hidden(path.name) and path.is_file():
                found.setdefault(split, []).append(path)
    return {split: sorted(found[split], key=_in_order) for split in ("train", "val", "test") if split in found}


def _in_order(path: Path) -> tuple[int, str]:
    numbers = re.findall(r"\d+", path.stem)
    return (int(numbers[-1]) if numbers else -1, path.name)


def _check_count(paths: Sequence[Path], root: Path) -> None:
    """Raise ValueError where there are other than as many files as ``nshards.txt`` beside them says."""
    said = paths[0].parent / "nshards.txt"
    if paths[0].parent == root or not said.is_file():
        return
    text = said.read_text(errors="replace").strip()
    if text != str(len(paths)):
        names = listed([path.name for path in paths])
        raise ValueError(f"{said.relative_to(root).as_posix()} says {text[:20]} files, but there are {names}")


def _read(paths: Sequence[Path], root: Path) -> tuple[NDArray[np.int64], list[_Place], tuple[str, ...]]:
    """Return the label of each image of a split, where it lies, and its name.

    Raises:
        ValueError: as `open_webdataset`.
    """
    _check_count(paths, root)
    labels, places, names = [], [], []
    for number, path in enumerate(paths):
        shown = path.relative_to(root).as_posix()
        images: dict[str, tuple[tarfile.TarInfo, str]] = {}
        classes: dict[str, int] = {}
        for key, kind, member, content in _members(path, shown):
            if kind == "cls":
                text = content.decode("ascii", "replace").strip()
                if not text.isdecimal() or int(text) >= _MOST_CLASSES:
                    raise ValueError(f"{shown}: {member.name} holds {text[:20]!r}, which is not a class number")
                classes[key] = int(text)
            elif key in images:
                raise ValueError(f"{shown}: {member.name} occurs twice, or together with {images[key][0].name}")
            else:
                images[key] = member, f"{shown}/{member.name}"
        if lost := sorted({*images} ^ {*classes}):
            lacks = f"{lost[0]}.cls" if lost[0] in images else f"the image of {lost[0]}.cls"
            raise ValueError(f"{shown}: {lacks} is missing")
        for key, (member, name) in images.items():
            labels.append(classes[key])
            places.append(_Place(number, member.offset_data, member.size))
            names.append(name)
    if not labels:
        raise ValueError(f"there is no image in {paths[0].relative_to(root).as_posix()}")
    return np.array(labels, dtype=np.int64), places, tuple(names)


def _members(path: Path, shown: str) -> Iterator[tuple[str, str, tarfile.TarInfo, bytes]]:
    """Yield the key and the kind of each image and class, with the content of the latter.

    Raises:
        ValueError: the file cannot be read, or ends too early.
    """
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                base, name = os.path.split(member.name)
                stem, _, kind = name.partition(".")
                kind = kind.casefold()
                if not member.isfile() or not (kind == "cls" or folder.is_image(f"x.{kind}")):
                    continue
                if member.offset_data + member.size > size:
                    raise ValueError("it ends within a file")
                file = archive.extractfile(member) if kind == "cls" else None
                yield f"{base}/{stem}" if base else stem, kind, member, file.read() if file else b""
    except (tarfile.TarError, OSError, ValueError) as error:
        if str(error).startswith(shown):
            raise
        raise ValueError(f"cannot read {shown}: {error}") from error


def _begins_well(path: Path) -> bool:
    kinds = set()
    for _, (_, kind, _, _) in zip(range(_LOOKED_AT), _members(path, path.name), strict=False):
        kinds.add("cls" if kind == "cls" else "image")
    return kinds == {"cls", "image"}
