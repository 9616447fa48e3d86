"""A hub's webdataset: tar files of ``KEY.jpg`` (or .png, .webp) and ``KEY.cls``, read where they lie.

``train/*.tar`` and ``test/*.tar`` with ``classnames.txt``, as clip-benchmark's ``wds_vtab-*`` have them, or
``train-*.tar`` and ``test-*.tar``.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from vitbench_datasets.decoding import Conversions
from vitbench_datasets.naming import split_of

from vitbench.specs import SplitName

from .images import Pixels, Pool

_PICTURES = ("jpg", "jpeg", "png", "webp")


@dataclass(frozen=True, kw_only=True, slots=True)
class TarImages:
    """Images in tar files."""

    places: tuple[tuple[Path, int, int], ...]
    """File, offset and bytes of each."""
    names: tuple[str, ...]
    _seen: Conversions = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_seen", Conversions(len(self.places)))

    def image(self, i: int) -> Pixels:
        """Return [C, H, W]. Raises ValueError with the name of an unreadable image."""
        path, offset, size = self.places[i]
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read(size)
        return self._seen.decode(i, io.BytesIO(content), name=f"{self.names[i]} of {path}")

    @property
    def conversions(self) -> dict[str, int]:
        """How many of the images read so far are what, in words."""
        return self._seen.counts


def pools(root: Path) -> dict[SplitName, Pool]:
    """Return the splits that tar files hold; none where there are no such files.

    Raises:
        ValueError: a file cannot be read, or an image has no label.
    """
    files: dict[SplitName, list[Path]] = {}
    for path in sorted([*root.glob("*.tar"), *root.glob("*/*.tar")]):
        word = path.stem.partition("-")[0] if path.parent == root else path.parent.name
        split = split_of(word)
        if split:
            files.setdefault(split, []).append(path)
    names = _class_names(root / "classnames.txt")
    return {split: _pool(paths, names) for split, paths in files.items()}


def _class_names(path: Path) -> tuple[str, ...]:
    return tuple(line.strip() for line in path.read_text().splitlines() if line.strip()) if path.is_file() else ()


def _pool(paths: list[Path], names: tuple[str, ...]) -> Pool:
    places, labels, keys = [], [], []
    for path in paths:
        pictures, classes = _members(path)
        for key, (offset, size) in pictures.items():
            if key not in classes:
                raise ValueError(f"{path}: the image {key} has no {key}.cls")
            places.append((path, offset, size))
            labels.append(classes[key])
            keys.append(key)
    if not names:
        names = tuple(map(str, range(1 + max(labels, default=0))))
    return Pool(
        source=TarImages(places=tuple(places), names=tuple(keys)),
        labels=np.array(labels, dtype=np.int64),
        class_names=names,
    )


def _members(path: Path) -> tuple[Mapping[str, tuple[int, int]], Mapping[str, int]]:
    """Return where the images of a file lie, and their labels, by key."""
    pictures: dict[str, tuple[int, int]] = {}
    classes: dict[str, int] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                key, _, kind = member.name.rpartition(".")
                if member.isfile() and kind in _PICTURES:
                    pictures[key] = member.offset_data, member.size
                elif member.isfile() and kind == "cls":
                    content = archive.extractfile(member)
                    classes[key] = int(content.read()) if content else -1
    except (OSError, ValueError, tarfile.TarError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    return pictures, classes
