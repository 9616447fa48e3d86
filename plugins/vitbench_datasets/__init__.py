"""Datasets that come with vitbench: digits, CIFAR-10 and CIFAR-100, MNIST and those in its format, and three layouts
for one's own images."""

from __future__ import annotations

from collections.abc import Iterator

import vitbench

_CIFAR = {
    10: (
        "ab0c4d3a4c786ee213ff300541672128ae1df4c080694de0fbefd2133e5e99ec",
        "71a550f32a8025e00b586d99cc2255b9b6aa9da7e89bbc1dff8eaadd0ef79a83",
    ),
    100: (
        "ad0eaf68ee6665d41f693a711f0ad30f8d3f5b874ee733a4c9431998d67bbc59",
        "a9d0fcadb0c278a1b285fc353f0e9742f5b6ce6df1cd7fe3fb5470083d2191a0",
    ),
}
"""What the published images hash to, their classes under their names and as numbers. They were computed from lossless
copies whose means are the published ones, 0.49139968, 0.48215841, 0.44653091 of CIFAR-10's training images and
0.50707516, 0.48654887, 0.44091784 of CIFAR-100's."""
_DIGITS = ("41ce68e913a2d87e21b0058095db54368f0564c826366433fc9628688202a6f1",)
_FASHION = (
    "90136b63617747665e71ca18e55050de0db6ae039963603d4dc2c2c87c9f0bea",
    "69094a62ef6332699ad821c465cb984120fdf3268a43dd64cf33d1c78357cb50",
    "9b03289731c88d5f9da2b6e079796b4feef3b2817ad1cc3b702125fd8bb6eb6c",
)
"""As `_CIFAR`, and lastly under the class names of a hub's copy (``T - shirt / top``). They were computed from files
whose unpacked content has the published checksums (`mnist._UNPACKED`); the mean is 0.28604, as published."""
_EMNIST_SUBSETS = ("balanced", "byclass", "bymerge", "letters", "digits", "mnist")
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
        published=_DIGITS,
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
            published=_CIFAR[classes],
        )
    yield from _in_mnists_format()
    yield vitbench.DatasetSpec(
        name="file-list",
        open="vitbench_datasets.file_list:open_file_list",
        summary="images named in a list or table: train.txt, test.txt with lines of path and label; labels.csv; "
        "or labels=FILE, wherever it is",
        detect="vitbench_datasets.file_list:detect",
        splits=("train", "val", "test"),
        options={
            "labels": vitbench.Option(
                "",
                kind="file",
                help="The list or table (CSV, JSON, text) of labels; empty: the one found in the folder",
            ),
            "path_column": vitbench.Option("", help="Column of a table with the paths; empty: detected by name"),
            "label_column": vitbench.Option("", help="Column with the labels; empty: detected by name"),
            "split_column": vitbench.Option("", help="Column with train, val or test; empty: detected by name"),
        },
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
        summary="Parquet files as on the Hugging Face hub: train-*, validation-*, test-* or some of them; columns "
        "image or img, label",
        detect="vitbench_datasets.parquet:detect",
        splits=("train", "val", "test"),
        options={"label_column": vitbench.Option("", help="Column with the labels; empty: detected by name")},
        requires=("pyarrow",),
    )
    yield vitbench.DatasetSpec(
        name="webdataset",
        open="vitbench_datasets.webdataset:open_webdataset",
        summary="tar files in WebDataset format: train/*.tar, test/*.tar or train-*.tar; images with KEY.cls",
        detect="vitbench_datasets.webdataset:detect",
        splits=("train", "val", "test"),
    )
    yield vitbench.DatasetSpec(
        name="idx",
        open="vitbench_datasets.idx:open_idx",
        summary="idx files as MNIST's: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k- or test-*; or *.gz",
        detect="vitbench_datasets.idx:detect",
        splits=("train", "val", "test"),
    )


def _in_mnists_format() -> Iterator[vitbench.DatasetSpec]:
    """Give the datasets that are published as idx files."""
    shape, sizes = (1, 28, 28), {"train": 60_000, "test": 10_000}
    yield vitbench.DatasetSpec(
        name="fashion-mnist",
        open="vitbench_datasets.mnist:open_fashion_mnist",
        summary="Fashion-MNIST: 70,000 gray images of clothes of 28x28 pixels, 10 classes",
        classes=10,
        shape=shape,
        sizes=sizes,
        downloads=True,
        licence="MIT",
        source="https://github.com/zalandoresearch/fashion-mnist (Xiao, Rasul and Vollgraf, 2017, arXiv 1708.07747)",
        requires=("torchvision",),
        published=_FASHION,
    )
    yield vitbench.DatasetSpec(
        name="mnist",
        open="vitbench_datasets.mnist:open_mnist",
        summary="MNIST: 70,000 handwritten digits of 28x28 pixels",
        classes=10,
        shape=shape,
        sizes=sizes,
        downloads=True,
        augmentations=("crop",),
        licence="none stated",
        source="http://yann.lecun.com/exdb/mnist (LeCun, Bottou, Bengio and Haffner, 1998)",
        requires=("torchvision",),
    )
    yield vitbench.DatasetSpec(
        name="kmnist",
        open="vitbench_datasets.mnist:open_kmnist",
        summary="KMNIST: 70,000 handwritten characters of cursive Japanese of 28x28 pixels, 10 classes",
        classes=10,
        shape=shape,
        sizes=sizes,
        downloads=True,
        augmentations=("crop",),
        licence="CC BY-SA 4.0",
        source="https://github.com/rois-codh/kmnist (Clanuwat et al., 2018, arXiv 1812.01718)",
        requires=("torchvision",),
    )
    yield vitbench.DatasetSpec(
        name="emnist",
        open="vitbench_datasets.mnist:open_emnist",
        summary="EMNIST: handwritten digits and letters of 28x28 pixels, 47 classes unless another subset is selected",
        shape=shape,
        downloads=True,
        augmentations=("crop",),
        options={
            "subset": vitbench.Option(
                "balanced", help="Which of its six datasets, as its authors name them", choices=_EMNIST_SUBSETS
            )
        },
        licence="none stated",
        source="https://www.nist.gov/itl/products-and-services/emnist-dataset (Cohen et al., 2017, arXiv 1702.05373)",
        requires=("torchvision",),
    )
