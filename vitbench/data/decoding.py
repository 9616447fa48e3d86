"""One pass over all images of a dataset: hash them, note their shapes, write them in the forms that models want.

A form is a shape in which a dataset is cached. Images are read by several threads, so that compressed ones use all
cores, and each is dropped as soon as it is written.

Shapes: N images in a split, C channels, H height, W width; h and w are those of a form.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from PIL import __version__ as PILLOW_VERSION

from vitbench.data.geometry import covering_size
from vitbench.data.opening import OpenedSet, OpenedSplit
from vitbench.environment import usable_cores
from vitbench.printable import short_size

__all__ = ["Form", "Geometry", "Survey", "decode", "decoder_versions", "glance"]

_CHUNK = 64  # images handed to a thread at once: enough to hide the hand-over, few enough to stop at soon
_MOST_THREADS = 16  # more would wait for the interpreter lock
_SECONDS_BETWEEN_REPORTS = 5.0
_WORTH_A_WORD = 5_000
"""Images from which on decoding takes more than a second."""


def decoder_versions() -> dict[str, str]:
    """Return the version of Pillow and of the JPEG library in it, which gives the pixels."""
    jpeg = features.version_feature("libjpeg_turbo") or features.version_codec("jpg") or ""
    return {"pillow": PILLOW_VERSION, **({"libjpeg": str(jpeg)} if jpeg else {})}


class Geometry(msgspec.Struct, frozen=True):
    """The shapes of all images of a dataset."""

    channels: int
    uniform: tuple[int, int] | None
    """Their height and width, where all are of one size."""
    short_side: int
    """Median of the shorter sides."""


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass over all images of a dataset found."""

    fingerprint: str
    geometry: Geometry
    class_names: tuple[str, ...]
    sizes: dict[str, int]
    verified: bool
    notes: tuple[str, ...]
    made_test: bool = False
    """See `OpenedSet`."""


