"""One pass over all images of a dataset: hash them, note their shapes, write them in the forms that models want.

Images are read by several threads, so that compressed ones use all cores, and each is dropped as soon as it is written
in all forms (`vitbench.data.forms`) that have it.

Shapes: N images in a split, C channels, H height, W width; h and w are those of a form.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import __version__ as PILLOW_VERSION
from PIL import features

from vitbench.data.fitting import fitted
from vitbench.data.forms import Form, Geometry, held_rows, held_splits
from vitbench.data.integrity import digest_of
from vitbench.data.oddities import DARK, MOST_NAMED, Read, bits_used, content_of, copies, looks
from vitbench.data.opening import OpenedSet, OpenedSplit, Pixels, Unreadable, absent_classes
from vitbench.data.splits import limited
from vitbench.environment import usable_cores

__all__ = ["Decoded", "Survey", "decode", "decoder_versions", "glance"]

_CHUNK = 64  # images handed to a thread at once: enough to hide the hand-over, few enough to stop at soon
_MOST_THREADS = 16  # more would wait for the interpreter lock
_SECONDS_BETWEEN_REPORTS = 5.0
_WORTH_A_WORD = 5_000
"""Images from which on decoding takes more than a second."""


def decoder_versions() -> dict[str, str]:
    """Return the version of Pillow and of the JPEG library in it, which gives the pixels."""
    jpeg = features.version_feature("libjpeg_turbo") or features.version_codec("jpg") or ""
    return {"pillow": PILLOW_VERSION, **({"libjpeg": str(jpeg)} if jpeg else {})}


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass over all images of a dataset found."""

    fingerprint: str
    content: str
    """SHA-256 of pixels and class names, whatever the order of images and of classes; empty under a limit."""
    geometry: Geometry
    class_names: tuple[str, ...]
    sizes: dict[str, int]
    published: bool | None
    """See `OpenedSet`."""
    notes: tuple[str, ...]
    made_test: bool = False
    """See `OpenedSet`."""
    lineage: str = ""
    """See `OpenedSet`."""
    doubts: tuple[str, ...] = ()
    """Reasons why scores on its test images are to be taken with care."""
    val_doubts: tuple[str, ...] = ()
    """The same of its validation images."""
    unreadable: int = 0
    """Images that are left out, because they cannot be read."""
    limit: int | float | None = None
    """Of the images that were read; None: all were."""
    unreadable_named: tuple[str, ...] = ()
    """The first of them."""

    @property
    def total(self) -> int:
        """Images, those that cannot be read among them."""
        return self.unreadable + sum(self.sizes.values())


class Decoded(NamedTuple):
    """What one pass found and wrote."""

    survey: Survey
    digests: dict[Form, dict[str, str]]
    """SHA-256 of each array by the name of its file, in the forms that were written for all images."""
    names: dict[str, list[str]]
    """What the images of each split are called, in the order of its arrays; without splits where they have no names."""


@dataclass(kw_only=True, slots=True)
class _Chunk:
    """What a thread found in one chunk of images; those that cannot be read are in `unreadable` alone."""

    digests: list[bytes] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    uniform: int = 0
    dark: int = 0
    deepest: int = -1
    written: dict[Form, list[bytes]] = field(default_factory=dict)
    """Digests of the images as they were written in each form."""
    spoiled: set[Form] = field(default_factory=set)
    """Forms that do not fit all of the images."""
    unreadable: list[Unreadable] = field(default_factory=list)


class _Target(NamedTuple):
    """Where a form's images of one split go."""

    array: NDArray[np.uint8]
    """uint8[N, C, h, w]; no memmap, which is slower to write to by rows."""
    held: NDArray[np.bool_]
    """bool[N]: which of them it has."""


def glance(opened: OpenedSet, limit: int | float | None = None) -> Geometry:
    """Guess the geometry of all images, or of those that a limit leaves, from up to 16 of each split."""
    shapes, deepest = [], -1
    for split in opened.splits:
        chosen = limited(split.labels, limit)
        rows = sorted({int(chosen[place]) for place in np.linspace(0, len(chosen) - 1, 16).astype(int)})
        for image in split.read(rows):
            if not isinstance(image, Unreadable):
                shapes.append(image.shape)
                deepest = max(deepest, _depth(image))
    return _geometry(np.array(shapes or [(1, 1, 1)]), deepest)


def _geometry(shapes: NDArray[np.int64], deepest: int) -> Geometry:
    sizes = np.unique(shapes[:, 1:], axis=0)
    return Geometry(
        channels=int(shapes[:, 0].max()),
        uniform=(int(sizes[0, 0]), int(sizes[0, 1])) if len(sizes) == 1 else None,
        short_side=int(np.median(shapes[:, 1:].min(axis=1))),
        bits=bits_used(deepest),
    )


