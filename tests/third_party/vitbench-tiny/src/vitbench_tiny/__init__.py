"""What vitbench-tiny offers: a list, which imports nothing heavy."""

from collections.abc import Iterator

import vitbench

__all__ = ["vitbench_datasets", "vitbench_metrics", "vitbench_models"]


@vitbench.hookimpl
def vitbench_models() -> Iterator[vitbench.ModelSpec]:
    yield vitbench.ModelSpec(
        name="mlp",
        build="vitbench_tiny.mlp:build",
        summary="One hidden layer on pixels",
        options={"width": 32},
    )


@vitbench.hookimpl
def vitbench_datasets() -> Iterator[vitbench.DatasetSpec]:
    yield vitbench.DatasetSpec(
        name="stripes",
        open="vitbench_tiny.stripes:open_split",
        summary="Noisy stripes: lying, standing and both",
        classes=3,
        shape=(1, 8, 8),
        sizes={"train": 300, "test": 150},
        needs_root=False,
        augmentations=(),
        licence="CC0-1.0",
    )


@vitbench.hookimpl
def vitbench_metrics() -> Iterator[vitbench.MetricSpec]:
    yield vitbench.MetricSpec(
        name="worst_class",
        measure="vitbench_tiny.worst_class:measure",
        unit="fraction",
        better="higher",
        needs="predictions",
        summary="Accuracy on the class that is recognised worst",
    )
