"""How the time of a pick is divided, and what of it is used. Pure functions of seconds, and a clock.

Speeds may take until a quarter of the budget is gone, the race until a bit more than half of it is; all that is left
trains the finalists. What does not fit is set aside, and is said to be.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

__all__ = [
    "RACE_SHARE",
    "TIMING_SHARE",
    "WAVE",
    "Clock",
    "finalists_within",
    "first_pass",
    "look_seconds",
    "looks_of",
    "training_seconds",
]

TIMING_SHARE, RACE_SHARE = 0.25, 0.55
"""Shares of the budget that may be gone when all speeds are measured, and when the race ends."""
WAVE = 4
"""Candidates whose speeds are measured together, in turn: then it is seen whether there is time for the next."""
GROWTH = 2.0
"""How much longer the speeds of the next wave may take than those of the last: the list grows from small to large."""
LEAST_IMAGES, MOST_IMAGES = 3_200, 32_000
"""Images that a finalist with learned weights sees in training: 50 and 500 steps of 64 ..."""
LEAST_PASSES, MOST_PASSES = 2, 20
"""... and how often one without sees each training image, if that is more. As many finalists as can have the larger
number; two, where they have the smaller at least, so that there is something to compare; else one."""
STEP_SHARE = 3.0
"""A step of training takes this many times as long as the forward pass of its images."""
CELL_SECONDS = 2.0
"""Of a probe or a training beside its passes over images: start-up, the fit of a head, metrics."""
UNKNOWN_SPEED = 5.0
"""Images per second of a model whose speed is not known: that of a large one on a slow machine."""
LEAST_PER_CLASS = 2
"""Labelled images of each class that the smallest look has, on average."""


class Clock:
    """What of the budget is used, over all attempts at the same pick."""

    def __init__(self, budget: float, earlier: float, *, now: Callable[[], float] = time.time) -> None:
        """Start, or go on after the seconds that `earlier` attempts used."""
        self.budget, self.earlier, self._now, self._began = budget, earlier, now, now()

    @property
    def used(self) -> float:
        """Seconds."""
        return self.earlier + self._now() - self._began

    def until(self, share: float = 1.0) -> float:
        """Return the seconds until a share of the budget is used; negative where it is."""
        return share * self.budget - self.used


def first_pass(processes: int, seconds: float, candidates: int) -> float:
    """Return what the least takes that tells anything: the speeds of all candidates, and the first look.

    Args:
        processes: of all speed cells.
        seconds: of each process.
        candidates: that are raced or trained.
    """
    return processes * seconds + candidates * CELL_SECONDS


def looks_of(shares: Sequence[float], images: int, classes: int) -> tuple[float, ...]:
    """Return the shares of the labels that leave enough images of each class; all of them at last, in any case."""
    return tuple(share for share in shares if share == shares[-1] or share * images >= LEAST_PER_CLASS * classes)


def look_seconds(speeds: Sequence[float | None], new_images: float) -> float:
    """Return what a look at some models takes, given images per second, and the images that none has seen yet."""
    return sum(CELL_SECONDS + new_images / (speed or UNKNOWN_SPEED) for speed in speeds)


def training_seconds(
    speed: float | None, *, learned: bool, train_images: float, test_images: float
) -> tuple[float, float]:
    """Return what the training of a finalist takes, with its evaluation: a short one and a full one."""

    def seconds(images: float) -> float:
        return CELL_SECONDS + (STEP_SHARE * images + test_images) / (speed or UNKNOWN_SPEED)

    least, most = (0, 0) if learned else (LEAST_PASSES, MOST_PASSES)
    return seconds(max(LEAST_IMAGES, least * train_images)), seconds(max(MOST_IMAGES, most * train_images))


def finalists_within(costs: Sequence[tuple[float, float]], seconds: float) -> int:
    """Return how many of some models, the best first, can be trained in the time that is left; one at least.

    Args:
        costs: of each, as `training_seconds` gives them.
        seconds: that are left.
    """
    full = _fitting([most for _, most in costs], seconds)
    short = _fitting([least for least, _ in costs], seconds)
    return min(len(costs), max(1, full, min(2, short)))


def _fitting(costs: Sequence[float], seconds: float) -> int:
    """Return how many fit, from the first on."""
    total, count = 0.0, 0
    for cost in costs:
        total += cost
        if total > seconds or not math.isfinite(total):
            break
        count += 1
    return count