def _depth(image: Pixels) -> int:
    """Return the highest value of an image of 16 bits, -1 of one of 8."""
    return int(image.max()) if image.itemsize == 2 else -1


def decode(
    opened: OpenedSet,
    forms: Collection[Form],
    folder: Path,
    say: Callable[[str], None],
    *,
    bits: int = 8,
    limit: int | float | None = None,
) -> Decoded:
    """Read every image once, and write it in each form into ``<folder>/<form.suffix>/``.

    Images that cannot be read are left out and counted. Under a limit only the images that it leaves are read. What a
    form has of a split is written at its place: the files have as many rows as the split, and take the room of those
    images where the file system keeps holes.

    Args:
        opened: the dataset.
        forms: a form that turns out not to fit all images is left unfinished.
        folder: an existing folder.
        say: gets a line of progress now and then.
        bits: of images of 16 bits so many are used; where these turn out to be others, no form fits.
        limit: as `limited` takes it.

    Returns:
        What was found, and the forms that were written for all their images: uint8[N, C, h, w] and int64[N] for each
        split that they have.

    Raises:
        ValueError: an image is not an image, or none can be read; and whatever else the plugin raises.
    """
    chosen = [limited(split.labels, limit) for split in opened.splits]
    total = sum(map(len, chosen))
    if total >= _WORTH_A_WORD:
        say(f"decoding {total:,} images")
    fingerprint = hashlib.sha256(msgspec.json.encode(opened.class_names))
    shapes: list[NDArray[np.int64]] = []
    found: list[Read] = []
    spoiled: set[Form] = set()
    unreadable: list[Unreadable] = []
    written: dict[Form, dict[str, str]] = {form: {} for form in forms}
    absent: list[str] = []
    sizes: dict[str, int] = {}
    called: dict[str, list[str]] = {}
    names = [split.name for split in opened.splits]
    done, spoken = 0, time.monotonic()
    with ThreadPoolExecutor(min(_MOST_THREADS, usable_cores())) as pool:
        for split, wanted in zip(opened.splits, chosen, strict=True):
            having = [form for form in forms if split.name in held_splits(form, names)]
            arrays = {form: _create(folder / form.suffix, split, form) for form in having}
            targets = {form: _target(array, split, form, limit) for form, array in arrays.items()}
            hashes = {form: hashlib.sha256() for form in having}
            chunks = [wanted[start : start + _CHUNK].tolist() for start in range(0, len(wanted), _CHUNK)]
            read, digests, lost = Read(name=split.name, labels=split.labels), bytearray(), []
            for rows, chunk in zip(chunks, pool.map(partial(_read_chunk, split, targets, bits), chunks), strict=True):
                digests += b"".join(chunk.digests)
                if chunk.shapes:
                    shapes.append(np.array(chunk.shapes, np.int32))
                read.uniform, read.dark = read.uniform + chunk.uniform, read.dark + chunk.dark
                read.deepest = max(read.deepest, chunk.deepest)
                for form, each in chunk.written.items():
                    hashes[form].update(b"".join(each))
                spoiled |= chunk.spoiled
                lost += chunk.unreadable
                done += len(rows)
                if time.monotonic() - spoken > _SECONDS_BETWEEN_REPORTS:
                    spoken = time.monotonic()
                    say(f"{done:,} of {total:,} images decoded")
            read.digests = np.frombuffer(digests, np.uint8).reshape(-1, 32)
            gone = [each.row for each in lost]
            read.labels = split.labels[np.setdiff1d(wanted, gone, assume_unique=True)]
            kept = np.delete(split.labels, gone) if limit is None else split.labels
            fingerprint.update(f"{split.name} {len(kept)}".encode() + kept.astype("<i8").tobytes())
            fingerprint.update(b"" if limit is None else wanted.astype("<i8").tobytes())
            fingerprint.update(digests)
            found.append(read)
            if lost:
                unreadable += lost
                absent += set(absent_classes(opened.class_names, read.labels, split.name)) - set(opened.notes)
            for form, array in arrays.items():
                array.flush()  # a rename must not outlive the bytes, should the power fail
                _finish(folder / form.suffix, split.name, kept, gone if limit is None else [])
                written[form][f"{split.name}-images.npy"] = hashes[form].hexdigest()
                written[form][f"{split.name}-labels.npy"] = digest_of(kept).hex()
            sizes[split.name] = len(kept)
            if (given := split.names) is not None:
                unread = {*gone}
                read.names = [given[row] for row in wanted if row not in unread]
                left_out = unread if limit is None else set()
                called[split.name] = [name for row, name in enumerate(given) if row not in left_out]
    empty = [read.name for read in found if not len(read.labels)]
    if empty:
        raise ValueError(f"none of the {empty[0]} images can be read; the first: {unreadable[0].reason}")
    deepest = max(read.deepest for read in found)
    told = [split.conversions for split in {id(split.images): split for split in opened.splits}.values()]
    repeated = copies(found)
    cut = [] if limit is None else [f"{total:,} of {sum(sizes.values()):,} images were read, as --limit asks"]
    geometry = _geometry(np.concatenate(shapes), deepest)
    followed = [] if limit is None or geometry.uniform else ["input size chosen from the images read"]
    survey = Survey(
        fingerprint=fingerprint.hexdigest(),
        content=content_of(found, opened.class_names) if limit is None else "",
        geometry=geometry,
        class_names=opened.class_names,
        sizes=sizes,
        published=opened.published,
        notes=(
            *opened.notes,
            *absent,
            *cut,
            *followed,
            *looks(found, told),
            *repeated.notes,
        ),
        limit=limit,
        made_test=opened.made_test,
        lineage=opened.lineage,
        doubts=repeated.test_doubts,
        val_doubts=repeated.val_doubts,
        unreadable=len(unreadable),
        unreadable_named=tuple(each.reason for each in unreadable[:MOST_NAMED]),
    )
    if deepest >= 0 and survey.geometry.bits != bits:
        spoiled |= set(forms)
    return Decoded(survey, {form: files for form, files in written.items() if form not in spoiled}, called)


