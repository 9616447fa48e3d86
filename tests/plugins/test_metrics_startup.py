"""Metrics on the start: cold start, and what compiling takes of it."""

from __future__ import annotations

import pytest
from vitbench_metrics import startup

from vitbench import Skip, Verdict
from vitbench.protocols import Startup, Subject


def measured(*, compiled: bool) -> dict[str, float | None]:
    start = Startup(build_seconds=0.5, first_call_seconds=8.0, second_call_seconds=0.25, compiled=compiled)
    found = list(startup.startup(subject(start)))
    assert {(one.n, one.verdict) for one in found} == {(1, Verdict())}
    return {one.name: one.value for one in found}


def subject(start: Startup | None) -> Subject:
    return Subject(num_classes=10, input_shape=(3, 8, 8), device="cpu", precision="float32", startup=start)


def test_a_cold_start_is_building_and_the_first_call() -> None:
    assert measured(compiled=False) == {"cold_start": 8.5}


def test_beginning_with_the_device_is_a_part_of_it_and_a_figure_of_its_own() -> None:
    start = Startup(
        connect_seconds=1.5, build_seconds=0.5, first_call_seconds=8.0, second_call_seconds=0.25, compiled=False
    )
    found = {one.name: one.value for one in startup.startup(subject(start))}
    assert found == {"cold_start": 10.0, "connect_seconds": 1.5}


def test_compiling_is_what_the_first_call_takes_over_the_second() -> None:
    assert measured(compiled=True) == {"cold_start": 8.5, "compile_seconds": 7.75}


def test_what_disturbed_the_start_is_in_the_verdict_of_both() -> None:
    start = Startup(
        build_seconds=0.5, first_call_seconds=8.0, second_call_seconds=0.25, compiled=True, warnings=("a load",)
    )
    found = list(startup.startup(subject(start)))
    assert [one.name for one in found] == ["cold_start", "compile_seconds"]
    assert {one.verdict for one in found} == {Verdict(level="warn", reasons=("a load",))}


def test_a_start_that_got_no_processor_is_invalid() -> None:
    disturbed = {"errors": ("no processor",), "warnings": ("a load",)}
    start = Startup(build_seconds=0.5, first_call_seconds=8.0, second_call_seconds=0.25, compiled=True, **disturbed)
    verdicts = {one.verdict for one in startup.startup(subject(start))}
    assert verdicts == {Verdict(level="invalid", reasons=("no processor", "a load"))}


def test_without_a_start() -> None:
    with pytest.raises(Skip, match="no start"):
        list(startup.startup(subject(None)))
