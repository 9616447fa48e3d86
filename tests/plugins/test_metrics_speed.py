"""Metrics on times: which cell gets which, from which numbers, with which verdict."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from vitbench_metrics import speed

from vitbench import Measurement, Skip, Verdict
from vitbench.protocols import InTurn, Subject, Timing


def subject(**changes: object) -> Subject:
    fields: dict[str, object] = {
        "mode": "inference",
        "batch_size": 32,
        "block_seconds": (0.1, 0.2, 0.1),
        "calls_per_block": 5,
        "call_seconds": (),
        "warmup_seconds": (1.0, 0.1),
    }
    timing = Timing(**{**fields, **changes})  # type: ignore[arg-type]
    return Subject(num_classes=10, input_shape=(3, 8, 8), device="cpu", precision="float32", timing=timing)


def single(count: int, **changes: object) -> Subject:
    seconds = tuple(0.001 * (1 + position) for position in range(count))
    return subject(batch_size=1, block_seconds=(), calls_per_block=1, call_seconds=seconds, **changes)


def measured(of: Subject) -> dict[str, Measurement]:
    return {m.name: m for metric in (speed.throughput, speed.latency, speed.train_throughput) for m in metric(of)}


def test_throughput_is_all_images_over_all_time_not_a_mean_of_rates() -> None:
    found = measured(subject())
    assert set(found) == {"throughput"}
    assert found["throughput"].value == pytest.approx(3 * 5 * 32 / 0.4)
    assert found["throughput"].n == 3
    assert found["throughput"].samples == ((1600.0, 800.0, 1600.0),)
    assert found["throughput"].verdict == Verdict()


def test_a_training_cell_gives_train_throughput_only() -> None:
    found = measured(subject(mode="training"))
    assert set(found) == {"train_throughput"}
    assert found["train_throughput"].value == pytest.approx(1200)


def test_single_images_give_latency_only() -> None:
    found = measured(single(100))
    assert set(found) == {"latency_p50", "latency_p95"}
    samples = found["latency_p50"].samples[0]
    assert found["latency_p50"].value == pytest.approx(float(np.median(samples)))
    assert found["latency_p95"].value == pytest.approx(float(np.quantile(samples, 0.95)))
    assert found["latency_p95"].n == 100
    assert found["latency_p95"].verdict.level == "valid"
    assert measured(single(662))["latency_p99"].value == pytest.approx(0.001 + 0.661 * 0.99)


@pytest.mark.parametrize(
    ("count", "blank"),
    [(9, (50, 95)), (10, (95,)), (63, (95,)), (64, ()), (662, ())],
)
def test_a_percentile_needs_enough_samples(count: int, blank: tuple[int, ...]) -> None:
    found = measured(single(count))
    for percentile, needed in ((50, 10), (95, 64)):
        measurement = found[f"latency_p{percentile}"]
        reason = f"{count} samples, p{percentile} needs {needed}" if percentile in blank else None
        assert (measurement.value is None) == (reason is not None)
        assert measurement.n == count
        expected = Verdict() if reason is None else Verdict(level="invalid", reasons=(reason,))
        assert measurement.verdict == expected


@pytest.mark.parametrize(("count", "known"), [(1, False), (2, True)])
def test_a_median_in_turn_with_the_reference_is_of_few_calls_where_each_takes_long(count: int, known: bool) -> None:
    assert (measured(single(count, in_turn=TURNS))["latency_p50"].value is not None) is known


def test_a_99th_percentile_is_given_only_where_there_are_samples_for_it() -> None:
    assert set(measured(single(661))) == {"latency_p50", "latency_p95"}
    assert set(measured(single(662))) == {"latency_p50", "latency_p95", "latency_p99"}


@pytest.mark.parametrize(
    ("warnings", "errors", "verdict"),
    [
        (("a load",), (), Verdict(level="warn", reasons=("a load",))),
        (("a load",), ("a quota",), Verdict(level="invalid", reasons=("a quota", "a load"))),
    ],
)
def test_the_verdict_follows_the_timing(warnings: tuple[str], errors: tuple[str], verdict: Verdict) -> None:
    for of in (subject(warnings=warnings, errors=errors), single(662, warnings=warnings, errors=errors)):
        assert {measurement.verdict for measurement in measured(of).values()} == {verdict}


def test_reasons_stay_beside_the_lack_of_samples() -> None:
    found = measured(single(12, warnings=("a load",)))
    assert found["latency_p95"].verdict.reasons == ("12 samples, p95 needs 64", "a load")


@pytest.mark.parametrize("metric", [speed.throughput, speed.latency, speed.train_throughput])
def test_without_timing(metric) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Skip, match="no timing"):
        list(metric(Subject(num_classes=10, input_shape=(3, 8, 8), device="cpu", precision="float32")))


TURNS = InTurn(
    reference="net-1",
    reference_batch_size=8,
    reference_seconds=(0.5, 0.4, 0.5),
    reference_calls=10,
    speed_ratio=4.0,
    speed_ratio_of_all=3.0,
    quads=6,
    left_out=2,
    errors=("its output was not finite",),
)


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_speeds_have_their_ratio_to_the_reference_network_and_its_verdict(mode: str) -> None:
    [found] = measured(subject(mode=mode, in_turn=TURNS, warnings=("a load",))).values()
    assert found.value == pytest.approx(1200)
    assert found.ratio == TURNS.of_speed()
    assert (found.ratio.value, found.ratio.value_of_all, found.ratio.reference) == (4.0, 3.0, 8 * 10 / 0.5)
    assert found.ratio.samples == ((160.0, 200.0, 160.0),)
    assert (found.ratio.network, found.ratio.quads, found.ratio.left_out) == ("net-1", 6, 2)
    assert found.verdict == Verdict(level="invalid", reasons=TURNS.errors), "what the machine did divides out"


def test_of_latencies_the_median_has_a_ratio_and_tails_have_none() -> None:
    turns = dataclasses.replace(TURNS, reference_calls=1, errors=())
    found = measured(single(662, in_turn=turns, warnings=("a load",)))
    assert {name: one.ratio is not None for name, one in found.items()} == {
        "latency_p50": True,
        "latency_p95": False,
        "latency_p99": False,
    }
    ratio = found["latency_p50"].ratio
    assert ratio is not None
    assert ratio.value == pytest.approx(1 / 8 / 4.0), "seconds of a call of one image over those of a call of eight"
    assert ratio.reference == 0.5
    assert {name: one.verdict.level for name, one in found.items()} == {
        "latency_p50": "valid",
        "latency_p95": "warn",
        "latency_p99": "warn",
    }