def _create(folder: Path, split: OpenedSplit, form: Form) -> np.memmap[Any, np.dtype[np.uint8]]:
    folder.mkdir(exist_ok=True)
    shape = (len(split.labels), *form.shape)
    return np.lib.format.open_memmap(folder / f"{split.name}-images.npy", mode="w+", dtype=np.uint8, shape=shape)


def _target(array: NDArray[np.uint8], split: OpenedSplit, form: Form, limit: int | float | None) -> _Target:
    held = np.zeros(len(array), dtype=bool)
    held[held_rows(form, split.name, split.labels, limit)] = True
    return _Target(np.asarray(array), held)


def _finish(folder: Path, split: str, labels: NDArray[np.int64], lost: Sequence[int]) -> None:
    """Write the labels, and take the rows of images that could not be read out of the images' file."""
    np.save(folder / f"{split}-labels.npy", labels)
    if not lost:
        return
    path, shorter = folder / f"{split}-images.npy", folder / "shorter.npy"
    images = np.load(path, mmap_mode="r")
    kept = np.lib.format.open_memmap(shorter, mode="w+", dtype=np.uint8, shape=(len(labels), *images.shape[1:]))
    rows = np.delete(np.arange(len(images)), lost)
    for start in range(0, len(rows), _CHUNK):
        kept[start : start + _CHUNK] = images[rows[start : start + _CHUNK]]
    kept.flush()
    shorter.replace(path)


def _read_chunk(split: OpenedSplit, targets: Mapping[Form, _Target], bits: int, rows: Sequence[int]) -> _Chunk:
    chunk = _Chunk(written={form: [] for form in targets})
    for row, given in zip(rows, split.read(rows), strict=True):
        if isinstance(given, Unreadable):
            chunk.unreadable.append(given)
            continue
        shape, digest = given.shape, digest_of(given)
        chunk.digests.append(digest)
        chunk.shapes.append(shape)
        chunk.deepest = max(chunk.deepest, _depth(given))
        image = _eight_bits(given, bits)
        corner = image[0, 0, 0]  # which tells most images apart from blank and black ones
        if corner == image[0, -1, -1] and (image == image[:, :1, :1]).all():
            chunk.uniform += 1
        elif corner < DARK and image.max() < DARK:
            chunk.dark += 1
        for form, (array, held) in targets.items():
            if not held[row]:
                continue
            if shape[0] > form.channels or (not form.interpolation and shape[1:] != form.shape[1:]):
                chunk.spoiled.add(form)
            elif shape[0] not in (1, form.channels):
                raise ValueError(
                    f"{split.name} image {row} has {shape[0]} channels, and others have {form.channels}; "
                    "all images of a dataset must have the same number, or one"
                )
            else:
                array[row] = _fitted(image, form)  # gray is repeated where others have more channels
                as_given = given.itemsize == 1 and not form.interpolation and shape == form.shape
                chunk.written[form].append(digest if as_given else digest_of(array[row]))
    return chunk


def _eight_bits(image: Pixels, bits: int) -> NDArray[np.uint8]:
    if image.itemsize == 2:
        return (image >> (bits - 8)).astype(np.uint8)
    return cast("NDArray[np.uint8]", image)


def _fitted(image: NDArray[np.uint8], form: Form) -> NDArray[np.uint8]:
    """Bring an image into a form: uint8[C, H, W] -> uint8[C, h, w], C at least 1."""
    if not form.interpolation:
        return image
    return fitted(
        image,
        (form.height, form.width),
        interpolation=form.interpolation,
        crop_fraction=form.crop_fraction,
        crop_mode=form.crop_mode,
        fill=form.fill or (0,) * form.channels,
    )
