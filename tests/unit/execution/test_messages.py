"""A process that compiles gets more time, whatever else it does."""

from __future__ import annotations

import factories

from vitbench.execution.messages import COMPILE_TIMEOUT, SPEED_TIMEOUT, time_limit
from vitbench.records import SpeedCell


def test_compiling_takes_minutes() -> None:
    plain, compiled = (factories.speed_cell(compile="default" if each else "").cell for each in (False, True))
    assert isinstance(plain, SpeedCell)
    assert isinstance(compiled, SpeedCell)
    assert (time_limit(plain), time_limit(compiled)) == (SPEED_TIMEOUT, COMPILE_TIMEOUT)
    assert time_limit(compiled) > 2 * time_limit(plain)
    assert time_limit(factories.speed_cell(sustained=600.0).cell) == SPEED_TIMEOUT + 600
