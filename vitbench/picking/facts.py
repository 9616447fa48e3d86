"""What is said of the data before any model runs: classes and images, how unequal, and which gap can be told at all.

N test images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import TYPE_CHECKING

from vitbench.leaderboard.paired import LEVEL, images_needed
from vitbench.printable import short_size
from vitbench.records import DataInfo
from vitbench.statistics import mcnemar_gap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vitbench.data.splits import Splits

__all__ = ["DISAGREEMENT", "DataFacts", "Gap", "data_facts", "facts_in_words", "resolvable_gap"]

DISAGREEMENT = 0.1
"""Share of the images that one of two models alone has right, where nothing is known yet: of pretrained models of about
one accuracy, 5 to 15 %."""
UNEQUAL = 10.0
"""Images of the largest class over those of the smallest from which on accuracy alone says little of the smallest."""
_WANTED_GAPS = (0.01, 0.02, 0.05)
_MOST_NAMES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """What some images say about two models, by McNemar's exact test."""

    images: int
    """N"""
    disagreement: float
    """Share of them that one of the two alone has right."""
    models: int
    """That are compared, each with each."""
    level: float
    """The largest p-value that counts."""
    smallest: float | None
    """The least difference of top1 that counts, as a fraction; None where none would."""
    needed: Mapping[float, int]
    """Images that show a true difference in four of five cases, by that difference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFacts:
    """What is known of a dataset before any model runs."""

    title: str
    class_names: tuple[str, ...]
    """K"""
    images: Mapping[str, int]
    """Images of each split that are used, by ``train``, ``val`` and ``test``."""
    uniform: tuple[int, int] | None
    """Height and width of all images; None where they differ."""
    short_side: int
    """Median of the shorter sides in pixels; 0 where it is not known."""
    per_class: tuple[int, int, int]
    """Training images, validation among them, of the smallest class, of the median one and of the largest."""
    smallest: tuple[str, ...]
    """The classes that have as few as any."""
    majority: float
    """Share of the test images in the largest class there: what always predicting it would score."""
    majority_name: str
    untested: tuple[str, ...]
    """Classes without a test image, whose recall nothing tells."""
    gap: Gap
    notes: tuple[str, ...]
    """What was found when the images were read: copies, blank images, what was left out."""
    doubts: tuple[str, ...]
    """Why scores on test or validation images are to be taken with care."""

    @property
    def imbalance(self) -> float:
        """Training images of the largest class over those of the smallest; 1 where there are none at all."""
        few, _, many = self.per_class
        return many / few if few else 1.0 if not many else math.inf


def data_facts(info: DataInfo, splits: Splits, *, models: int = 2, disagreement: float = DISAGREEMENT) -> DataFacts:
    """Return what labels and sizes say; no image is read.

    Args:
        info: the dataset.
        splits: of it, with the test split, as `vitbench.data.splits.load_splits` gives them.
        models: that are to be compared, each with each.
        disagreement: of two models, see `Gap`.
    """
    import numpy as np

    count = len(info.class_names)
    learned = np.bincount(np.concatenate([splits.train.labels, splits.val.labels]), minlength=count)
    tested = np.bincount(splits.test.labels, minlength=count)
    fewest = int(learned.min())
    most = int(tested.argmax())
    return DataFacts(
        title=info.title,
        class_names=info.class_names,
        images={"train": len(splits.train), "val": len(splits.val), "test": len(splits.test)},
        uniform=info.uniform,
        short_side=info.short_side,
        per_class=(fewest, median_low(learned.tolist()), int(learned.max())),
        smallest=_named(info.class_names, learned == fewest),
        majority=float(tested[most] / max(1, tested.sum())),
        majority_name=info.class_names[most],
        untested=_named(info.class_names, tested == 0),
        gap=resolvable_gap(len(splits.test), models=models, disagreement=disagreement),
        notes=info.notes,
        doubts=tuple(dict.fromkeys((*info.doubts, *info.val_doubts))),
    )


def resolvable_gap(images: int, *, models: int = 2, disagreement: float = DISAGREEMENT) -> Gap:
    """Return how far two models must be apart to be told apart on some images.

    Args:
        images: N.
        models: that are compared, each with each, at a level that all pairs share as Holm's first step does.
        disagreement: share of the images that one of two models alone has right.
    """
    level = LEVEL / max(1, models * (models - 1) // 2)
    least = mcnemar_gap(round(disagreement * images), level) / images if images else 2.0
    return Gap(
        images=images,
        disagreement=disagreement,
        models=models,
        level=level,
        smallest=least if least <= 1 else None,
        needed={
            gap: images_needed(gap, disagreement, disagreement - gap**2, level)
            for gap in _WANTED_GAPS
            if gap < disagreement
        },
    )


def facts_in_words(facts: DataFacts) -> list[str]:
    """Return the facts in sentences, one per line."""
    lines = [f"{facts.title}: {len(facts.class_names)} classes, {_counted(facts.images)}{_sizes(facts)}."]
    few, middle, many = facts.per_class
    if few == many > 0:
        lines.append(f"Each class has {few:,} images to learn from.")
    elif many:
        lines.append(
            f"A class has {few:,} to {many:,} images to learn from, median {middle:,}; fewest of "
            f"{_listed(facts.smallest)}."
        )
    if facts.imbalance >= UNEQUAL:
        lines.append(
            f"Classes are unequal: always predicting {facts.majority_name!r} is right on "
            f"{100 * facts.majority:.0f} % of "
            "the test images; balanced_accuracy gives each class equal weight."
        )
    if facts.untested:
        lines.append(f"Without test images: {_listed(facts.untested)}.")
    lines.append(_gap(facts.gap))
    return [*lines, *[f"Interpret scores with care: {doubt}." for doubt in facts.doubts]]


def _gap(gap: Gap) -> str:
    """Say which gaps the test images resolve, and how many more images would resolve others."""
    basis = f"where only one of two models is right on {100 * gap.disagreement:.0f} % of them"
    # All pairs share the level: the more candidates, the larger the gap.
    images = f"{gap.images:,} test images"
    if gap.models > 2:
        images = f"With {gap.models} candidates, {images}"
    if gap.smallest is None:
        words = f"{images} are too few to tell any two models apart, {basis}"
    else:
        # A gap cannot exceed the share of images on which the two differ.
        possible = gap.smallest <= gap.disagreement
        words = f"{images} resolve gaps of {_points(gap.smallest)} or more"
        words += f", {basis}" if possible else ", never smaller ones"
    finer = [each for each in gap.needed if gap.smallest is None or each < gap.smallest]
    if not finer:
        return f"{words}."
    wanted = max(finer)
    return f"{words}; a true gap of {_points(wanted)} takes about {gap.needed[wanted]:,} images."


def _points(fraction: float) -> str:
    points = f"{100 * fraction:.2g}"
    return f"{points} point" if points == "1" else f"{points} points"


def _counted(images: Mapping[str, int]) -> str:
    words = {"train": "training", "val": "validation", "test": "test"}
    *first, last = [f"{count:,} {words[name]}" for name, count in images.items() if count]
    return f"{', '.join(first)} and {last} images" if first else f"{last} images"


def _sizes(facts: DataFacts) -> str:
    if facts.uniform is not None:
        size = short_size(facts.uniform)
        return f" of {size}x{size} pixels" if isinstance(size, int) else f" of {size} pixels"
    return f" of mixed sizes, median shorter side {facts.short_side} pixels" if facts.short_side else ""


def _named(class_names: Sequence[str], which: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, holds in zip(class_names, which.tolist(), strict=True) if holds)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(repr, names[:_MOST_NAMES])) + more
