"""SIGTERM stops a command as Ctrl-C does, so that what a batch system ends is recorded too."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["stoppable"]


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Make SIGTERM stop what runs as Ctrl-C does. Signals can be set in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
