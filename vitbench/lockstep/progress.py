"""What a comparison says while it runs, which may take minutes: now and then a line, in a pipe too."""

from __future__ import annotations

import time
from collections.abc import Callable

from vitbench.lockstep.compare import MOST_PAIRS
from vitbench.printable import describe_seconds

__all__ = ["pair_talker"]

EVERY_SECONDS = 20.0
"""The least time between two lines; a pair of processes takes about ten seconds."""


def pair_talker(say: Callable[[str], None], what: str) -> Callable[[int], None]:
    """Return what reports that some pairs of processes have been measured, unless it just told so.

    It speaks between two pairs, while nothing is timed.

    Args:
        say: gets the line.
        what: is measured.
    """
    started = last = time.monotonic()

    def tell(pairs: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY_SECONDS:
            last = now
            count = f"{pairs} pair{'s' if pairs != 1 else ''} of processes, at most {MOST_PAIRS}"
            say(f"  {what}: {count}; {describe_seconds(now - started)} so far.")

    return tell
