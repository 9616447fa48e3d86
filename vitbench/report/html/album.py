"""Which of the images that models were judged on a page shows: mistakes, and images on which the models differ.

Answers are those of each model's first seed. M models, N images.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vitbench.data.cached_images import cached_images, image_names
from vitbench.leaderboard.answers import Answers
from vitbench.records import DataInfo
from vitbench.specs import SplitName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MOST_BESIDE", "MOST_IMAGES", "Album", "Answerer", "Chosen", "album", "choose"]

MOST_IMAGES = 400
"""That a page shows, so that it stays small."""
MOST_BESIDE = 24
"""Models of one condition that can be set side by side, the best: every two of them are compared."""
_MOST_OF_A_KIND = 12
"""Images of one model's mistakes, or of one list."""
_OF_A_PAIR = 3
"""Images that are there, where there are so many, to show what one model has right and another has wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answerer:
    """A model of one condition, and what it answered."""

    row: int
    """Its number in the table, from 0."""
    name: str
    baseline: bool
    class_names: tuple[str, ...]
    """What it can answer: the classes of the data, then others of its own head."""
    seeds: tuple[Answers, ...]
    """Of each seed, at least one, on the same images."""

    @property
    def first(self) -> Answers:
        """The answers that are shown."""
        return self.seeds[0]

    def said(self, place: int) -> str:
        """Return what it took an image for."""
        return self.class_names[int(self.first.classes[place])]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """Places of images, 0..N-1, and of models, 0..M-1."""

    mistakes: tuple[tuple[int, ...], ...]
    """Of each model, the most confident first."""
    alone: tuple[tuple[int, int], ...]
    """Images that only one model has right, with the model; baselines aside."""
    alone_count: int
    """How many there are in all."""
    none: tuple[int, ...]
    """Images that no model has right, baselines aside, those first of which the models are the most confident."""
    none_count: int
    others: tuple[int, ...]
    """Further ones, so that there is something to see of two models side by side."""

    def places(self) -> list[int]:
        """Return all images, each once, ascending."""
        listed = itertools.chain(*self.mistakes, (place for place, _ in self.alone), self.none, self.others)
        return sorted({*listed})


@dataclass(frozen=True, kw_only=True, slots=True)
class Album:
    """What the page shows of the images of one condition."""

    split: SplitName
    class_names: tuple[str, ...]
    """Of the data."""
    models: tuple[Answerer, ...]
    """Those with answers to the same images, in the order of the table."""
    chosen: Chosen
    places: tuple[int, ...]
    """Of the images that are shown, P of the N; none where they are left out or gone."""
    pixels: tuple[NDArray[Any], ...]
    """Of these, uint8[C, H, W]."""
    names: tuple[str, ...]
    """Of these, of their files; empty where they have none."""
    gone: bool
    """Whether there is none to show because the cache does not hold them any more."""


def album(
    models: Sequence[Answerer], data: Iterable[DataInfo], split: SplitName, *, images: bool, room: int
) -> Album | None:
    """Choose images and read them from the cache.

    Args:
        models: of one condition, in the order of the table.
        data: where the images are cached; the first cache that still has them serves.
        split: that models were judged on.
        images: whether any are shown.
        room: how many may be shown.

    Returns:
        None where no answers are stored.
    """
    data = list(data)
    if not models or not data:
        return None
    # Of several kinds, such as of a dataset that was decoded again, the most usual.
    usual = max(models, key=lambda one: sum(one.first.are_on_images_of(other.first) for other in models))
    models = [one for one in models if one.first.are_on_images_of(usual.first)]
    chosen = choose([one.first for one in models], [one.baseline for one in models], room)
    places = chosen.places()
    index, labels = usual.first.index[places].tolist(), usual.first.labels[places].tolist()
    pixels, names = None, None
    if images:
        pixels = next((found for info in data if (found := cached_images(info, split, index, labels))), None)
        files = (image_names(info, split, max(index, default=0) + 1) for info in data)
        names = next(filter(None, files), None)
    return Album(
        split=split,
        class_names=data[0].class_names,
        models=tuple(models),
        chosen=chosen,
        places=tuple(places) if pixels else (),
        pixels=tuple(pixels or ()),
        names=tuple(names[row] for row in index) if pixels and names else (),
        gone=images and bool(places) and pixels is None,
    )


def choose(answers: Sequence[Answers], baseline: Sequence[bool], room: int) -> Chosen:
    """Choose what to show.

    Args:
        answers: of each of M models, at least one, on the same N images.
        baseline: which of them are baselines.
        room: how many images may be shown; a model's most confident mistake is shown in any case.
    """
    import numpy as np

    own = max(1, min(_MOST_OF_A_KIND, room // (2 * len(answers))))
    mistakes = tuple(tuple(one.mistakes()[:own].tolist()) for one in answers)
    right = np.stack([one.right for one in answers])
    confidence = np.stack([one.confidence for one in answers])
    able = np.flatnonzero(~np.array(baseline, dtype=bool))
    alone: list[tuple[int, int]] = []
    none: NDArray[np.intp] = np.empty(0, dtype=np.intp)
    alone_count = 0
    if len(able) > 1:
        counts = right[able].sum(axis=0)
        single = np.flatnonzero(counts == 1)
        alone_count = len(single)
        alone = list(itertools.islice(_in_turn(single, able[right[able][:, single].argmax(axis=0)], confidence), own))
        none = np.flatnonzero(counts == 0)
        none = none[np.argsort(-confidence[able][:, none].mean(axis=0), kind="stable")]
    chosen = Chosen(
        mistakes=mistakes,
        alone=tuple(alone),
        alone_count=alone_count,
        none=tuple(none[:own].tolist()),
        none_count=len(none),
        others=(),
    )
    taken = chosen.places()
    differing = _differing(right[:MOST_BESIDE], confidence[:MOST_BESIDE], taken)
    return replace(chosen, others=tuple(itertools.islice(differing, max(0, room - len(taken)))))


def _in_turn(
    places: NDArray[np.intp], models: NDArray[np.intp], confidence: NDArray[np.float64]
) -> Iterator[tuple[int, int]]:
    """Yield images with the model that has each right: the one each model is surest of, then the next of each."""
    own: dict[int, list[int]] = defaultdict(list)
    for place, model in sorted(
        zip(places.tolist(), models.tolist(), strict=True), key=lambda each: -confidence[each[1], each[0]]
    ):
        own[model].append(place)
    for row in itertools.zip_longest(*(own[model] for model in sorted(own))):
        for place, model in zip(row, sorted(own), strict=True):
            if place is not None:
                yield place, model


def _differing(right: NDArray[np.bool_], confidence: NDArray[np.float64], taken: Sequence[int]) -> Iterator[int]:
    """Yield images that show how two models differ, of each two as many as are missing among those taken already."""
    import numpy as np

    known = np.zeros(right.shape[1], dtype=bool)
    known[list(taken)] = True
    for wanted in range(1, _OF_A_PAIR + 1):
        for first, second in itertools.permutations(range(len(right)), 2):
            differ = right[first] & ~right[second]
            if np.count_nonzero(differ & known) < wanted:
                fresh = np.flatnonzero(differ & ~known)
                if len(fresh):
                    place = int(fresh[confidence[second][fresh].argmax()])
                    known[place] = True
                    yield place
