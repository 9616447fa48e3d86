"""Speeds, each made of the raw times of one process."""

from collections.abc import Iterator

import numpy as np

from vitbench import Measurement, Skip, Verdict
from vitbench.protocols import Subject, Timing


def single_image(subject: Subject) -> Iterator[Measurement]:
    """Yield the mean time of single calls."""
    timing = subject.timing
    if not timing.call_seconds:
        raise Skip("no single calls were timed")
    yield Measurement(
        name="single_image",
        value=float(np.mean(timing.call_seconds)),
        n=len(timing.call_seconds),
        samples=(timing.call_seconds,),
        verdict=verdict(timing),
    )


def steady_rate(subject: Subject) -> Iterator[Measurement]:
    """Yield the images per second of the median block."""
    timing = subject.timing
    rates = tuple(timing.batch_size * timing.calls_per_block / seconds for seconds in timing.block_seconds)
    yield Measurement(
        name="steady_rate", value=float(np.median(rates)), n=len(rates), samples=(rates,), verdict=verdict(timing)
    )


def step_time(subject: Subject) -> Iterator[Measurement]:
    """Yield the time of a training step in the median block."""
    timing = subject.timing
    times = tuple(seconds / timing.calls_per_block for seconds in timing.block_seconds)
    yield Measurement(
        name="step_time", value=float(np.median(times)), n=len(times), samples=(times,), verdict=verdict(timing)
    )


def verdict(timing: Timing) -> Verdict:
    """Return what was noticed while these times were taken."""
    if timing.errors:
        return Verdict(level="invalid", reasons=timing.errors)
    return Verdict(level="warn", reasons=timing.warnings) if timing.warnings else Verdict()
