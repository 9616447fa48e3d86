"""Waiting for processes to start and to be gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["PATIENCE", "is_alive", "wait_for"]

PATIENCE = 60.0
"""Seconds after which a test gives up on a loaded machine; none waits so long where all is well."""


def wait_for(condition: Callable[[], object]) -> bool:
    """Wait until a condition holds, and return whether it does."""
    until = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return bool(condition())


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
