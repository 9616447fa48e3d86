"""How the time of a run is shared among its trainings. Pure functions of costs and seconds.

Each training gets the same seconds; one whose recipe ends before takes less, and the others share what it leaves. What
a cell takes beside its training (start-up, evaluation, metrics) is subtracted first, as are speeds and baselines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

__all__ = ["Cost", "Planned", "pace_of", "shared"]

SLOWEST, FASTEST = 4.0, 0.5
"""Cells that took longer or shorter than expected by more than this are exceptions, from which nothing follows."""


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a cell with a training costs, in seconds."""

    fixed: float
    """Whatever its length: start-up, evaluation on the test images, metrics."""
    step: float
    """Of each step; 0: it takes none that can be counted, and `fixed` is all."""
    validation: float = 0.0
    """After each epoch."""
    epoch: int = 0
    """Steps of an epoch; 0: unknown, and no validation counts."""
    length: int = 0
    """Steps of the recipe's own length; 0: unknown, and taken to be endless."""

    def training(self, steps: int) -> float:
        """Return the seconds of so many steps, with the validation after each epoch, a last one cut short included."""
        epochs = -(-steps // self.epoch) if self.epoch else 0
        return steps * self.step + epochs * self.validation

    def steps_within(self, seconds: float) -> int:
        """Return how many steps a training may take in this time: one at least, its own length at most."""
        if not self.step:
            return 0
        whole, left = 0, seconds
        if self.epoch:
            of_epoch = self.epoch * self.step + self.validation
            epochs = max(0, int(seconds / of_epoch))
            whole, left = epochs * self.epoch, seconds - epochs * of_epoch - self.validation
        steps = max(1, whole + max(0, int(left / self.step)))
        return min(steps, self.length) if self.length else steps

    def at_pace(self, pace: float) -> Cost:
        """Return what it costs where all takes so many times as long."""
        return msgspec.structs.replace(
            self, fixed=self.fixed * pace, step=self.step * pace, validation=self.validation * pace
        )

    @property
    def most(self) -> float:
        """Seconds of the recipe's own length."""
        return self.training(self.length) if self.length else float("inf")

    @property
    def least(self) -> float:
        """Seconds of the cell with a single step."""
        return self.fixed + (self.training(1) if self.step else 0.0)


class Planned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the plan gives one cell with a training, as it is kept beside the results."""

    cost: Cost
    seconds: float
    """Of training."""
    steps: int
    """As they are now; once the training has begun they stay."""
    first_steps: int
    """As they were before the first training of the run."""
    begun: bool = False

    @property
    def whole(self) -> float:
        """Seconds of the whole cell, as expected."""
        return self.cost.fixed + self.cost.training(self.steps)


def shared(costs: Mapping[str, Cost], seconds: float) -> dict[str, float]:
    """Return how long each cell may train, so that all together, with what they take beside, take these seconds.

    Args:
        costs: by the key of a cell.
        seconds: for all of them.
    """
    left = seconds - sum(cost.fixed for cost in costs.values())
    shares: dict[str, float] = {}
    waiting = {key: cost for key, cost in costs.items() if cost.step}
    for key, cost in sorted(waiting.items(), key=lambda each: each[1].most):
        share = max(0.0, min(cost.most, left / (len(waiting) - len(shares))))
        shares[key] = share
        left -= share
    return {key: shares.get(key, 0.0) for key in costs}


def pace_of(taken: Iterable[tuple[float, float]]) -> float:
    """Return by how much cells took longer than expected: pairs of the seconds that were expected, and those taken."""
    pairs = list(taken)
    expected = sum(pair[0] for pair in pairs)
    if not expected:
        return 1.0
    return min(SLOWEST, max(FASTEST, sum(pair[1] for pair in pairs) / expected))