class Form(NamedTuple):
    """One shape in which a dataset is cached."""

    channels: int
    height: int
    width: int
    interpolation: str
    """The filter that made it; empty for images as they are."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.channels, self.height, self.width

    @property
    def suffix(self) -> str:
        """Name of its folder, after the fingerprint that settles the channels; another Pillow may resize otherwise."""
        size = short_size((self.height, self.width))
        return f"{size}-{self.interpolation}-pillow{PILLOW_VERSION}" if self.interpolation else f"{size}"


class _Chunk(NamedTuple):
    """What a thread found in one chunk of images."""

    digests: bytes
    shapes: list[tuple[int, int, int]]
    spoiled: set[Form]
    """Forms that do not fit all of the images."""


def glance(opened: OpenedSet) -> Geometry:
    """Guess the geometry of all images from up to 16 of each split."""
    shapes = []
    for split in opened.splits:
        rows = sorted({int(row) for row in np.linspace(0, len(split.labels) - 1, 16)})
        shapes += [image.shape for image in split.read(rows)]
    return _geometry(np.array(shapes))


def _geometry(shapes: NDArray[np.int64]) -> Geometry:
    sizes = np.unique(shapes[:, 1:], axis=0)
    return Geometry(
        channels=int(shapes[:, 0].max()),
        uniform=(int(sizes[0, 0]), int(sizes[0, 1])) if len(sizes) == 1 else None,
        short_side=int(np.median(shapes[:, 1:].min(axis=1))),
    )


def decode(
    opened: OpenedSet, forms: Collection[Form], folder: Path, say: Callable[[str], None]
) -> tuple[Survey, set[Form]]:
    """Read every image once, and write it in each form into ``<folder>/<form.suffix>/``.

    Args:
        opened: the dataset.
        forms: a form that turns out not to fit all images is left unfinished.
        folder: an existing folder.
        say: gets a line of progress now and then.

    Returns:
        What was found, and the forms that were written for all images: uint8[N, C, h, w] and int64[N] for each split.

    Raises:
        ValueError: an image is no image; and whatever the plugin raises.
    """
    total = sum(len(split.labels) for split in opened.splits)
    if total >= _WORTH_A_WORD:
        say(f"decoding {total:,} images")
    fingerprint = hashlib.sha256(msgspec.json.encode(opened.class_names))
    shapes: list[tuple[int, int, int]] = []
    spoiled: set[Form] = set()
    spoken = time.monotonic()
    with ThreadPoolExecutor(min(_MOST_THREADS, usable_cores())) as pool:
        for split in opened.splits:
            fingerprint.update(f"{split.name} {len(split.labels)}".encode() + split.labels.astype("<i8").tobytes())
            arrays = {form: _create(folder / form.suffix, split, form) for form in forms}
            rows = range(len(split.labels))
            chunks = [rows[start : start + _CHUNK] for start in rows[::_CHUNK]]
            for chunk in pool.map(partial(_read_chunk, split, arrays), chunks):
                fingerprint.update(chunk.digests)
                shapes += chunk.shapes
                spoiled |= chunk.spoiled
                if time.monotonic() - spoken > _SECONDS_BETWEEN_REPORTS:
                    spoken = time.monotonic()
                    say(f"{len(shapes):,} of {total:,} images decoded")
            for array in arrays.values():
                array.flush()  # a rename must not outlive the bytes, should the power fail
    survey = Survey(
        fingerprint=fingerprint.hexdigest(),
        geometry=_geometry(np.array(shapes)),
        class_names=opened.class_names,
        sizes={split.name: len(split.labels) for split in opened.splits},
        verified=opened.verified,
        notes=opened.notes,
        made_test=opened.made_test,
    )
    return survey, set(forms) - spoiled


def _create(folder: Path, split: OpenedSplit, form: Form) -> np.memmap[Any, np.dtype[np.uint8]]:
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{split.name}-labels.npy", split.labels)
    shape = (len(split.labels), *form.shape)
    return np.lib.format.open_memmap(folder / f"{split.name}-images.npy", mode="w+", dtype=np.uint8, shape=shape)


def _read_chunk(split: OpenedSplit, arrays: Mapping[Form, NDArray[np.uint8]], rows: Sequence[int]) -> _Chunk:
    chunk = _Chunk(b"", [], set())
    digests = []
    for row, image in zip(rows, split.read(rows), strict=True):
        shape = image.shape
        digests.append(hashlib.sha256(np.array(shape, "<i8").tobytes() + image.tobytes()).digest())
        chunk.shapes.append((shape[0], shape[1], shape[2]))
        for form, array in arrays.items():
            if shape[0] > form.channels or (not form.interpolation and shape[1:] != form.shape[1:]):
                chunk.spoiled.add(form)
            elif shape[0] not in (1, form.channels):
                raise ValueError(
                    f"{split.name} image {row} has {shape[0]} channels, and others have {form.channels}; "
                    "all images of a dataset must have as many, or one"
                )
            else:
                array[row] = _fitted(image, form)  # gray is repeated where others have more channels
    return chunk._replace(digests=b"".join(digests))


def _fitted(image: NDArray[np.uint8], form: Form) -> NDArray[np.uint8]:
    """Resize with antialiasing to just cover the form, and crop the centre: uint8[C, H, W] -> uint8[C, h, w]."""
    if not form.interpolation:
        return image
    given = (image.shape[1], image.shape[2])
    size = covering_size(given, (form.height, form.width))
    top, left = round((size[0] - form.height) / 2), round((size[1] - form.width) / 2)  # as torchvision rounds

    def fitted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        picture = Image.fromarray(pixels)
        if size != given:
            picture = picture.resize(size[::-1], Image.Resampling[form.interpolation.upper()])
        return np.asarray(picture.crop((left, top, left + form.width, top + form.height)))

    if len(image) == 3:
        return fitted(np.ascontiguousarray(image.transpose(1, 2, 0))).transpose(2, 0, 1)
    return np.stack([fitted(channel) for channel in image])  # each as gray, lest Pillow takes a fourth for opacity
