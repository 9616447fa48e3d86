"""What one pass over all images found that their scores depend on: copies, blank images, bits used, damaged files.

Notes are sentences for the user; a doubt is a reason why scores on these data are to be taken with care.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["DARK", "MOST_NAMED", "Copies", "Read", "bits_used", "content_of", "copies", "looks", "unreadable_images"]

DARK = 16
"""Of 255: an image whose values all lie below is nearly black."""
_MOST_FILES = 3
"""Files of copies that a note names."""
MOST_NAMED = 20
"""Damaged images that are named; of more the number is given."""
DOUBTFUL_SHARE = 0.01
"""Of the images that are scored: a score that rests on so many of them is marked. CIFAR's own few copies stay below."""
_DEPTHS = (8, 10, 12, 14, 16)
_WORDS = {"train": "training", "val": "validation"}


@dataclass(kw_only=True, slots=True)
class Read:
    """What was read of one split: N images."""

    name: str
    labels: NDArray[np.int64]
    """int64[N]"""
    digests: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 32), np.uint8))
    """uint8[N, 32], SHA-256 of each image's shape and pixels"""
    names: Sequence[str] = ()
    """What the images are called, N of them; empty: nothing says it."""
    uniform: int = 0
    """How many are of a single colour."""
    dark: int = 0
    """How many others are nearly black."""
    deepest: int = -1
    """The highest value in an image of 16 bits; -1: there is none."""


def bits_used(highest: int) -> int:
    """Return how many bits images of 16 bits use, given their highest value: cameras have 10, 12 or 14."""
    return next(bits for bits in _DEPTHS if highest < 2**bits)


def content_of(splits: Sequence[Read], class_names: Sequence[str]) -> str:
    """Return a SHA-256 of pixels and class names in each split, whatever the order of images and of classes.

    Hashes of single images are added up modulo 2^256, which needs no memory and no order.
    """
    whole, names = hashlib.sha256(), [name.encode() for name in class_names]
    for split in splits:
        total, digests = 0, split.digests.tobytes()
        for row, label in enumerate(split.labels.tolist()):
            total += int.from_bytes(hashlib.sha256(digests[32 * row : 32 * row + 32] + names[label]).digest(), "big")
        whole.update(f"{split.name} {len(split.labels)} {total % 2**256:064x}\n".encode())
    return whole.hexdigest()


class Copies(NamedTuple):
    """What images that are equal pixel for pixel say; all empty without any."""

    notes: tuple[str, ...]
    test_doubts: tuple[str, ...]
    """About scores on test images."""
    val_doubts: tuple[str, ...]
    """About scores on validation images."""


