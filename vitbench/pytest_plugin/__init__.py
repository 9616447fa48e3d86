"""The pytest plugin: `vitbench_benchmark`, a fixture that benchmarks a model with pytest-benchmark."""

from __future__ import annotations

from vitbench.pytest_plugin.fixture import ModelBenchmark, pytest_configure, pytest_terminal_summary, vitbench_benchmark

__all__ = ["ModelBenchmark", "pytest_configure", "pytest_terminal_summary", "vitbench_benchmark"]
