"""Signs of life from work that gives none itself, such as a download inside a library."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vitbench.execution.executor import Send
from vitbench.execution.messages import Progress

__all__ = ["signs_of_life"]

SECONDS = 20.0


@contextmanager
def signs_of_life(send: Send, stage: str) -> Iterator[None]:
    """Send a sign of life every 20 s until the block ends; never around a timed region."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(SECONDS):
            send(Progress(stage=stage))

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
