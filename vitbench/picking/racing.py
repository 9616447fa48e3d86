"""Which models leave a race: those that are significantly behind on the same images, and no others. N images.

The models are looked at several times, each time having learned from more labels, as in successive halving (K. Jamieson
and A. Talwalkar, AISTATS 2016), which drops half of them at each look, whatever chance had to do with it. Here a model
leaves only where McNemar's exact test, one-sided, says that it is behind the best of that look (Q. McNemar,
Psychometrika 12, 1947), as in the race of Maron and Moore (NIPS 1993). So a race may end with all that began it: what
is not told apart is said to be so.

The level is shared by Bonferroni over all looks, and at each over all models that began but the one that is best in
truth: of these the one that leads is found by looking, so the test against it must be valid for each of them. Hence the
model whose true accuracy is the highest at a look leaves there with a chance of at most `LEVEL` over the whole race,
however the models' answers depend on one another. A model whose curve would have crossed those of others later is not
protected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitbench.statistics import mcnemar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LEVEL", "LOOKS", "Behind", "Look", "level_of", "look"]

LEVEL = 0.05
"""Chance that a race drops, at any of its looks, the model that is best there in truth."""
LOOKS = (0.125, 0.25, 0.5, 1.0)
"""Shares of the labels that models have learned from at each look."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Behind:
    """A model that is significantly behind."""

    accuracy: float
    leader: str
    leader_accuracy: float
    p_value: float
    """One-sided, of this pair alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What one look at a race shows."""

    images: int
    """N"""
    level: float
    """The largest p-value that drops a model."""
    accuracy: Mapping[str, float]
    """Of each model, the best first."""
    behind: Mapping[str, Behind]
    """Those that leave."""

    @property
    def left(self) -> tuple[str, ...]:
        """Those that stay, the best first."""
        return tuple(name for name in self.accuracy if name not in self.behind)


def level_of(models: int, looks: int) -> float:
    """Return the level of one test.

    Args:
        models: that begin the race.
        looks: that there may be.
    """
    return LEVEL / (looks * max(1, models - 1))


def look(right: Mapping[str, NDArray[np.bool_]], *, level: float) -> Look:
    """Look at the models that are still in a race.

    Args:
        right: of each model bool[N], which of the same N images it has right.
        level: of each test, see `level_of`.

    Raises:
        ValueError: there is no model, or no image, or not all are judged on as many.
    """
    sizes = {len(each) for each in right.values()}
    if len(sizes) != 1 or sizes == {0}:
        raise ValueError(f"models are compared on the same images, one at least, not on {sorted(sizes)}")
    accuracy = {name: float(right[name].mean()) for name in _best_first(right)}
    leader, *others = accuracy
    ahead = [int((right[leader] & ~right[name]).sum()) for name in others]
    only_other = [int((right[name] & ~right[leader]).sum()) for name in others]
    # One-sided: the chance that a model which is as good as the leader is so far behind, at least.
    p_values = dict(zip(others, (mcnemar(ahead, only_other) / 2).tolist(), strict=True))
    behind = {
        name: Behind(accuracy=accuracy[name], leader=leader, leader_accuracy=accuracy[leader], p_value=p_value)
        for name, p_value in p_values.items()
        if p_value <= level
    }
    return Look(images=sizes.pop(), level=level, accuracy=accuracy, behind=behind)


def _best_first(right: Mapping[str, NDArray[np.bool_]]) -> Sequence[str]:
    """Return the models by the images they have right; among equals in the order given."""
    return sorted(right, key=lambda name: -int(right[name].sum()))
