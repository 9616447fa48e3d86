"""Metrics on loading: images per second from the cache on, without a model and through one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vitbench import Measurement, Skip, Verdict
from vitbench.protocols import Loading, Subject


def loading(subject: Subject) -> Iterator[Measurement]:
    """Give the images per second of loading alone, and of loading with the forward pass after it."""
    times = subject.loading
    if times is None:
        raise Skip("loading was not timed")
    yield _images_per_second("data_throughput", times.data_seconds, times)
    yield _images_per_second("end_to_end_throughput", times.end_to_end_seconds, times)


def _images_per_second(name: str, batch_seconds: Sequence[float], times: Loading) -> Measurement:
    """Return all images over all time; the samples are the batches."""
    reasons = (*times.errors, *times.warnings)
    return Measurement(
        name=name,
        value=times.batch_size * len(batch_seconds) / sum(batch_seconds),
        n=len(batch_seconds),
        samples=(tuple(times.batch_size / seconds for seconds in batch_seconds),),
        verdict=Verdict(level="invalid" if times.errors else "warn" if reasons else "valid", reasons=reasons),
    )
