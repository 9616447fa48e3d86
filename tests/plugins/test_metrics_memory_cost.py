"""Metrics on memory, size and training time; and the specs of all metrics, which are a contract."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import vitbench_metrics
from torch import nn
from vitbench_metrics import cost, memory

from vitbench import Skip
from vitbench.protocols import MemoryUse, Subject, TrainingLog
from vitbench.specs import load_target


def subject(**parts: object) -> Subject:
    return Subject(num_classes=10, input_shape=(3, 8, 8), device="cpu", precision="float32", **parts)  # type: ignore[arg-type]


def build() -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 10)).eval()


def test_params_and_macs() -> None:
    of = subject(architecture=build)
    (params,), (macs,) = cost.params(of), cost.macs(of)
    assert params.value == 3 * 4 * 9 + 4 + 144 * 10 + 10
    assert macs.value == 6 * 6 * 3 * 4 * 9 + 144 * 10


def test_a_baseline_has_neither() -> None:
    for metric in (cost.params, cost.macs):
        with pytest.raises(Skip, match="baseline"):
            list(metric(subject()))


def test_train_seconds() -> None:
    (measurement,) = cost.train_seconds(subject(training=TrainingLog(seconds=12.5, images=100)))
    assert measurement.value == 12.5
    with pytest.raises(Skip, match="no training"):
        list(cost.train_seconds(subject()))


@pytest.mark.parametrize(("mode", "prefix"), [("inference", ""), ("training", "train_")])
def test_memory_of_each_mode_goes_to_its_own_metric(mode: str, prefix: str) -> None:
    use = MemoryUse(mode=mode, peak_bytes=64, absolute_peak_bytes=100, baseline_bytes=36)  # type: ignore[arg-type]
    of = subject(memory=use)
    found = {m.name: m.value for metric in (memory.peak_memory, memory.train_peak_memory) for m in metric(of)}
    assert found == {f"{prefix}peak_memory": 64, f"{prefix}peak_memory_absolute": 100}


def test_memory_that_was_not_measured() -> None:
    for metric in (memory.peak_memory, memory.train_peak_memory):
        with pytest.raises(Skip, match="no measurement of memory"):
            list(metric(subject()))


def test_the_metrics_their_units_and_directions_are_a_contract() -> None:
    specs = {spec.name: (spec.unit, spec.better, spec.needs) for spec in vitbench_metrics.vitbench_metrics()}
    assert specs == {
        "top1": ("fraction", "higher", "predictions"),
        "top5": ("fraction", "higher", "predictions"),
        "nll": ("nat", "lower", "predictions"),
        "ece": ("fraction", "lower", "predictions"),
        "macro_f1": ("fraction", "higher", "predictions"),
        "throughput": ("images/s", "higher", "timing"),
        "latency": ("s", "lower", "timing"),
        "train_throughput": ("images/s", "higher", "timing"),
        "peak_memory": ("B", "lower", "memory"),
        "train_peak_memory": ("B", "lower", "memory"),
        "params": ("1", "lower", "architecture"),
        "macs": ("1", "lower", "architecture"),
        "train_seconds": ("s", "lower", "training"),
    }


def test_each_import_string_points_to_a_function_of_that_name() -> None:
    for spec in vitbench_metrics.vitbench_metrics():
        assert load_target(spec.measure).__name__ == spec.name


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys, vitbench_metrics as m; specs = list(m.vitbench_metrics());"
        "assert not {'torch', 'numpy', 'pandas', 'scipy'} & set(sys.modules); print(len(specs))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "13\n"