def copies(splits: Sequence[Read]) -> Copies:
    """Look for images that are equal pixel for pixel, within splits and in several.

    Args:
        splits: in the order of their use, the test split last: what it shares with others makes its scores doubtful.
            Where none is for validation, its images are drawn from the training images, and are like them.
    """
    # 64 bits of a SHA-256: among ten million images two others agree by chance once in 400,000 datasets.
    keys = np.concatenate([np.ascontiguousarray(split.digests[:, :8]).view(np.uint64).ravel() for split in splits])
    labels = np.concatenate([split.labels for split in splits])
    numbers = np.unique(keys, return_inverse=True)[1].ravel()
    by_split = np.split(numbers, np.cumsum([len(split.labels) for split in splits])[:-1])
    found: list[str] = []
    doubts: dict[str, list[str]] = {"test": [], "val": []}
    names = [split.name for split in splits]
    val = "val" if "val" in names else "train"
    for position, (split, own) in enumerate(zip(splits, by_split, strict=True)):
        kind = _WORDS.get(split.name, split.name)
        for other, earlier in zip(splits[:position], by_split, strict=False):
            where = np.flatnonzero(np.isin(own, earlier))
            is_, them = ("is", "it") if len(where) == 1 else ("are", "them")
            words = f"{len(where):,} of {len(own):,} {kind} images {is_} also in {other.name}"
            if len(where):
                advice = f"remove {them} from {split.name} or {other.name}"
                files = [split.names[row] for row in where[:_MOST_FILES].tolist()] if split.names else []
                found.append(words + _named(files, len(where), advice))
            if split.name in doubts and len(where) >= DOUBTFUL_SHARE * len(own):
                doubts[split.name].append(words)
        repeated = len(own) - len(np.unique(own))
        if repeated:
            what = "is a copy of another" if repeated == 1 else "are copies of others"
            found.append(f"{repeated:,} of {len(own):,} {kind} images {what} in {split.name}")
            if split.name == val == "train" and repeated >= DOUBTFUL_SHARE * len(own):
                doubts["val"].append(f"{found[-1]}, from which the validation images are drawn")
    images, counts = np.unique(np.unique(np.stack([numbers, labels]), axis=1)[0], return_counts=True)
    torn = images[counts > 1]
    if len(torn):
        words = f"{len(torn):,} {'image has' if len(torn) == 1 else 'images have'} more than one label"
        files = [_files(splits, by_split, number) for number in torn[:_MOST_FILES]]
        advice = f"correct the labels, or remove {'the copy' if len(torn) == 1 else 'the copies'}"
        found.append(words + _named(files if all(files) else [], len(torn), advice))
        for name, judged in (("test", "test"), (val, "val")):
            if name not in names:
                continue
            scored = by_split[names.index(name)]
            count, kind = np.count_nonzero(np.isin(scored, torn)), _WORDS.get(name, name)
            copied = f"{'has' if count == 1 else 'have'} a copy with a different label"
            if count >= DOUBTFUL_SHARE * len(scored):
                doubts[judged].append(f"{count:,} of {len(scored):,} {kind} images {copied}")
    notes = (f"identical pixel by pixel: {'; '.join(found)}",) if found else ()
    return Copies(notes, tuple(doubts["test"]), tuple(doubts["val"]))


def _files(splits: Sequence[Read], by_split: Sequence[NDArray[np.intp]], number: int) -> str:
    """Return the names of the first two copies of an image; empty where they are not known."""
    where = [
        (split, row)
        for split, own in zip(splits, by_split, strict=True)
        for row in np.flatnonzero(own == number).tolist()
    ]
    return " = ".join(split.names[row] for split, row in where[:2]) if all(split.names for split, _ in where) else ""


def _named(files: Sequence[str], count: int, advice: str) -> str:
    """Return files and what to do with them, to stand after a count; nothing where they have no names."""
    if not files:
        return ""
    more = f" and {count - len(files):,} more" if count > len(files) else ""
    return f" ({', '.join(files)}{more}): {advice}"


def looks(splits: Sequence[Read], conversions: Sequence[Mapping[str, int]] = ()) -> list[str]:
    """Return notes on what came out of decoding: blank and black images, what was converted, and bits used.

    Args:
        splits: all of them.
        conversions: what plugins say of the images that they read: how many are what, in words.
    """
    total = sum(len(split.labels) for split in splits)
    counts: dict[str, int] = {
        "of a single colour": sum(split.uniform for split in splits),
        f"nearly black (no value reaches {DARK} of 255)": sum(split.dark for split in splits),
    }
    for told in conversions:
        for words, count in told.items():
            counts[words] = counts.get(words, 0) + count
    said = [f"{count:,} {words}" for words, count in counts.items() if count]
    notes = [f"of {total:,} images: {'; '.join(said)}"] if said else []
    deepest = max(split.deepest for split in splits)
    if deepest >= 0:
        bits = bits_used(deepest)
        scaled = "they are used as they are" if bits == 8 else "they are scaled to 8 bits"
        notes.append(f"16-bit images have values up to {deepest:,}, which take {bits} bits: {scaled}")
    return notes


def unreadable_images(named: Sequence[str], count: int, total: int) -> str:
    """Return in words that some images cannot be read, and which: ``2 of 30 images cannot be read: ...; ...``."""
    named = [name.removeprefix("cannot read image ") for name in named]
    more = [f"and {count - len(named):,} more"] if count > len(named) else []
    return f"{count:,} of {total:,} images cannot be read: {'; '.join([*named, *more])}"
