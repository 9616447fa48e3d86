"""Datasets that come with vitbench: digits, CIFAR-10 and CIFAR-100, and two layouts for one's own images."""

from __future__ import annotations

from collections.abc import Iterator

import vitbench

_CIFAR_SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky, Learning Multiple Layers of Features, 2009)"


@vitbench.hookimpl
def vitbench_datasets() -> Iterator[vitbench.DatasetSpec]:
    """Give the datasets, then the layouts."""
    yield vitbench.DatasetSpec(
        name="digits",
        open="vitbench_datasets.digits:open_digits",
        summary="1,797 handwritten digits of 8x8 pixels that ship with scikit-learn",
        classes=10,
        shape=(1, 8, 8),
        sizes={"train": 1438, "test": 359},
        needs_root=False,
        augmentations=("crop",),
        licence="CC BY 4.0",
        source="https://archive.ics.uci.edu/dataset/80 (Alpaydin and Kaynak, 1998)",
        requires=("sklearn",),
    )
    for classes in (10, 100):
        yield vitbench.DatasetSpec(
            name=f"cifar{classes}",
            open=f"vitbench_datasets.cifar:open_cifar{classes}",
            summary=f"CIFAR-{classes}: 60,000 photographs of 32x32 pixels, {classes} classes",
            classes=classes,
            shape=(3, 32, 32),
            sizes={"train": 50_000, "test": 10_000},
            downloads=True,
            licence="none stated",
            source=_CIFAR_SOURCE,
            requires=("torchvision",),
        )
    yield vitbench.DatasetSpec(
        name="folder",
        open="vitbench_datasets.folder:open_folder",
        summary="folders of images: train/<class>/*, val/<class>/*, test/<class>/* or some of them, or <class>/* alone",
        detect="vitbench_datasets.folder:detect",
        splits=("train", "val", "test"),
    )
    yield vitbench.DatasetSpec(
        name="parquet",
        open="vitbench_datasets.parquet:open_parquet",
        summary="Parquet files of a hub: train-*, validation-*, test-* or some of them; columns image or img, label",
        detect="vitbench_datasets.parquet:detect",
        splits=("train", "val", "test"),
        requires=("pyarrow",),
    )
