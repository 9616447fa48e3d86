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
    yield from _training()
    yield from _agreement()


def _training() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="time_to_top1",
        measure="vitbench_metrics.training:time_to_top1",
        unit="s",
        better="lower",
        needs="training",
        summary="Seconds of training, excluding evaluation, until the validation accuracy reaches a level",
        title="to top1 {level:g}",
        columns="all",
        order=245,
        options={"level": vitbench.Option(0.9, minimum=0, maximum=1, help="Share of the validation images")},
    )
    yield vitbench.MetricSpec(
        name="train_macs",
        measure="vitbench_metrics.training:train_macs",
        unit="1",
        better="lower",
        needs=("architecture", "training"),
        summary="Multiply-accumulates of the training's steps: three forward passes per image",
        machine_bound=False,
        shown_unit="TMACs",
        scale=1e-12,
        columns="all",
        order=115,
    )
    yield vitbench.MetricSpec(
        name="pretraining",
        measure="vitbench_metrics.training:pretraining",
        unit="1",
        better="lower",
        needs="training",
        summary="For recipes that pretrain: validation loss and accuracy of that phase, and those of a guess",
        measurements=(
            "pretrain_loss",
            vitbench.MeasurementSpec(name="pretrain_guess_loss", better="neither"),
            vitbench.MeasurementSpec(name="pretrain_accuracy", unit="fraction", better="higher"),
            vitbench.MeasurementSpec(name="pretrain_majority", unit="fraction", better="neither"),
        ),
        machine_bound=False,
        columns="all",
        order=247,
    )
    yield vitbench.MetricSpec(
        name="pretrain_seconds",
        measure="vitbench_metrics.training:pretrain_seconds",
        unit="s",
        better="lower",
        needs="training",
        summary="Seconds of a recipe's pretraining steps, which are part of train_seconds",
        columns="all",
        order=248,
    )


def _quality() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="top1",
        measure="vitbench_metrics.quality:top1",
        unit="fraction",
        better="higher",
        needs="predictions",
        summary="Share of images whose top prediction is correct, with a Wilson interval",
        order=10,
    )
    yield vitbench.MetricSpec(
        name="top5",
        measure="vitbench_metrics.quality:top5",
        unit="fraction",
        better="higher",
        needs="predictions",
        summary="Share of images whose class is among the top five, with a Wilson interval",
        columns="wide",
        order=20,
    )
    yield vitbench.MetricSpec(
        name="nll",
        measure="vitbench_metrics.quality:nll",
        unit="nat",
        better="lower",
        needs="predictions",
        summary="Mean negative log-likelihood of the true class",
        columns="all",
        order=200,
    )
    yield vitbench.MetricSpec(
        name="ece",
        measure="vitbench_metrics.quality:ece",
        unit="fraction",
        better="lower",
        needs="predictions",
        summary="Expected calibration error: confidence against accuracy in 15 equal bins",
        columns="all",
        order=210,
    )
    yield vitbench.MetricSpec(
        name="macro_f1",
        measure="vitbench_metrics.quality:macro_f1",
        unit="fraction",
        better="higher",
        needs="predictions",
        summary="F1 of each class that occurs or is predicted, averaged over these classes",
        columns="all",
        order=220,
    )
    yield vitbench.MetricSpec(
        name="balanced_accuracy",
        measure="vitbench_metrics.quality:balanced_accuracy",
        unit="fraction",
        better="higher",
        needs="predictions",
        summary="Share of correct answers within each class that has images, averaged over these classes",
        title="balanced",
        columns="all",
        order=218,
    )
    yield vitbench.MetricSpec(
        name="brier",
        measure="vitbench_metrics.quality:brier",
        unit="1",
        better="lower",
        needs="predictions",
        summary="Brier score, 0 to 2: squared error of the probabilities, summed over classes",
        columns="all",
        order=223,
    )
    yield vitbench.MetricSpec(
        name="auroc",
        measure="vitbench_metrics.quality:auroc",
        unit="fraction",
        better="higher",
        needs="predictions",
        summary="Area under the ROC curve of each class against the others, averaged over classes",
        columns="all",
        order=226,
    )


def _speed() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="throughput",
        measure="vitbench_metrics.speed:throughput",
        unit="images/s",
        better="higher",
        needs="timing",
        summary="Images per second in pipelined batches of a fixed size",
        title="",
        order=30,
    )
    yield vitbench.MetricSpec(
        name="latency",
        measure="vitbench_metrics.speed:latency",
        unit="s",
        better="lower",
        needs="timing",
        summary="Percentiles of the time for a single image, synchronised at each call",
        measurements=(
            vitbench.MeasurementSpec(name="latency_p50", title="p50", order=40),
            vitbench.MeasurementSpec(name="latency_p95", title="p95", columns="wide", order=50),
            vitbench.MeasurementSpec(name="latency_p99", title="p99", columns="all", order=230),
        ),
        at="batch_1",
        shown_unit="ms",
        scale=1e3,
    )
    yield vitbench.MetricSpec(
        name="train_throughput",
        measure="vitbench_metrics.speed:train_throughput",
        unit="images/s",
        better="higher",
        needs="timing",
        summary="Images per second of training steps: forward, loss, backward, optimiser, as the recipe takes them",
        at="training",
        title="train",
        order=90,
    )
    yield vitbench.MetricSpec(
        name="sustained_throughput",
        measure="vitbench_metrics.speed:sustained_throughput",
        unit="images/s",
        better="higher",
        needs="sustained",
        summary="Images per second in the second half of a long window, where the suite asks for one",
        title="sustained",
        order=35,
    )
    yield vitbench.MetricSpec(
        name="sustained_train_throughput",
        measure="vitbench_metrics.speed:sustained_train_throughput",
        unit="images/s",
        better="higher",
        needs="sustained",
        summary="Images per second of training steps in the second half of a long window",
        at="training",
        title="train sustained",
        order=95,
    )


