"""How the time of a pick is divided, and what of it is used. Pure functions of seconds, and a clock.

Speeds may take until a quarter of the budget is gone, the race until a bit more than half of it is; all that is left
trains the finalists. What does not fit is set aside, and is said to be.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "LEAST_IMAGES",
    "MOST_IMAGES",
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
"""Images that a finalist sees in training: 50 and 500 steps of 64. As many finalists as can see the larger number;
two, where they see the smaller at least, so that there is something to compare; else one."""
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

    def __init__(self, budget: float, spent: float, *, now: Callable[[], float] = time.time) -> None:
        """Start, or go on after `spent` seconds of earlier attempts."""
        self.budget, self._spent, self._now, self._began = budget, spent, now, now()

    @property
    def used(self) -> float:
        """Seconds."""
        return self._spent + self._now() - self._began

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


def training_seconds(speed: float | None, images: int, test_images: int) -> float:
    """Return what the training of a finalist takes that sees so many images, with its evaluation."""
    return CELL_SECONDS + (STEP_SHARE * images + test_images) / (speed or UNKNOWN_SPEED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """How many finalists there is time for."""

    count: int
    needed: float
    """Seconds that one more would have taken; 0 where all have a place."""


def finalists_within(speeds: Mapping[str, float | None], seconds: float, test_images: int) -> Places:
    """Return how many of some models, the best first, can be trained in the time that is left; one at least."""
    costs = {
        images: [training_seconds(speed, images, test_images) for speed in speeds.values()]
        for images in (LEAST_IMAGES, MOST_IMAGES)
    }
    full = _fitting(costs[MOST_IMAGES], seconds)
    count = max(1, full, min(2, _fitting(costs[LEAST_IMAGES], seconds)))
    count = min(count, len(speeds))
    return Places(count=count, needed=sum(costs[MOST_IMAGES]) if count < len(speeds) else 0.0)


def _fitting(costs: Sequence[float], seconds: float) -> int:
    """Return how many fit, from the first on."""
    total, count = 0.0, 0
    for cost in costs:
        total += cost
        if total > seconds or not math.isfinite(total):
            break
        count += 1
    return count
