"""`vitbench score` from folder to table: ten folders of ImageNet's classes, and timm's own arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform
from torch import Tensor

import vitbench
from vitbench.measuring.predictions import load_predictions
from vitbench.report import render
from vitbench.store import Store

IMAGENETTE = (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)
SYNSETS = (
    *("n01440764", "n02102040", "n02979186", "n03000684", "n03028079"),
    *("n03394916", "n03417042", "n03425413", "n03445777", "n03888257"),
)


@pytest.fixture
def imagenette(tmp_path: Path) -> Path:
    """A validation folder alone, of noise: 10 of the 1,000 classes, by their WordNet ids."""
    random = np.random.default_rng(0)
    for synset in SYNSETS:
        folder = tmp_path / "imagenette2" / "val" / synset
        folder.mkdir(parents=True)
        for number in range(3):
            pixels = random.integers(0, 256, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).resize((200, 180)).save(folder / f"{number}.png")
    return tmp_path / "imagenette2" / "val"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Random weights of a small network for ImageNet, as a trainer leaves them."""
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=1000)
    torch.nn.init.normal_(network.get_classifier().weight)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    return tmp_path / "net.pth"


def by_timm(folder: Path, weights: Path) -> Tensor:
    """Return the logits of all images of a folder, in the order of the names of classes and files."""
    network = timm.create_model("test_resnet", num_classes=1000, checkpoint_path=str(weights)).eval()
    config = timm.get_pretrained_cfg("test_resnet")
    transform: Any = create_transform(
        config.input_size,
        mean=config.mean,
        std=config.std,
        interpolation=config.interpolation,
        crop_pct=config.crop_pct,
    )
    images = torch.stack([transform(Image.open(path)) for path in sorted(folder.glob("*/*.png"))])
    with torch.inference_mode():
        return network(images).double()


@pytest.mark.slow
def test_a_head_of_imagenet_is_scored_on_ten_folders(imagenette: Path, weights: Path, tmp_path: Path) -> None:
    models, output = [f"timm/test_resnet:checkpoint={weights}"], tmp_path / "out"
    subset = vitbench.score(imagenette, models, output=output, threads=1, quiet=True)
    whole = vitbench.score(imagenette, models, classes="all", output=output, threads=1, quiet=True)
    assert [len(results.records) for results in (subset, whole)] == [1, 2]

    logits, labels = by_timm(imagenette, weights), np.repeat(np.arange(10), 3)
    own = logits[:, list(IMAGENETTE)]
    nll = -own.log_softmax(dim=1)[np.arange(30), labels].mean()
    nll_of_all = (logits.logsumexp(dim=1) - own[np.arange(30), labels]).mean()
    top5 = (logits.topk(5).indices.numpy() == np.array(IMAGENETTE)[labels][:, None]).any(axis=1).mean()
    rows = {row.condition.other_classes: row for row in whole.leaderboard.rows}
    values = {others: {name: metric.value for name, metric in row.metrics.items()} for others, row in rows.items()}
    assert values[0]["top1"] == pytest.approx((own.argmax(dim=1).numpy() == labels).mean())
    assert values[0]["nll"] == pytest.approx(float(nll), rel=1e-5)
    right = np.array(IMAGENETTE)[labels] == logits.argmax(dim=1).numpy()
    assert values[990]["top1"] == pytest.approx(right.mean())
    assert values[990]["top5"] == pytest.approx(top5)
    assert values[990]["nll"] == pytest.approx(float(nll_of_all), rel=1e-5)
    assert (
        values[0]["params"]
        == values[990]["params"]
        == sum(p.numel() for p in timm.create_model("test_resnet", num_classes=1000).parameters())
    )

    table = render(whole.leaderboard, "md")
    assert "imagenette2, against 990 other classes" in table
    assert "Scored on 10 of the head's 1,000 classes" in " ".join(table.split())
    page = whole.page()
    assert "--set recipes/evaluate.classes=all" in page
    with Store.open(output, create=False) as store:
        said = load_predictions(store.predictions_path(whole.records[-1].key))
    outside = {*said.class_names} - {*SYNSETS}
    assert (len(said.class_names), len(outside), "n01443537" in outside) == (1000, 990, True)
