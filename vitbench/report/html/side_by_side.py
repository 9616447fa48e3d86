"""Any two models of one condition side by side: paired difference and test, classes and images on which they differ.

All pairs are compared here, in words and numbers; the page's script only shows the pair that is chosen.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitbench.leaderboard.image_scores import Outcomes
from vitbench.leaderboard.paired import LEVEL, PairedDifference, paired_difference
from vitbench.printable import plain
from vitbench.report.html.album import MOST_BESIDE, Album, Answerer
from vitbench.report.metric_styles import p_value
from vitbench.statistics import holm, mcnemar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Pairs", "pairs"]

_MOST_CLASSES = 8
"""That are listed of a pair: those on which it differs most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """The models of one condition, two by two."""

    models: tuple[str, ...]
    note: str
    data: Mapping[str, Any]
    """For the page's script: names of `models` and `classes`; `thumbnails`, `captions` and `labels` of the images that
    are shown, and each model's `answers` to them; and what is to say of all `pairs`, by the numbers of both models."""


def pairs(album: Album, thumbnails: Sequence[tuple[str, int]], captions: Sequence[str]) -> Pairs | None:
    """Compare every two models.

    Args:
        album: the models and their answers.
        thumbnails: of each image that is shown, as `Images.place` gives it.
        captions: what to call each of them.

    Returns:
        None where there are no two.
    """
    models = album.models[:MOST_BESIDE]
    if len(models) < 2:
        return None
    known = [[Outcomes(scores=one.right, images="") for one in model.seeds] for model in models]
    found: dict[str, Any] = {}
    for first, second in itertools.combinations(range(len(models)), 2):
        difference = paired_difference(known[first], known[second])
        assert difference is not None
        words = _in_words(difference, models[first].name, models[second].name)
        found[f"{first} {second}"] = [words, _classes(models[first], models[second], len(album.class_names))]
    places = list(album.places)
    # Data classes keep their numbers; each model's head may have others behind them.
    others = dict.fromkeys(name for model in models for name in model.class_names[len(album.class_names) :])
    classes = [*album.class_names, *others]
    number = {name: place for place, name in enumerate(classes) if place >= len(album.class_names)}
    left_out = len(album.models) - len(models)
    several = any(len(model.seeds) > 1 for model in models)
    notes = [
        "Each pair is tested separately here; ranks cover all pairs together.",
        "Classes and images are those of each model's first seed." if several else "",
        f"The {len(models)} best models; `vitbench compare A B` compares the others." if left_out else "",
    ]
    return Pairs(
        models=tuple(model.name for model in models),
        note=" ".join(filter(None, notes)),
        data={
            "models": [plain(model.name) for model in models],
            "classes": [plain(name) for name in classes],
            "thumbnails": [list(each) for each in thumbnails],
            "captions": [plain(each) for each in captions],
            "labels": models[0].first.labels[places].tolist(),
            "answers": [
                {
                    "classes": [
                        said if said < len(album.class_names) else number[model.class_names[said]]
                        for said in model.first.classes[places].tolist()
                    ],
                    "confidence": [round(100 * each) for each in model.first.confidence[places].tolist()],
                }
                for model in models
            ],
            "pairs": found,
        },
    )


def _in_words(found: PairedDifference, first: str, second: str) -> list[str]:
    """Return sentences on a pair: the difference with its test, and how many images it rests on."""
    split = found.split
    assert split is not None  # answers are right or wrong
    only = (
        f"Of {found.images:,} images {first} alone has {len(split.first):,} right, and {second} alone "
        f"{len(split.second):,}."
    )
    if found.alike:
        return [plain(f"{first} and {second} have the same images right."), ""]
    ahead, behind, value = (second, first, found.value) if found.value >= 0 else (first, second, -found.value)
    test = "McNemar's exact test" if found.seeds == (1, 1) else "Student's t over images and seeds"
    ends = ""
    if found.low is not None and found.high is not None:
        low, high = (found.low, found.high) if found.value >= 0 else (-found.high, -found.low)
        ends = f"95 % interval {100 * low:.2f} to {100 * high:.2f}, "
    sure = "significant" if found.p_value <= LEVEL else "not significant"
    gap = f"{100 * value:.2f} points ahead of" if value else "level with"
    words = f"{ahead} is {gap} {behind} in right answers ({ends}p {_equals(found.p_value)}, {test}): {sure}."
    return [plain(words), plain(only)]


def _equals(value: float) -> str:
    text = p_value(value)
    return text if text.startswith("<") else f"= {text}"


def _classes(first: Answerer, second: Answerer, num_classes: int) -> list[list[int]]:
    """Return the classes that two models differ most on: class, images, right of each, and whether that is significant.

    The tests of all classes hold together (Holm).
    """
    import numpy as np

    one, other = first.first, second.first

    def count(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
        return np.bincount(one.labels[mask], minlength=num_classes)

    only_first, only_second = count(one.right & ~other.right), count(other.right & ~one.right)
    p = mcnemar(only_first, only_second)
    sure = holm(lambda level: p <= level, num_classes)
    size = np.abs(only_first - only_second)
    images, right, others = count(one.labels >= 0), count(one.right), count(other.right)
    most = [place for place in np.argsort(-size, kind="stable")[:_MOST_CLASSES].tolist() if size[place]]
    return [[int(each) for each in (k, images[k], right[k], others[k], sure[k])] for k in most]
