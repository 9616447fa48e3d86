"""How long a process that times a model may take."""

from __future__ import annotations

from vitbench.records import SpeedCell

__all__ = ["speed_timeout"]

SPEED_TIMEOUT = 120.0
"""Seconds for one process of a speed cell; training has no limit but its signs of life."""
COMPILE_TIMEOUT = 900.0
"""The same where a model is compiled: a deep one takes minutes on few cores."""


def speed_timeout(cell: SpeedCell) -> float:
    """Return the seconds that one process of a speed cell may take, or one answer of a live one."""
    return COMPILE_TIMEOUT if cell.compile else SPEED_TIMEOUT
