"""`vitbench doctor`: what on this machine would spoil a measurement, as a child process finds it.

The child is `vitbench.doctor.examine`, since torch is not imported here.
"""

from __future__ import annotations

import msgspec

from vitbench.doctor.messages import Examined
from vitbench.doctor.speeds import measure_speeds, speeds_check
from vitbench.execution.choice import chosen_executor
from vitbench.planning.suite import Conditions

__all__ = ["examine"]

TIMEOUT = 60.0
"""Seconds; it takes six on two cores."""


def examine(device: str, *, speeds: bool = False) -> Examined:
    """Examine the machine for runs on a device, in a child process.

    Args:
        device: as the user writes it: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        speeds: also time a small network in fresh processes, and keep which form of a speed is the steadier here.

    Raises:
        UsageError: the word names no kind of device.
        UnusableError: this machine does not have it; or the examination failed.
    """
    ending = chosen_executor().run(
        "vitbench.doctor.examine:examine_in_child", Conditions(device=device), Examined, timeout=TIMEOUT
    )
    examined = ending.answered("examining the machine")
    if not speeds:
        return examined
    return msgspec.structs.replace(examined, checks=(*examined.checks, speeds_check(measure_speeds(device))))
