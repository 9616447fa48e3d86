"""The times of an epoch for its row of the training curve, evaluation left out: images per second, waiting for data."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import perf_counter
from typing import TypeVar

import torch
from torch import Tensor

from vitbench.measuring.steps import synchronise
from vitbench.training.loading import Batch

__all__ = ["EpochClock", "waited"]

NOTABLE_WAIT = 0.1
"""The share of a training from which waiting for data is said: below, another way of loading would gain little."""

Given = TypeVar("Given", Batch, tuple[Tensor, Tensor])


def waited(curve: Iterable[Mapping[str, float]]) -> str:
    """Return that a notable share of a training was spent waiting for data, in words; empty where it was not.

    Args:
        curve: its rows, as `FitRun.log` got them from `EpochClock.lap`; those of a recipe that has none say nothing.
    """
    rows = list(curve)
    took = max((row.get("train_seconds", 0.0) for row in rows), default=0.0)
    waits = (row.get("wait_seconds", 0.0) + row.get("pretrain_wait_seconds", 0.0) for row in rows)
    share = sum(waits) / took if took else 0.0
    return f"{share:.0%} of the training was spent waiting for data" if share >= NOTABLE_WAIT else ""


class EpochClock:
    """Times the steps of each epoch: `watch` its batches, and call `lap` after the last one, before evaluation.

    ::

        clock = EpochClock(run.device)
        for epoch in range(epochs):
            for batch in clock.watch(shuffled(...)):
                ...
            times = clock.lap()
            run.log(epoch=epoch + 1, val_top1=evaluate_top1(...), **times)

    Only `lap` waits for a GPU. As a part of `vitbench.training.TrainingState` it goes on after a kill: what an
    attempt did after it saved for the last time is done again, and counts once.
    """

    def __init__(self, device: torch.device) -> None:
        """Start at zero seconds of training on a device."""
        self._device = device
        self._earlier = 0.0  # seconds of the epochs before
        self._seconds = 0.0  # of this epoch until `_since`
        self._since: float | None = None
        self._images = 0
        self._in_hand = 0  # images of the batch whose step is under way
        self._wait = 0.0
        self._marks: deque[tuple[torch.cuda.Event, torch.cuda.Event]] = deque()

    def watch(
        self, batches: Iterable[Given], prepare: Callable[[Iterator[Given]], Iterator[Given]] = iter
    ) -> Iterator[Given]:
        """Yield the batches of an epoch, and time the epoch from here on.

        Args:
            batches: what is waited for.
            prepare: what is done with them before a step, such as `Augmentation.batches`; it may take several ahead,
                and its time does not count as waiting.
        """
        self._since = perf_counter()
        for batch in prepare(self._waited_for(iter(batches))):
            self._in_hand = len(batch.labels if isinstance(batch, Batch) else batch[1])
            yield batch
            self._put_down()

    def lap(self) -> dict[str, float]:
        """Return the times of the epoch that ends, for `FitRun.log`, and stop until the next one is watched.

        Returns:
            ``images_per_second``; ``wait_seconds``, in which there was nothing to do but to wait for a batch; and
            ``train_seconds`` since the training began. No evaluation is in any of them, but what saving the state for
            a resume took is: less than 2 %.

        Raises:
            ValueError: no batch was watched since the last call.
        """
        self._put_down()
        if not self._images:
            raise ValueError("lap() ends an epoch, but no batch of one went through watch()")
        self._stop()
        self._earlier += self._seconds
        times = {
            "images_per_second": self._images / self._seconds,
            "wait_seconds": self._wait,
            "train_seconds": self._earlier,
        }
        self._seconds, self._images, self._wait, self._since = 0.0, 0, 0.0, None
        return times

    def state_dict(self) -> dict[str, float]:
        """Return what it has counted so far, without the current batch: a state is saved before a step."""
        self._stop()
        return {
            "earlier_seconds": self._earlier,
            "epoch_seconds": self._seconds,
            "epoch_images": self._images,
            "epoch_wait_seconds": self._wait,
        }

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Resume from what `state_dict` returned, possibly within an epoch: then watch the rest of its batches."""
        self._earlier, self._seconds = state["earlier_seconds"], state["epoch_seconds"]
        self._images, self._wait = int(state["epoch_images"]), state["epoch_wait_seconds"]
        self._since, self._in_hand = None, 0
        self._marks.clear()

    def _waited_for(self, source: Iterator[Given]) -> Iterator[Given]:
        while (batch := self._next(source)) is not None:
            yield batch

    def _put_down(self) -> None:
        """Count the batch in hand, whose step was taken."""
        self._images += self._in_hand
        self._in_hand = 0

    def _next(self, source: Iterator[Given]) -> Given | None:
        """Return the next batch, None after the last, and add how long it was waited for.

        A GPU that still computes does not wait for what the CPU fetches meanwhile, so that it is asked itself: two
        events in its queue, before the batch and after, are as far apart as the GPU had no step to take.
        """
        if self._device.type != "cuda":
            before = perf_counter()
            batch = next(source, None)
            self._wait += perf_counter() - before
            return batch
        mark = self._event()
        batch = next(source, None)
        self._marks.append((mark, self._event()))
        self._read_marks()
        return batch

    def _event(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _read_marks(self) -> None:
        """Read the events that the GPU has passed."""
        while self._marks and self._marks[0][1].query():  # type: ignore[no-untyped-call]
            before, after = self._marks.popleft()
            self._wait += before.elapsed_time(after) / 1e3

    def _stop(self) -> None:
        """Add the time since the epoch, or the last call, began; all that was asked of the device is done then."""
        if self._since is None:
            return
        synchronise(self._device)
        self._read_marks()
        now = perf_counter()
        self._seconds += now - self._since
        self._since = now
