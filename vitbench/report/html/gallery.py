"""The gallery of a page: thumbnails of images that models were judged on, with what the models took them for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitbench.report.html.album import Album
from vitbench.report.html.side_by_side import Pairs, pairs
from vitbench.report.html.tiles import Images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Gallery", "Shot", "gallery"]

_COLUMN = 100
"""Thumbnails that are stored as one image: a WebP's side has at most 16,383 pixels."""
_EXACT = 32
"""Pixels of a side up to which thumbnails lose no bit."""
_COARSE = 48
"""Pixels of a side up to which they are shown as squares."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """One image with what was answered."""

    thumbnail: tuple[str, int]
    """As `Images.place` gives it."""
    truth: str
    answer: str
    """Of the models, with the confidence."""
    caption: str
    """What the image is called."""

    @property
    def text(self) -> str:
        """The same for those who cannot see it."""
        return f"{self.truth}, {self.answer}; {self.caption}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """What a page shows of the images of one condition."""

    kind: str
    """Test or validation images."""
    sentence: str
    """Said in place of the images; empty where there are some."""
    alone: tuple[Shot, ...]
    alone_text: str
    none: tuple[Shot, ...]
    none_text: str
    mistakes: tuple[tuple[Shot, ...], ...]
    """Of each row of the table."""
    note: str
    pairs: Pairs | None
    style: str
    """Rules of a style sheet that hold the thumbnails."""
    aspect: str
    """A style sheet's: width / height."""
    coarse: bool
    """Whether the images are so small that their pixels are shown as squares."""


def gallery(scope: str, album: Album | None, rows: int, *, images: bool) -> Gallery | None:
    """Return the gallery of one condition.

    Args:
        scope: the id of the element that holds it.
        album: what was chosen; None where no answers are stored.
        rows: of the table.
        images: whether images are shown.

    Returns:
        None where there is nothing to show.
    """
    if album is None:
        return None
    chosen, shown = album.chosen, bool(album.places)
    kind = "test" if album.split == "test" else "validation"
    thumbnails = Images(scope, prefix="t", exact=_EXACT)
    pictures = [_rgb(image) for image in album.pixels]
    placed = [
        at for start in range(0, len(pictures), _COLUMN) for at in thumbnails.place(pictures[start : start + _COLUMN])
    ]
    at = {place: number for number, place in enumerate(album.places)}
    first, classes = album.models[0].first, album.class_names
    index = first.index
    captions = [
        album.names[number] if album.names else f"{kind} image {index[place]:,}" for place, number in at.items()
    ]

    def shot(place: int, answer: str) -> Shot:
        number = at[place]
        truth = classes[first.labels[place]]
        return Shot(thumbnail=placed[number], truth=truth, answer=answer, caption=captions[number])

    def said(model: int, place: int) -> str:
        return f"{album.models[model].said(place)} {album.models[model].first.confidence[place]:.0%}"

    mistakes = {
        model.row: tuple(shot(place, f"taken for {said(number, place)}") for place in places if place in at)
        for number, (model, places) in enumerate(zip(album.models, chosen.mistakes, strict=True))
    }
    alone = [
        shot(place, f"right: {album.models[model].name}, {album.models[model].first.confidence[place]:.0%}")
        for place, model in chosen.alone
        if place in at
    ]
    none = [shot(place, _usual(album, place)) for place in chosen.none if place in at]
    able = sum(not model.baseline for model in album.models)
    no_model = {1: "the model does not get right", 2: "neither model gets right"}.get(
        able, f"none of the {able} models gets right"
    )
    heights, widths = (max((image.shape[side] for image in pictures), default=1) for side in (0, 1))
    several = any(len(model.seeds) > 1 for model in album.models)
    return Gallery(
        kind=kind,
        sentence="" if shown else _instead(album, kind, images=images),
        alone=tuple(alone),
        alone_text=_count(
            len(alone), chosen.alone_count, f"{kind} images that only one of the {able} models gets right"
        ),
        none=tuple(none),
        none_text=_count(len(none), chosen.none_count, f"{kind} images that {no_model}"),
        mistakes=tuple(mistakes.get(row, ()) for row in range(rows)),
        note="Answers are those of each model's first seed." if several else "",
        pairs=pairs(album, placed, captions),
        style=thumbnails.rules({name for name, _ in placed}),
        aspect=f"{widths} / {heights}",
        coarse=max(heights, widths) <= _COARSE,
    )


def _instead(album: Album, kind: str, *, images: bool) -> str:
    listed = "`vitbench show ID --mistakes` lists the mistakes of a model."
    if not images:
        return f"This page was made without images; {listed}"
    if album.gone:
        return f"The {kind} images are no longer in the image cache, so none are shown; {listed}"
    return f"All models get all {kind} images right."


def _count(shown: int, count: int, words: str) -> str:
    """Return ``12 of 340 test images that ...``."""
    return f"{count:,} {words}" if shown == count else f"{shown} of {count:,} {words}"


def _usual(album: Album, place: int) -> str:
    """Return what most models take an image for."""
    said = [model.said(place) for model in album.models if not model.baseline]
    usual = max(said, key=said.count)
    return f"taken for {usual} by {said.count(usual)} of {len(said)}"


def _rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return uint8[H, W, 3] of uint8[C, H, W]: gray where there is one channel or two, else the first three."""
    three = image[:3] if len(image) > 2 else image[:1].repeat(3, axis=0)
    return three.transpose(1, 2, 0)
