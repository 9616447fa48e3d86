"""Metrics on loading: images per second from the right batches, with the right verdict."""

from __future__ import annotations

import pytest
from vitbench_metrics.loading import loading

from vitbench import Measurement, Skip
from vitbench.protocols import Loading, Subject


def measured(**changes: object) -> dict[str, Measurement]:
    fields = {"batch_size": 64, "data_seconds": (0.01, 0.02, 0.01), "end_to_end_seconds": (0.1, 0.1, 0.2)}
    times = Loading(**{**fields, **changes})  # type: ignore[arg-type]
    return {one.name: one for one in loading(subject(times))}


def subject(times: Loading | None) -> Subject:
    return Subject(num_classes=10, input_shape=(1, 8, 8), device="cpu", precision="float32", loading=times)


def test_both_are_all_images_over_all_time_not_a_mean_of_rates() -> None:
    found = measured()
    assert list(found) == ["data_throughput", "end_to_end_throughput"]
    assert found["data_throughput"].value == pytest.approx(192 / 0.04)
    assert found["end_to_end_throughput"].value == pytest.approx(192 / 0.4)
    assert found["data_throughput"].samples == (pytest.approx((6400, 3200, 6400)),)
    for one in found.values():
        assert (one.n, one.verdict.level, one.verdict.reasons) == (3, "valid", ())


def test_the_verdict_follows_the_times() -> None:
    for one in measured(warnings=("load average 9",)).values():
        assert (one.verdict.level, one.verdict.reasons) == ("warn", ("load average 9",))
    for one in measured(warnings=("load average 9",), errors=("no processor",)).values():
        assert (one.verdict.level, one.verdict.reasons) == ("invalid", ("no processor", "load average 9"))


def test_without_times_there_is_nothing() -> None:
    with pytest.raises(Skip):
        list(loading(subject(None)))
