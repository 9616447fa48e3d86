"""The largest batch that fits in memory: a search over child processes, each of which tries one batch.

It is a generator, so that a run may do something else meanwhile: it yields a size and is sent how that ended.

Only a real out-of-memory error counts as "does not fit". Another failure ends the search as what it is, for a batch
that crashes a kernel has found a bug and not the limit of the memory.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from vitbench.measurements import LARGEST_BATCH, LARGEST_BATCH_ORDER
from vitbench.records import Measurement, Status, Style, Verdict

__all__ = ["LargestBatch", "SearchFailed", "find_largest"]

MOST = 1 << 16
"""No larger batch is tried; by then throughput has long been flat."""
PRECISION = 16
"""The search ends when the first batch that is known not to fit is larger by at most one part in so many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LargestBatch:
    """What a search found."""

    batch_size: int
    """It fits."""
    too_large: int | None = None
    """The smallest batch that is known not to fit; None: none was found."""
    note: str = ""
    """Why the search ended before it found one."""

    def measurement(self) -> Measurement:
        """Return the finding as a figure; its interval holds the true limit."""
        reasons = (self.note,) if self.note else ()
        return Measurement(
            name=LARGEST_BATCH,
            value=self.batch_size,
            unit="images",
            better="higher",
            low=self.batch_size,
            high=self.too_large - 1 if self.too_large else None,
            verdict=Verdict(level="warn" if reasons else "valid", reasons=reasons),
            at=("largest_batch",),
            machine_bound=True,
            style=Style(title="largest batch", unit="images", columns="wide", order=LARGEST_BATCH_ORDER),
        )


class SearchFailed(Exception):  # noqa: N818 - it reports how a search ended
    """A batch ended with something else than success or a lack of memory."""

    def __init__(self, status: Status, reason: str) -> None:
        """Keep how it ended, for the record."""
        super().__init__(reason)
        self.status = status
        self.reason = reason


def find_largest(*, start: int) -> Generator[int, tuple[Status, str], LargestBatch]:
    """Double the batch until one does not fit, then halve the distance between the two.

    Args:
        start: the first batch to try; where it does not fit, smaller ones are.

    Yields:
        The batch to run; it is sent the status and the reason of that: `ok` fits, `oom` does not, `timeout` ends the
        search with what was found before.

    Raises:
        SearchFailed: a batch failed in another way, or not even a single image fits.
    """
    fits, too_large, size = 0, None, start
    while True:
        status, reason = yield size
        if status == "ok":
            fits = size
        elif status == "oom":
            too_large = size
        elif status == "timeout" and fits:
            return LargestBatch(batch_size=fits, too_large=too_large, note=f"batch {size} {reason}")
        else:
            raise SearchFailed(status, f"batch {size}: {reason}")
        if too_large == 1:
            raise SearchFailed("oom", f"not even one image fits: {reason}")
        if fits == MOST:
            return LargestBatch(batch_size=fits, note=f"batches above {MOST:,} are not tried")
        if too_large is None:
            size = min(2 * fits, MOST)
        elif not fits:
            size = too_large // 2
        elif too_large - fits <= max(1, too_large / PRECISION):
            return LargestBatch(batch_size=fits, too_large=too_large)
        else:
            size = (fits + too_large) // 2
