"""Every built-in model: a forward pass on one image, and a training step on two.

The calls that `vitbench run` times are timed here with random weights, so that nothing is downloaded; models of 224
pixels or more get 64 pixels, to save time. New models in the catalog are covered automatically. There is no target:
compare runs on one quiet machine with each other,

    pytest benchmarks/test_models.py --benchmark-save=before
    pytest benchmarks/test_models.py --benchmark-compare

which takes about five minutes per run on two quiet cores, including a minute for the largest model. One model: ``-k
vit-p4-d8``.
"""

from __future__ import annotations

import pytest

from vitbench.catalog import load_catalog
from vitbench.pytest_plugin.fixture import ModelBenchmark

LARGE = "timm/resnetv2_152x4_bit.goog_in21k"
"""928 M parameters: a training step takes 15 GB, and is left out."""
SIZES = {"hybrid": 112}
"""Pixels, of models whose patches do not divide 64."""
MODELS = {
    name + (":pretrained=false" if "pretrained" in offer.spec.options else ""): offer.spec
    for name, offer in load_catalog().models.items()
    if offer.plugin.distribution == "vitbench" and not (offer.spec.is_baseline or offer.spec.resolve)
}


def cases(*, without: str = "") -> pytest.MarkDecorator:
    sizes = {
        name: SIZES.get(spec.name, 64) if (spec.input_size or (0, 0)) >= (224, 224) else None
        for name, spec in MODELS.items()
        if not (without and name.startswith(without))
    }
    return pytest.mark.parametrize(("model", "image_size"), sizes.items(), ids=sizes)


@pytest.mark.benchmark(group="forward pass, 1 image")
@cases()
def test_forward(vitbench_benchmark: ModelBenchmark, model: str, image_size: int | None) -> None:
    assert vitbench_benchmark(model, image_size=image_size)["params"] > 0


@pytest.mark.benchmark(group="training step, 2 images")
@cases(without=LARGE)
def test_train_step(vitbench_benchmark: ModelBenchmark, model: str, image_size: int | None) -> None:
    assert vitbench_benchmark(model, "training", batch_size=2, image_size=image_size)["params"] > 0
