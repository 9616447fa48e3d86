"""Images for timm's pretrained weights: what a cell feeds a model is what timm's own pipeline feeds it, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from vitbench_timm.models import resolve

from vitbench.data.cache import cache_dataset
from vitbench.data.locate import Located
from vitbench.planning.datasets import wanted_size
from vitbench.specs import DatasetSpec, ModelSpec
from vitbench.training import preprocess

SIZES = ((375, 500), (500, 333), (97, 613), (641, 64), (237, 243), (256, 256), (31, 47), (33, 32))
"""Heights and widths, wide and high, larger and smaller than inputs, some of which leave an odd margin."""


def _images(sizes: Iterable[tuple[int, int]]) -> list[np.ndarray]:
    """Noise at several scales, in which no pixel has the value of its neighbour."""
    random = np.random.default_rng(0)
    images = []
    for height, width in sizes:
        coarse = Image.fromarray(random.integers(0, 256, (6, 9, 3), dtype=np.uint8)).resize((width, height))
        noise = random.integers(-40, 41, (height, width, 3))
        images.append(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8).transpose(2, 0, 1))
    return images


def _configurations() -> list[Any]:
    """Return a model for each way in which timm's weights have images moved, with half of the sizes."""
    found: dict[tuple[Any, ...], str] = {}
    for name in timm.list_pretrained():
        config = timm.get_pretrained_cfg(name)
        if config.classifier is None:  # an encoder, which vitbench does not take
            continue
        geometry = (config.crop_pct, config.crop_mode, config.interpolation)
        height, width = config.input_size[1:]
        found.setdefault((*geometry, height == width, height % 4), name)
    return [pytest.param(name, SIZES[turn % 2 :: 2], id=name) for turn, name in enumerate(found.values())]


def _inputs(spec: ModelSpec, images: list[np.ndarray], tmp_path: Path) -> torch.Tensor:
    """Return what a cell feeds the model, float32[N, 3, h, w]: from the dataset through the cache."""

    def open_images(*, root: Path | None, split: str, download: bool) -> SimpleNamespace:
        labels = np.arange(len(images)) % 2
        return SimpleNamespace(labels=labels, class_names=("a", "b"), image=lambda i: images[i])

    located = Located(
        name="toy",
        spec=DatasetSpec(name="toy", open=open_images, summary="Toy", needs_root=False),
        plugin="toys",
        root=None,
        verified=None,
        download=False,
        classes=None,
        augmentations=(),
    )
    model: Any = SimpleNamespace(spec=spec)
    side = wanted_size(model)
    info = cache_dataset(located, sides=[side], cache_root=tmp_path, say=lambda line: None)[side]
    cached = torch.from_numpy(np.load(Path(info.cache) / "test-images.npy"))
    assert spec.preprocess is not None
    assert spec.input_size is not None
    return preprocess(cached, spec.preprocess, image_size=spec.input_size, in_channels=3)


def _check(name: str, images: list[np.ndarray], tmp_path: Path) -> None:
    spec = resolve(name)
    config = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    transform = create_transform(**config, is_training=False)
    pixels = create_transform(**config, is_training=False, normalize=False)
    ours = _inputs(spec, images, tmp_path)
    assert spec.preprocess is not None
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (spec.preprocess.mean, spec.preprocess.std))
    for image, mine in zip(images, ours, strict=True):
        picture = Image.fromarray(image.transpose(1, 2, 0))
        assert torch.equal(((mine * std + mean) * 255).round().to(torch.uint8), pixels(picture))
        torch.testing.assert_close(mine, transform(picture), atol=1e-6, rtol=0)


@pytest.mark.compute
@pytest.mark.parametrize(("name", "sizes"), _configurations())
def test_weights_see_the_pixels_that_timm_shows_them(
    name: str, sizes: tuple[tuple[int, int], ...], tmp_path: Path
) -> None:
    _check(name, _images(sizes), tmp_path)


@pytest.mark.compute
@pytest.mark.parametrize("name", ["test_vit.r160_in1k", "volo_d4_448.sail_in1k", "resnet18.a1_in1k"])
@pytest.mark.parametrize("size", [(32, 32), (8, 8), (96, 70), (200, 290), (224, 224)])
def test_images_of_one_size_that_are_enlarged_at_each_batch_are_those_of_timm(
    name: str, size: tuple[int, int], tmp_path: Path
) -> None:
    _check(name, _images([size] * 2), tmp_path)
