"""The published datasets are known by their pixels, whatever files hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vitbench_datasets import vitbench_datasets
from vitbench_datasets.digits import open_digits

from vitbench.data.cache import WantedSize, cache_dataset
from vitbench.data.locate import locate
from vitbench.records import DataInfo

SPECS = {spec.name: spec for spec in vitbench_datasets()}
SIDE = WantedSize(image_size=None)


def _cached(name: str, folder: Path, tmp_path: Path) -> DataInfo:
    layouts = [("datasets", spec) for spec in SPECS.values() if spec.is_layout]
    given = {"spec": SPECS[name], "plugin": "datasets", "layouts": layouts, "data_root": tmp_path}
    found = locate(name, data_path=folder, **given)
    located = found.otherwise or found
    return cache_dataset(located, sides=[SIDE], cache_root=tmp_path / "cache", say=lambda line: None)[SIDE]


def test_digits_in_a_folder_of_png_files_are_the_digits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        digits = open_digits(split=split)
        for number, (image, label) in enumerate(zip(digits.pixels, digits.labels, strict=True)):
            path = tmp_path / "digits" / split / str(label) / f"{number * 7919 % 9973}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(path)
    assert _cached("digits", tmp_path / "digits", tmp_path).title == "digits"

    pixels = np.array(Image.open(path))
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    assert _cached("digits", tmp_path / "digits", tmp_path).title.startswith("digits (unverified, ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("cifar10", [0.49139968, 0.48215841, 0.44653091]),
        ("cifar100", [0.50707516, 0.48654887, 0.44091784]),
    ],
)
def test_lossless_copies_of_cifar_are_the_published_ones(
    name: str, published: list[float], shared_data: Path, tmp_path: Path
) -> None:
    if not (shared_data / name).is_dir():
        pytest.skip(f"{name} is not here")
    info = _cached(name, shared_data / name, tmp_path)
    assert (info.verified, info.sizes) == (True, {"train": 50_000, "test": 10_000})
    means = np.load(Path(info.cache, "train-images.npy"), mmap_mode="r").mean(axis=(0, 2, 3)) / 255
    assert np.allclose(means, published, atol=5e-9, rtol=0)
