"""SIGTERM and SIGHUP stop a command as Ctrl-C does: what a batch system or a closed terminal ends is recorded too."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["stoppable"]


_SIGNALS = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Make SIGTERM and SIGHUP stop what runs as Ctrl-C does. Signals can be set in the main thread only.

    One that is ignored, as under ``nohup``, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: Any) -> None:
        if number != signal.SIGTERM:  # a shell sends a second SIGHUP, which must not end what the first one began
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heeded = [number for number in _SIGNALS if before[number] is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number] or signal.SIG_DFL)  # None: set by another language
