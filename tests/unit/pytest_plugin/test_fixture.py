"""The fixture in the tests of a package that is not ours, run by pytest itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vitbench.environment import machine_class
from vitbench.measuring import timing
from vitbench.pytest_plugin import rounds as benchmarking
from vitbench.pytest_plugin.benchmark import benchmark_model
from vitbench.pytest_plugin.model import BenchmarkConditions, given_model

pytestmark = pytest.mark.process

pytest_plugins = ["pytester"]

PAGE = (Path(__file__).parents[3] / "docs" / "pytest-benchmark.md").read_text(encoding="utf-8")

MODELS = """
    import time
    import pytest
    from torch import nn

    class Sleepy(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3, 7)

        def forward(self, images):
            time.sleep(0.005)
            return self.head(images.mean((2, 3)))

    def build(*, num_classes, image_size, in_channels):
        return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], num_classes))
"""
# The plugins of others, which each run would load anew.
WITHOUT = [f"-pno:{name}" for name in ("cacheprovider", "hypothesispytest", "xdist", "anyio")]
# pytest-benchmark looks at the processor for a second before it saves anything.
NO_MACHINE = """
    def pytest_benchmark_generate_machine_info(config):
        return {"node": "here"}
"""


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """Load what a training step loads: the runs below take it with them when they end, and torch loads only once."""
    wanted = {"mode": "training", "batch_size": 1, "device": "cpu", "precision": "float32"}
    conditions = BenchmarkConditions(**wanted, num_classes=10, image_size=8)  # type: ignore[arg-type]
    given = given_model("scratch/vit:depth=1,width=8,heads=2", conditions)
    benchmark_model(given, conditions, lambda step, *_: [float(step().sum())], timed=False)


@pytest.fixture
def package(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Give a package's folder, in which benchmarks are short: their figures say little, but are there."""
    monkeypatch.setattr(timing.time_step, "__defaults__", (None, timing.WarmUpPace(block_seconds=0.01, seconds=0.05)))
    monkeypatch.setattr(benchmarking, "NOISY_SECONDS", 0.05)
    monkeypatch.setattr(benchmarking, "ENOUGH_CALL_SECONDS", 0.05)
    monkeypatch.setattr(timing.gc, "collect", lambda: 0)  # of all that the tests around hold
    pytester.makeconftest(NO_MACHINE)
    return pytester


def run(package: pytest.Pytester, tests: str, *arguments: str) -> pytest.RunResult:
    package.makepyfile(test_mine=MODELS + tests)
    return package.runpytest_inprocess(*WITHOUT, *arguments)


def infos(path: Path) -> dict[str, dict[str, Any]]:
    """Return `extra_info` and the statistics of each benchmark of a JSON file, by the name of its test."""
    found = json.loads(path.read_text())["benchmarks"]
    return {one["name"]: one["extra_info"] | {"stats": one["stats"]} for one in found}


def test_a_name_a_module_and_a_builder_are_timed_and_told_in_json(package: pytest.Pytester) -> None:
    done = run(
        package,
        """
    def test_name(vitbench_benchmark, benchmark):
        info = vitbench_benchmark("scratch/vit:depth=1,width=32,heads=4", batch_size=2)
        assert info is benchmark.extra_info

    def test_module(vitbench_benchmark):
        vitbench_benchmark(Sleepy())

    def test_builder(vitbench_benchmark):
        vitbench_benchmark(build, mode="training", batch_size=4, num_classes=3, image_size=8)

    def test_other():
        raise AssertionError("no benchmark")
    """,
        "--benchmark-only",
        "--benchmark-json=out.json",
    )
    done.assert_outcomes(passed=3, skipped=1)
    found = infos(package.path / "out.json")
    assert {name: info["model"] for name, info in found.items()} == {
        "test_name": "scratch/vit:depth=1,heads=4,width=32",
        "test_module": "Sleepy",
        "test_builder": "build",
    }
    for info in found.values():
        assert info["machine_class"] == machine_class("cpu")
        assert info["verdict"] in ("valid", "warn", "invalid")
        assert (info["verdict"] == "valid") == (not info["reasons"])
        assert info["images_per_second"] == pytest.approx(info["batch_size"] / info["stats"]["mean"])
        assert info["peak_memory_note"]
        for key in info.keys() - {"stats"}:
            assert f"`{key}`" in PAGE, f"{key} is not documented"
    module = found["test_module"]
    assert module["latency_p50"] == module["stats"]["median"] >= 0.005
    assert module["stats"]["iterations"] == 1
    assert found["test_name"]["latency_p50"] is None
    builder = found["test_builder"]
    conditions = ("mode", "num_classes", "image_size", "params")
    assert [builder[name] for name in conditions] == ["training", 3, 8, 3 * 193]
    assert builder["stats"]["iterations"] > 1


