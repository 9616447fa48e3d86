"""`vitbench doctor`: what on this machine would spoil a measurement, as a child process finds it.

The child is `vitbench.doctor.examine`, since torch is not imported here.
"""

from __future__ import annotations

from vitbench.doctor.messages import Examined
from vitbench.execution.choice import chosen_executor
from vitbench.planning.suite import Conditions

__all__ = ["examine"]

TIMEOUT = 60.0
"""Seconds; it takes six on two cores."""


def examine(device: str) -> Examined:
    """Examine the machine for runs on a device, in a child process.

    Args:
        device: as the user writes it: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        UsageError: the word names no kind of device.
        UnusableError: this machine does not have it; or the examination failed.
    """
    ending = chosen_executor().run(
        "vitbench.doctor.examine:examine_in_child", Conditions(device=device), Examined, timeout=TIMEOUT
    )
    return ending.answered("examining the machine")
