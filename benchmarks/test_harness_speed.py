"""What the harness itself costs: start-up, its share of pytest's start, catalog, expansion, and starting a cell.

Goals, on a quiet machine: `vitbench --help` and `vitbench ls models` in under 0.3 s, less than 0.05 s added to pytest's
start, 10,000 cells expanded in under 1 s, a second cell started in under 0.3 s. Run ``pytest
benchmarks/test_harness_speed.py``.
"""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from answering import Torch
from pytest_benchmark.fixture import BenchmarkFixture

from vitbench.catalog import load_catalog
from vitbench.execution.local import LocalExecutor
from vitbench.planning.expand import expand
from vitbench.planning.suite import ModelEntry, Selection, Suite


class Nothing(msgspec.Struct):
    """An empty request."""


@pytest.mark.parametrize("arguments", [["--help"], ["ls", "models"], ["plugins"]], ids=" ".join)
def test_start_up(benchmark: BenchmarkFixture, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "vitbench", *arguments]
    finished = benchmark.pedantic(
        subprocess.run, args=(command,), kwargs={"capture_output": True, "check": True}, rounds=10, warmup_rounds=2
    )
    assert finished.stdout


@pytest.mark.benchmark(group="start of pytest")
@pytest.mark.parametrize("more", ["", ", vitbench.pytest_plugin"], ids=["without", "with-vitbench"])
def test_start_of_pytest(benchmark: BenchmarkFixture, more: str) -> None:
    """What pytest loads at its start, without and with our plugin."""
    command = [sys.executable, "-c", f"import pytest, pytest_benchmark.plugin{more}"]
    benchmark.pedantic(subprocess.run, args=(command,), kwargs={"check": True}, rounds=20, warmup_rounds=2)


def test_catalog(benchmark: BenchmarkFixture) -> None:
    catalog = benchmark(load_catalog)
    assert catalog.problems == ()


def test_expanding_10_000_cells(benchmark: BenchmarkFixture) -> None:
    suite = Suite(
        name="large",
        summary="Many cells",
        datasets=("digits", "cifar10"),
        seeds=tuple(range(500)),
        models=tuple(ModelEntry(name="scratch/vit", options={"depth": depth}) for depth in range(1, 11)),
    )
    catalog = load_catalog()
    cells = benchmark(expand, suite, catalog, Selection())
    assert sum(cell.kind == "quality" for cell in cells) == 10_000


def test_starting_a_second_process(benchmark: BenchmarkFixture) -> None:
    """From the parent's call to the child's answer, torch imported."""
    executor = LocalExecutor()

    def start() -> object:
        return executor.run("answering:answer", Nothing(), Torch).answer

    start()  # the fork server starts, and imports torch
    assert benchmark.pedantic(start, rounds=10) is not None