def test_a_mistake_is_one_line(package: pytest.Pytester) -> None:
    done = run(
        package,
        """
    @pytest.mark.parametrize("arguments", [
        {"model": "scratch/vitt"}, {"model": 3}, {"model": build, "mode": "infrence"},
        {"model": build, "batch_size": 0}, {"model": build, "device": "gpu"}, {"model": lambda **_: None},
        {"model": "two\\nlines"},
    ])
    def test_wrong(vitbench_benchmark, arguments):
        vitbench_benchmark(**arguments)
    """,
        "--tb=short",
    )
    done.assert_outcomes(failed=7)
    done.stdout.fnmatch_lines(
        [
            'vitbench_benchmark: unknown model "scratch/vitt". Did you mean "scratch/vit"?',
            "vitbench_benchmark: the model must be a name, *, not int.",
            "vitbench_benchmark: mode must be inference or training, not 'infrence'.*",
            "vitbench_benchmark: batch_size must be a positive whole number, not 0.",
            "vitbench_benchmark: unknown device 'gpu'*",
            "vitbench_benchmark: <lambda>: build returned NoneType, not a torch.nn.Module",
            r'vitbench_benchmark: unknown model "two\nlines".*',
        ]
    )
    done.stdout.no_fnmatch_line("*During handling*")
    done.stdout.no_fnmatch_line("*Error*")


def test_an_error_of_the_models_own_keeps_its_traceback(package: pytest.Pytester) -> None:
    done = run(
        package,
        """
    class Broken(Sleepy):
        def forward(self, images):
            return self.head(images.mean(1))

    def test_broken(vitbench_benchmark):
        vitbench_benchmark(Broken())
    """,
    )
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*return self.head(images.mean(1))", "E*RuntimeError: *"])


ONE = """
    def test_net(vitbench_benchmark):
        vitbench_benchmark(build, batch_size=2)
"""


def test_two_saved_runs_are_compared(package: pytest.Pytester) -> None:
    run(package, ONE, "--benchmark-save=first").assert_outcomes(passed=1)
    # So much slower than itself is no machine.
    second = run(
        package,
        ONE,
        "--benchmark-compare=0001",
        "--benchmark-compare-fail=median:100000%",
        "--benchmark-save=second",
    )
    second.assert_outcomes(passed=1)
    second.stdout.fnmatch_lines_random(["test_net (*0001_first)*", "test_net (NOW)*"])
    saved = sorted((package.path / ".benchmarks").rglob("*.json"))
    assert [infos(path)["test_net"]["model"] for path in saved] == ["build", "build"]


def test_figures_in_doubt_are_named_under_the_table(package: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "noise_reasons", lambda seconds: ([], []))
    monkeypatch.setattr(timing, "STABLE_SPREAD", 1e9)
    monkeypatch.setattr(timing, "disturbances", lambda start, end, **_: ([], ["a quota"]))
    done = run(package, ONE)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(
        ["*benchmark: 1 tests*", "*vitbench: doubtful benchmarks*", "test_mine.py::test_net: invalid: a quota"]
    )
    monkeypatch.setattr(timing, "disturbances", lambda start, end, **_: ([], []))
    run(package, ONE).stdout.no_fnmatch_line("*in doubt*")


ONCE = """
    def test_once(vitbench_benchmark):
        calls = []

        class Counts(Sleepy):
            def forward(self, images):
                calls.append(len(images))
                return super().forward(images)

        info = vitbench_benchmark(lambda **_: Counts(), batch_size=3, num_classes=7)
        assert calls == [3]
        assert info["verdict"] is info["latency_p50"] is info["peak_memory"] is None
        assert info["reasons"] == ["benchmarks are disabled: the step ran once and nothing was measured"]
"""


def test_disabled_the_step_runs_once(package: pytest.Pytester) -> None:
    done = run(package, ONCE, "--benchmark-disable")
    done.assert_outcomes(passed=1)
    done.stdout.no_fnmatch_line("*in doubt*")
    run(package, ONCE, "--benchmark-skip").assert_outcomes(skipped=1)


def test_beside_xdist_the_step_runs_once(package: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    package.makepyfile(test_mine=MODELS + ONCE)
    done = package.runpytest_subprocess("-p", "no:cacheprovider", "-n1")
    done.assert_outcomes(passed=1)


def test_without_pytest_benchmark_only_tests_that_need_it_fail(package: pytest.Pytester) -> None:
    package.makeconftest("")
    done = run(package, ONE + "\n    def test_other():\n        pass\n", "-p", "no:benchmark")
    done.assert_outcomes(errors=1, passed=1)
    done.stdout.fnmatch_lines(["vitbench_benchmark needs pytest-benchmark: install it, or drop `-p no:benchmark`."])
    done.stdout.no_fnmatch_line("*fixture 'benchmark' not found*")


def test_pytest_starts_without_anything_heavy(tmp_path: Path) -> None:
    """Its tests of another kind pay for no model."""
    (tmp_path / "test_light.py").write_text(
        "import sys\n"
        "def test_light(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.hasplugin('vitbench')\n"
        "    heavy = {'torch', 'numpy', 'pandas', 'scipy', 'timm', 'pytest_benchmark'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:benchmark", "-p", "no:xdist"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_timer_that_is_no_wall_clock_is_refused(package: pytest.Pytester) -> None:
    tests = """
    def test_module(vitbench_benchmark):
        vitbench_benchmark(Sleepy())
    """
    done = run(package, tests, "--benchmark-timer=time.process_time")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*vitbench_benchmark: process_time is not a wall clock; leave out --benchmark-timer."])
