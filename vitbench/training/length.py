"""How long a training is: a number of steps that is fixed before it, or, where its recipe is asked to, by the clock."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from vitbench.errors import UsageError
from vitbench.protocols import FitRun
from vitbench.training.loading import steps_per_epoch
from vitbench.training.schedules import total_steps

__all__ = ["TrainingLength"]

T = TypeVar("T")


class TrainingLength:
    """The length of a training run and its current position, in steps, for its schedule and its end.

    ::

        length = TrainingLength(run, len(data.train), batch_size)
        for epoch in range(done // steps, length.epochs):
            if length.is_over(done):
                break
            for batch in length.within(shuffled(..., start=done % steps), done):
                lr = peak * warmup_cosine(length.at(done), total_steps=length.total, warmup_steps=...)
                ...
                done += 1

    By default it counts only steps, so the same steps give the same bits. With the recipe's option ``by_time``
    it goes by the clock: its position is the share of `Budget.seconds` that has passed, so the schedule ends with the
    time, however fast the machine was. As a part of `vitbench.training.TrainingState` the clock goes
    on after a kill.
    """

    def __init__(self, run: FitRun, num_images: int, batch_size: int) -> None:
        """Start the clock.

        Raises:
            UsageError: the length is below one, or ``by_time`` is asked for without a budget.
        """
        self._total, self._epoch = total_steps(run, num_images, batch_size), steps_per_epoch(num_images, batch_size)
        self._seconds: float | None = None
        if run.options.get("by_time"):
            if run.budget.seconds is None:
                raise UsageError("by_time = true needs a budget; add --budget, such as --budget 30m")
            self._seconds = run.budget.seconds
        self._began = time.monotonic()

    @property
    def total(self) -> int:
        """Maximum number of steps, and the length of the schedule."""
        return self._total

    @property
    def epochs(self) -> int:
        """Passes over the images; the last may be cut short."""
        return -(-self._total // self._epoch)

    def at(self, done: int) -> int:
        """Return the position in the schedule after `done` steps: `done`, or a later one if it goes by the clock."""
        if self._seconds is None:
            return done
        return max(done, int(self.total * (time.monotonic() - self._began) / self._seconds))

    def is_over(self, done: int) -> bool:
        """Return whether training ends after `done` steps."""
        return self.at(done) >= self.total

    def within(self, batches: Iterable[T], done: int) -> Iterator[T]:
        """Yield the batches of an epoch until the training is over; the first one always.

        Args:
            batches: what is left of the epoch.
            done: steps before them.
        """
        for count, batch in enumerate(batches, done + 1):
            yield batch
            if self.is_over(count):
                return

    def state_dict(self) -> dict[str, float]:
        """Return the seconds that have passed."""
        return {"seconds": time.monotonic() - self._began}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Resume from what `state_dict` returned."""
        self._began = time.monotonic() - state["seconds"]
