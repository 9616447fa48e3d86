"""The pytest plugin: a fixture that benchmarks a model with pytest-benchmark, in any package's tests.

pytest imports this module at its start (entry point ``pytest11``), so nothing heavy is imported before the fixture is
called. docs/pytest-benchmark.md is its page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from vitbench.measuring.steps import Step
    from vitbench.pytest_plugin.model import Model
    from vitbench.records import Mode, Precision

__all__ = ["ModelBenchmark"]

_WALL_CLOCKS = (time.perf_counter, time.time, time.monotonic)
"""pytest-benchmark's timers by which images per second have a meaning: others count no time that a device takes."""
_DOUBTS: pytest.StashKey[list[str]] = pytest.StashKey()
"""A line for each benchmark whose verdict is not `valid`."""


class ModelBenchmark:
    """What the fixture gives; a test calls it once."""

    def __init__(self, benchmark: BenchmarkFixture, doubts: list[str]) -> None:
        self._benchmark, self._doubts = benchmark, doubts
        self.called = False

    def __call__(
        self,
        model: Model,
        mode: Mode = "inference",
        batch_size: int = 1,
        device: str = "cpu",
        precision: Precision = "float32",
        num_classes: int = 10,
        image_size: int | tuple[int, int] | None = None,
    ) -> dict[str, Any]:
        """Benchmark a model's forward pass or training step; a mistake fails the test with one line.

        Args:
            model: a name with options (``"scratch/vit:depth=4"``); a module, of which a copy is measured; or
                ``build(*, num_classes, image_size, in_channels) -> nn.Module``.
            mode: ``inference``, or ``training``: forward, cross-entropy, backward and fused AdamW, whatever the
                model's recipe is.
            batch_size: images in a batch. In inference, one image is timed call by call.
            device: ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto``.
            precision: ``float32``, ``bfloat16``, ``float16`` or ``tf32``.
            num_classes: of a model that is built here; a module has its own.
            image_size: height and width of the input in pixels, or the side of a square one; None: what the model's
                spec says, else 32.

        Returns:
            ``benchmark.extra_info``: conditions, figures and verdict. The figures are None where pytest-benchmark is
            disabled; the step then runs once.
        """
        from vitbench.errors import UsageError, VitbenchError
        from vitbench.printable import plain

        self.called = True
        try:
            if (timer := self._benchmark._timer) not in _WALL_CLOCKS:
                raise UsageError(f"{timer.__name__} is not a wall clock; leave out --benchmark-timer.")
            from vitbench.pytest_plugin.benchmark import benchmark_model
            from vitbench.pytest_plugin.model import BenchmarkConditions, given_model

            conditions = BenchmarkConditions(
                mode=mode,
                batch_size=batch_size,
                device=device,
                precision=precision,
                num_classes=num_classes,
                image_size=image_size,
            )
            given = given_model(model, conditions)
            info = benchmark_model(given, conditions, self._run, timed=self._benchmark.enabled)
        except VitbenchError as error:
            raise pytest.fail.Exception(f"vitbench_benchmark: {plain(str(error))}", pytrace=False) from None
        self._benchmark.extra_info.update(info)
        if info["verdict"] in ("warn", "invalid"):
            why = plain("; ".join(info["reasons"]))
            self._doubts.append(f"{self._benchmark.fullname}: {info['verdict']}: {why}")
        return self._benchmark.extra_info

    def _run(self, step: Step, rounds: int, calls: int, after: Callable[[], None]) -> Sequence[float]:
        """Time rounds of calls; where pytest-benchmark is disabled, it runs the step once, and there are no times."""
        self._benchmark.pedantic(step, rounds=rounds, iterations=calls, teardown=after)  # type: ignore[no-untyped-call]
        stats = self._benchmark.stats
        return [] if stats is None else list(stats.stats.data)


@pytest.fixture
def vitbench_benchmark(benchmark: BenchmarkFixture, pytestconfig: pytest.Config) -> Generator[ModelBenchmark]:
    """Benchmark a model, by vitbench's rules: ``vitbench_benchmark("scratch/vit", mode="training", batch_size=8)``."""
    of_model = ModelBenchmark(benchmark, pytestconfig.stash[_DOUBTS])
    yield of_model
    if of_model.called:  # what failed before its first round needs no warning that it was not used
        benchmark.skipped = True


class _WithoutPytestBenchmark:
    """Takes the fixture's place where the plugin that it stands on is not there."""

    @pytest.fixture
    def vitbench_benchmark(self) -> None:
        """Benchmark a model; needs pytest-benchmark."""
        pytest.fail("vitbench_benchmark needs pytest-benchmark: install it, or drop `-p no:benchmark`.", pytrace=False)


def pytest_configure(config: pytest.Config) -> None:
    """Make room for doubts, and see whether pytest-benchmark is there, by an option of its own."""
    config.stash[_DOUBTS] = []
    if config.getoption("benchmark_disable", default=None) is None:
        config.pluginmanager.register(_WithoutPytestBenchmark(), "vitbench-without-pytest-benchmark")


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Generator[None]:
    """Say below pytest-benchmark's table which of its figures are in doubt; it may raise, on a regression."""
    try:
        yield
    finally:
        if config.stash[_DOUBTS]:
            terminalreporter.section("vitbench: doubtful benchmarks")
            for line in config.stash[_DOUBTS]:
                terminalreporter.write_line(line)
