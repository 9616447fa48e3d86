"""Metrics of quality, speed, memory and cost; what each one is stands in its own module."""

from __future__ import annotations

from collections.abc import Iterator

import vitbench


@vitbench.hookimpl
def vitbench_metrics() -> Iterator[vitbench.MetricSpec]:
    """Give the metrics, in the order in which a table shows them."""
    yield from _quality()
    yield from _speed()
    yield from _startup()
    yield from _memory()
    yield from _cost()
    yield from _agreement()


def _quality() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="top1",
        measure="vitbench_metrics.quality:top1",
        unit="fraction",
        better="higher",
        needs="predictions",
        summary="Share of images whose likeliest class is right, with a Wilson interval",
    )
    yield vitbench.MetricSpec(
        name="top5",
        measure="vitbench_metrics.quality:top5",
        unit="fraction",
        better="higher",
        needs="predictions",
        summary="Share of images whose class is among the five likeliest, with a Wilson interval",
    )
    yield vitbench.MetricSpec(
        name="nll",
        measure="vitbench_metrics.quality:nll",
        unit="nat",
        better="lower",
        needs="predictions",
        summary="Mean negative log-likelihood of the true class",
    )
    yield vitbench.MetricSpec(
        name="ece",
        measure="vitbench_metrics.quality:ece",
        unit="fraction",
        better="lower",
        needs="predictions",
        summary="Expected calibration error: confidence against accuracy in 15 equal bins",
    )
    yield vitbench.MetricSpec(
        name="macro_f1",
        measure="vitbench_metrics.quality:macro_f1",
        unit="fraction",
        better="higher",
        needs="predictions",
        summary="F1 of each class that occurs or is predicted, averaged over these classes",
    )
    yield vitbench.MetricSpec(
        name="brier",
        measure="vitbench_metrics.quality:brier",
        unit="1",
        better="lower",
        needs="predictions",
        summary="Brier score, 0 to 2: squared error of the probabilities, summed over classes",
        columns="all",
    )
    yield vitbench.MetricSpec(
        name="auroc",
        measure="vitbench_metrics.quality:auroc",
        unit="fraction",
        better="higher",
        needs="predictions",
        summary="Area under the ROC curve of each class against the others, averaged over classes",
        columns="all",
    )


def _speed() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="throughput",
        measure="vitbench_metrics.speed:throughput",
        unit="images/s",
        better="higher",
        needs="timing",
        summary="Images per second in pipelined batches of a fixed size",
    )
    yield vitbench.MetricSpec(
        name="latency",
        measure="vitbench_metrics.speed:latency",
        unit="s",
        better="lower",
        at="batch_1",
        needs="timing",
        summary="Percentiles of the seconds for a single image, synchronised at each call",
        measurements=("latency_p50", "latency_p95", "latency_p99"),
    )
    yield vitbench.MetricSpec(
        name="train_throughput",
        measure="vitbench_metrics.speed:train_throughput",
        unit="images/s",
        better="higher",
        at="training",
        needs="timing",
        summary="Images per second of training steps: forward, loss, backward, optimiser, as the recipe takes them",
    )


def _startup() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="startup",
        measure="vitbench_metrics.startup:startup",
        unit="s",
        better="lower",
        needs="startup",
        summary="cold_start, from building to the first answer, and compile_seconds, the part that torch.compile takes",
        measurements=("cold_start", "compile_seconds"),
    )
    yield vitbench.MetricSpec(
        name="loading",
        measure="vitbench_metrics.loading:loading",
        unit="images/s",
        better="higher",
        needs="loading",
        summary="Images per second from the cache, without a model and through one",
        measurements=("data_throughput", "end_to_end_throughput"),
    )


def _memory() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="peak_memory",
        measure="vitbench_metrics.memory:peak_memory",
        unit="B",
        better="lower",
        needs="memory",
        summary="Peak memory of a forward pass; on the CPU above what was in use before the model was built",
        measurements=("peak_memory", "peak_memory_absolute", "device_memory"),
    )
    yield vitbench.MetricSpec(
        name="train_peak_memory",
        measure="vitbench_metrics.memory:train_peak_memory",
        unit="B",
        better="lower",
        at="training",
        needs="memory",
        summary="Peak memory of a training step; on the CPU above what was in use before the model was built",
        measurements=("train_peak_memory", "train_peak_memory_absolute", "train_device_memory"),
    )
    yield vitbench.MetricSpec(
        name="train_memory",
        measure="vitbench_metrics.memory:train_memory",
        unit="B",
        better="lower",
        at="training",
        needs="memory",
        summary="Parts of the memory of a training step: weights, gradients, optimiser state, activations",
        measurements=(
            "train_memory_weights",
            "train_memory_gradients",
            "train_memory_optimiser",
            "train_memory_activations",
        ),
    )


def _cost() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="params",
        measure="vitbench_metrics.cost:params",
        unit="1",
        better="lower",
        exact=True,
        needs="architecture",
        summary="Number of parameters",
    )
    yield vitbench.MetricSpec(
        name="macs",
        measure="vitbench_metrics.cost:macs",
        unit="1",
        better="lower",
        exact=True,
        needs="architecture",
        summary="Multiply-accumulates of a forward pass on one image, attention included",
    )
    yield vitbench.MetricSpec(
        name="energy_per_image",
        measure="vitbench_metrics.cost:energy_per_image",
        unit="J",
        better="lower",
        needs="energy",
        summary="Energy of a forward pass per image, less what the idle device draws",
    )
    yield vitbench.MetricSpec(
        name="train_seconds",
        measure="vitbench_metrics.cost:train_seconds",
        unit="s",
        better="lower",
        needs="training",
        summary="Wall time of the training",
    )


def _agreement() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="agreement",
        measure="vitbench_metrics.agreement:agreement",
        unit="fraction",
        better="higher",
        needs="agreement",
        summary="How near another precision, compilation or memory format comes to float32 as it is",
        measurements=("variant_agreement", "variant_error"),
    )
