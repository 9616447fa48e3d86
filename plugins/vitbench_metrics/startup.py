"""Metrics on the start: how long it takes from nothing to a first answer, and what device and compiler take of it.

A single figure of each process, which has imported torch and the model's code already: what differs between models
is building, loading weights, and the first pass.
"""

from __future__ import annotations

from collections.abc import Iterator

from vitbench import Measurement, Skip, Verdict
from vitbench.protocols import Startup, Subject


def startup(subject: Subject) -> Iterator[Measurement]:
    """Give the seconds to begin with the device, build the model and run it once; and of these, where there are any,
    those of the device and those of compiling.
    """
    start = subject.startup
    if start is None:
        raise Skip("there is no start")
    yield _seconds("cold_start", start.connect_seconds + start.build_seconds + start.first_call_seconds, start)
    if start.connect_seconds:
        yield _seconds("connect_seconds", start.connect_seconds, start)
    if start.compiled:
        yield _seconds("compile_seconds", start.first_call_seconds - start.second_call_seconds, start)


def _seconds(name: str, value: float, start: Startup) -> Measurement:
    # Without samples: that they differ from process to process (the first one reads from disk what the others find in
    # memory) is in the nature of a start, and no doubt on it.
    reasons = (*start.errors, *start.warnings)
    verdict = Verdict(level="invalid" if start.errors else "warn" if reasons else "valid", reasons=reasons)
    return Measurement(name=name, value=value, n=1, verdict=verdict)
