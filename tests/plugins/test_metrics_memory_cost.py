"""Metrics on memory, size, energy and training time; and the specs of all metrics, which are a contract."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
import vitbench_metrics
from torch import nn
from vitbench_metrics import cost, memory

from vitbench import Skip
from vitbench.measurements import blank
from vitbench.protocols import EnergyUse, MemoryUse, Subject, TrainingLog
from vitbench.records import Measurement


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


def test_energy_is_what_the_work_took_above_idle() -> None:
    use = EnergyUse(joules=900.0, idle_watts=100.0, seconds=2.0, images=350)
    (measurement,) = cost.energy_per_image(subject(energy=use))
    assert (measurement.value, measurement.n, measurement.verdict.level) == (2.0, 350, "valid")


def test_energy_of_a_shared_gpu_is_doubted() -> None:
    use = EnergyUse(joules=900.0, idle_watts=100.0, seconds=2.0, images=350, warnings=("another process on the GPU",))
    (measurement,) = cost.energy_per_image(subject(energy=use))
    assert measurement.value == 2.0
    assert (measurement.verdict.level, measurement.verdict.reasons) == ("warn", ("another process on the GPU",))


def test_energy_or_training_time_of_a_crippled_machine_is_invalid() -> None:
    disturbed = {"errors": ("the GPU was throttled: hardware slow-down",), "warnings": ("a load",)}
    use = EnergyUse(joules=900.0, idle_watts=100.0, seconds=2.0, images=350, **disturbed)
    (energy,) = cost.energy_per_image(subject(energy=use))
    (seconds,) = cost.train_seconds(subject(training=TrainingLog(seconds=3.0, images=10, **disturbed)))
    for measurement in (energy, seconds):
        assert measurement.verdict.level == "invalid"
        assert measurement.verdict.reasons == ("the GPU was throttled: hardware slow-down", "a load")


@pytest.mark.parametrize("joules", [190.0, 200.0, 210.0])
def test_energy_as_when_idle_has_no_value(joules: float) -> None:
    use = EnergyUse(joules=joules, idle_watts=100.0, seconds=2.0, images=350, warnings=("another process on the GPU",))
    (measurement,) = cost.energy_per_image(subject(energy=use))
    assert measurement.value is None
    assert measurement.verdict.level == "invalid"
    assert measurement.verdict.reasons == (
        f"the device drew {joules / 2:.1f} W under load and 100.0 W idle: too close to distinguish",
        "another process on the GPU",
    )


def test_energy_that_was_not_measured() -> None:
    with pytest.raises(Skip, match="energy was not measured"):
        list(cost.energy_per_image(subject()))


def memory_use(mode: Literal["inference", "training"], **parts: int | None) -> MemoryUse:
    return MemoryUse(mode=mode, peak_bytes=64, absolute_peak_bytes=100, baseline_bytes=36, **parts)


def weighed(use: MemoryUse) -> dict[str, Measurement]:
    metrics = (memory.peak_memory, memory.train_peak_memory, memory.train_memory)
    return {measured.name: measured for metric in metrics for measured in metric(subject(memory=use))}


def values(use: MemoryUse) -> dict[str, float | None]:
    return {name: measured.value for name, measured in weighed(use).items()}


def test_memory_of_each_mode_goes_to_its_own_metric() -> None:
    assert values(memory_use("inference")) == {"peak_memory": 64, "peak_memory_absolute": 100}
    assert values(memory_use("training")) == {"train_peak_memory": 64, "train_peak_memory_absolute": 100}


def test_the_devices_figure_stands_beside_where_it_is_known() -> None:
    assert values(memory_use("inference", device_bytes=700))["device_memory"] == 700
    assert values(memory_use("training", device_bytes=700))["train_device_memory"] == 700


def test_the_parts_of_a_training_step_are_those_known() -> None:
    parts = {"weights_bytes": 8, "gradient_bytes": 7, "optimiser_bytes": 14, "activation_bytes": 21}
    peaks = {"train_peak_memory", "train_peak_memory_absolute"}
    found = values(memory_use("training", **parts))
    assert {name: value for name, value in found.items() if name not in peaks} == {
        "train_memory_weights": 8,
        "train_memory_gradients": 7,
        "train_memory_optimiser": 14,
        "train_memory_activations": 21,
    }
    assert "train_memory_activations" not in values(memory_use("training", **{**parts, "activation_bytes": None}))
    assert set(values(memory_use("inference", weights_bytes=8))) == {"peak_memory", "peak_memory_absolute"}


def test_a_peak_below_the_weights_is_doubted() -> None:
    assert weighed(memory_use("inference", weights_bytes=64))["peak_memory"].verdict.level == "valid"
    found = weighed(memory_use("training", weights_bytes=2**20))
    verdict = found["train_peak_memory"].verdict
    assert verdict.level == "warn"
    assert verdict.reasons == ("less than the weights alone, 1.00 MiB: too small to measure",)
    assert found["train_peak_memory_absolute"].verdict.level == "valid"


def test_memory_that_was_not_measured() -> None:
    for metric in (memory.peak_memory, memory.train_peak_memory, memory.train_memory):
        with pytest.raises(Skip, match="memory was not measured"):
            list(metric(subject()))


def test_the_names_of_the_figures_are_those_of_the_specs() -> None:
    figures = {
        name
        for spec in vitbench_metrics.vitbench_metrics()
        if spec.parts == ("memory",)
        for name in (given.name for given in spec.gives)
    }
    parts = {"weights_bytes": 8, "gradient_bytes": 7, "optimiser_bytes": 14, "activation_bytes": 21}
    both = (memory_use(mode, device_bytes=700, **parts) for mode in ("inference", "training"))
    assert {name for use in both for name in weighed(use)} == figures


def test_the_metrics_their_units_and_directions_are_a_contract() -> None:
    specs = {spec.name: (spec.unit, spec.better, *spec.parts) for spec in vitbench_metrics.vitbench_metrics()}
    assert specs == {
        "top1": ("fraction", "higher", "predictions"),
        "top5": ("fraction", "higher", "predictions"),
        "nll": ("nat", "lower", "predictions"),
        "ece": ("fraction", "lower", "predictions"),
        "macro_f1": ("fraction", "higher", "predictions"),
        "balanced_accuracy": ("fraction", "higher", "predictions"),
        "brier": ("1", "lower", "predictions"),
        "auroc": ("fraction", "higher", "predictions"),
        "throughput": ("images/s", "higher", "timing"),
        "latency": ("s", "lower", "timing"),
        "train_throughput": ("images/s", "higher", "timing"),
        "sustained_throughput": ("images/s", "higher", "sustained"),
        "sustained_train_throughput": ("images/s", "higher", "sustained"),
        "startup": ("s", "lower", "startup"),
        "loading": ("images/s", "higher", "loading"),
        "peak_memory": ("B", "lower", "memory"),
        "train_peak_memory": ("B", "lower", "memory"),
        "train_memory": ("B", "lower", "memory"),
        "params": ("1", "lower", "architecture"),
        "macs": ("1", "lower", "architecture"),
        "energy_per_image": ("J", "lower", "energy"),
        "train_seconds": ("s", "lower", "training"),
        "time_to_top1": ("s", "lower", "training"),
        "agreement": ("fraction", "higher", "agreement"),
        "pretraining": ("1", "lower", "training"),
        "pretrain_seconds": ("s", "lower", "training"),
        "train_macs": ("1", "lower", "architecture", "training"),
    }


def test_the_columns_of_the_tables_are_a_contract() -> None:
    measurements = [blank(spec, each.name) for spec in vitbench_metrics.vitbench_metrics() for each in spec.gives]
    columns = sorted((one for one in measurements if one.style.columns != "all"), key=lambda one: one.style.order)
    assert [(one.name, one.style.title, one.style.unit, one.style.columns, one.at[0]) for one in columns] == [
        ("top1", "top1", "%", "main", "quality"),
        ("top5", "top5", "%", "wide", "quality"),
        ("throughput", "", "images/s", "main", "fixed_batch"),
        ("sustained_throughput", "sustained", "images/s", "main", "fixed_batch"),
        ("latency_p50", "p50", "ms", "main", "batch_1"),
        ("latency_p95", "p95", "ms", "wide", "batch_1"),
        ("peak_memory", "peak", "MiB", "main", "fixed_batch"),
        ("params", "params", "M", "main", "fixed_batch"),
        ("macs", "", "GMACs", "main", "fixed_batch"),
        ("train_throughput", "train", "images/s", "main", "training"),
        ("sustained_train_throughput", "train sustained", "images/s", "main", "training"),
        ("train_peak_memory", "train peak", "MiB", "wide", "training"),
        ("train_seconds", "train", "s", "wide", "quality"),
        ("cold_start", "cold start", "s", "wide", "batch_1"),
        ("compile_seconds", "compile", "s", "wide", "batch_1"),
        ("energy_per_image", "energy", "mJ/image", "wide", "fixed_batch"),
        ("variant_agreement", "as float32", "%", "wide", "quality"),
    ]
    assert {one.name for one in measurements if one.exact} == {"params", "macs"}