def _startup() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="startup",
        measure="vitbench_metrics.startup:startup",
        unit="s",
        better="lower",
        needs="startup",
        summary="cold_start, from nothing to the first answer, including connect_seconds (device) and compile_seconds",
        measurements=(
            vitbench.MeasurementSpec(name="cold_start", title="cold start", order=120),
            vitbench.MeasurementSpec(name="connect_seconds", title="device", columns="all", order=125),
            vitbench.MeasurementSpec(name="compile_seconds", title="compile", order=130),
        ),
        at="batch_1",
        columns="wide",
    )
    yield vitbench.MetricSpec(
        name="loading",
        measure="vitbench_metrics.loading:loading",
        unit="images/s",
        better="higher",
        needs="loading",
        summary="Images per second from the cache, without a model and through one",
        measurements=("data_throughput", "end_to_end_throughput"),
        at="quality",
        columns="all",
        order=240,
    )


def _memory() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="peak_memory",
        measure="vitbench_metrics.memory:peak_memory",
        unit="B",
        better="lower",
        needs="memory",
        summary="Peak memory of a forward pass; on the CPU above what was in use before the model was built",
        measurements=(
            vitbench.MeasurementSpec(name="peak_memory", title="peak", columns="main", order=60),
            "peak_memory_absolute",
            "device_memory",
        ),
        at="fixed_batch",
        shown_unit="MiB",
        scale=2**-20,
        columns="all",
        order=250,
    )
    yield vitbench.MetricSpec(
        name="train_peak_memory",
        measure="vitbench_metrics.memory:train_peak_memory",
        unit="B",
        better="lower",
        needs="memory",
        summary="Peak memory of a training step; on the CPU above what was in use before the model was built",
        measurements=(
            vitbench.MeasurementSpec(name="train_peak_memory", title="train peak", columns="wide", order=100),
            "train_peak_memory_absolute",
            "train_device_memory",
        ),
        at="training",
        shown_unit="MiB",
        scale=2**-20,
        columns="all",
        order=260,
    )
    yield vitbench.MetricSpec(
        name="train_memory",
        measure="vitbench_metrics.memory:train_memory",
        unit="B",
        better="lower",
        needs="memory",
        summary="Parts of the memory of a training step: weights, gradients, optimiser state, activations",
        measurements=(
            "train_memory_weights",
            "train_memory_gradients",
            "train_memory_optimiser",
            "train_memory_activations",
        ),
        at="training",
        shown_unit="MiB",
        scale=2**-20,
        columns="all",
        order=270,
    )


def _cost() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="params",
        measure="vitbench_metrics.cost:params",
        unit="1",
        better="lower",
        needs="architecture",
        summary="Number of parameters",
        exact=True,
        shown_unit="M",
        scale=1e-6,
        order=70,
    )
    yield vitbench.MetricSpec(
        name="macs",
        measure="vitbench_metrics.cost:macs",
        unit="1",
        better="lower",
        needs="architecture",
        summary="Multiply-accumulates of a forward pass on one image, attention included",
        exact=True,
        title="",
        shown_unit="GMACs",
        scale=1e-9,
        order=80,
    )
    yield vitbench.MetricSpec(
        name="energy_per_image",
        measure="vitbench_metrics.cost:energy_per_image",
        unit="J",
        better="lower",
        needs="energy",
        summary="Energy of a forward pass per image, minus what the idle device draws",
        title="energy",
        shown_unit="mJ/image",
        scale=1e3,
        columns="wide",
        order=160,
    )
    yield vitbench.MetricSpec(
        name="train_seconds",
        measure="vitbench_metrics.cost:train_seconds",
        unit="s",
        better="lower",
        needs="training",
        summary="Wall time of the training",
        title="train",
        columns="wide",
        order=110,
    )


def _agreement() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="agreement",
        measure="vitbench_metrics.agreement:agreement",
        unit="fraction",
        better="higher",
        needs="agreement",
        summary="How closely another precision, compilation or memory format matches plain float32",
        measurements=(
            vitbench.MeasurementSpec(name="variant_agreement", title="as float32", columns="wide", order=170),
            vitbench.MeasurementSpec(name="variant_error", unit="1", better="lower", columns="all", order=280),
        ),
        at=("quality", "fixed_batch"),
    )
