"""Scores of images, read from stored predictions, against the metrics that are made of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import factories
import msgspec
import numpy as np
import pytest
import torch
from vitbench_metrics import quality

import vitbench
from vitbench.leaderboard.image_scores import read_outcomes
from vitbench.measuring.predictions import save_predictions, summarise
from vitbench.protocols import Predictions, Subject
from vitbench.store import Store


@pytest.fixture
def predictions() -> Predictions:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (200,), generator=generator)
    return summarise(torch.randn(200, 10, generator=generator), labels.numpy())


@pytest.mark.parametrize(
    ("name", "kind"), [("top1", np.bool_), ("top5", np.bool_), ("nll", np.float32)], ids=["top1", "top5", "nll"]
)
def test_the_metric_is_the_mean_of_the_scores(tmp_path, predictions, name, kind):
    save_predictions(tmp_path / "p.npz", predictions)
    found = read_outcomes(tmp_path / "p.npz", name)
    subject = Subject(num_classes=10, input_shape=(1, 8, 8), device="cpu", precision="float32", predictions=predictions)
    (measured,) = getattr(quality, name)(subject)
    assert found is not None
    assert found.scores.dtype == kind
    assert found.scores.shape == (200,)
    assert found.scores.mean(dtype=float) == pytest.approx(measured.value, rel=1e-9)


def test_images_are_known_by_their_labels_in_order(tmp_path, predictions):
    def digest(labels: np.ndarray) -> str:
        save_predictions(tmp_path / "p.npz", summarise(torch.eye(10)[torch.from_numpy(labels)], labels))
        found = read_outcomes(tmp_path / "p.npz", "top1")
        assert found is not None
        return found.images

    same = digest(predictions.labels)
    assert digest(predictions.labels.copy()) == same
    assert digest(predictions.labels[::-1].copy()) != same
    assert digest(predictions.labels[:-1].copy()) != same


@pytest.mark.parametrize("name", ["throughput", "ece", "macro_f1"])
def test_a_figure_that_is_no_mean_over_images_has_none(tmp_path, predictions, name):
    save_predictions(tmp_path / "p.npz", predictions)
    assert read_outcomes(tmp_path / "p.npz", name) is None


def test_missing_and_damaged_files_have_none(tmp_path, predictions):
    path: Path = tmp_path / "p.npz"
    assert read_outcomes(path, "top1") is None
    save_predictions(path, predictions)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert read_outcomes(path, "top1") is None
    for place in range(60, len(whole), 97):
        path.write_bytes(whole[:place] + bytes(8) + whole[place + 8 :])
        read_outcomes(path, "top1")  # whatever it finds, no damage ends in an error
    path.write_bytes(b"")
    assert read_outcomes(path, "top1") is None
    np.savez(path, labels=predictions.labels)
    assert read_outcomes(path, "top1") is None


@pytest.mark.process
def test_reading_them_does_not_load_torch(tmp_path, predictions):
    save_predictions(tmp_path / "p.npz", predictions)
    script = (
        "import sys, pathlib\nfrom vitbench.leaderboard.image_scores import read_outcomes\n"
        f"assert read_outcomes(pathlib.Path({str(tmp_path / 'p.npz')!r}), 'top1') is not None\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_load_ranks_by_the_predictions_beside_the_store(tmp_path):
    records = [factories.quality("a", 340), factories.quality("b", 325)]
    with Store.open(tmp_path, create=True) as store:
        run = store.begin_run(
            command="vitbench run", version="0", suite="", environment=factories.environment(), rank_by="top1"
        )
        store.plan(run, [record.planned for record in records])
        for record, correct in zip(records, (340, 325), strict=True):
            store.append(msgspec.structs.replace(record, run=run))
            labels = np.arange(360) % 10
            said = np.where(np.arange(360) < correct, labels, (labels + 1) % 10)
            save_predictions(store.predictions_path(record.key), summarise(torch.eye(10)[said], labels))
    found = vitbench.load(tmp_path).leaderboard
    assert [(row.model, row.rank, row.rank_last) for row in found.rows] == [("a", 1, 1), ("b", 2, 2)]
    [resolution] = found.resolutions.values()
    assert (resolution.models, resolution.images) == (2, 360)
    (tmp_path / "predictions" / f"{records[0].key}.npz").unlink()
    found = vitbench.load(tmp_path).leaderboard
    assert [(row.model, row.rank, row.rank_last) for row in found.rows] == [("a", 1, 2), ("b", 1, 2)]
