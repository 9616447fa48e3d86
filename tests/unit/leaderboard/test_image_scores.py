"""What is stored behind a measurement, read by its name, and what a ranking makes of it."""

from __future__ import annotations

from pathlib import Path

import factories
import numpy as np
import torch

import vitbench
from vitbench.catalog import Catalog, Offer, Plugin
from vitbench.leaderboard.image_scores import Outcomes, Resampled, read_outcomes
from vitbench.protocols import ConfusionScore, Predictions, Subject
from vitbench.specs import MetricSpec
from vitbench.store import Store
from vitbench.worker.metrics import measure
from vitbench.worker.scores import save_scores

KEPT = {
    "mine": {"scores": np.array([True, False, True])},
    "error": {"scores": np.array([0.5, 1.5, 0.25], dtype=np.float32)},
    "worst": {"value": np.float64(0.5), "replicates": np.array([0.25, np.nan, 0.5]), "step": np.float64(0.125)},
}


def predictions(labels: list[int], index: list[int] | None = None) -> Predictions:
    return factories.predictions(torch.eye(10)[labels], labels, index=index)


def test_scores_that_few_images_make_are_known_by_these_alone() -> None:
    rare = np.zeros(50)
    rare[:2] = 1.0
    graded, of_right = Outcomes(scores=rare, images="i"), Outcomes(scores=rare.astype(bool), images="i")
    assert graded.freedom < 5
    assert of_right.freedom == 49


def test_they_are_read_by_the_measurements_name(tmp_path: Path) -> None:
    save_scores(tmp_path / "s.npz", KEPT, predictions([0, 1, 2]))
    mine, error, worst = (read_outcomes(tmp_path / "s.npz", name) for name in KEPT)
    assert isinstance(mine, Outcomes)
    assert (mine.scores.dtype, mine.value, mine.size) == (np.bool_, 2 / 3, 3)
    assert isinstance(error, Outcomes)
    assert (error.scores.dtype, error.value, error.size) == (np.float32, 0.75, 3)
    assert isinstance(worst, Resampled)
    assert (worst.value, worst.step, worst.size) == (0.5, 0.125, 3)
    assert np.array_equal(worst.replicates, [0.25, np.nan, 0.5], equal_nan=True)
    assert mine.images == error.images == worst.images
    assert read_outcomes(tmp_path / "s.npz", "throughput") is None


def test_missing_and_damaged_files_have_none(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    assert read_outcomes(path, "mine") is None
    save_scores(path, KEPT, predictions([0, 1, 2]))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert read_outcomes(path, "mine") is None
    np.savez(path, labels=np.arange(3))
    assert read_outcomes(path, "mine") is None


def test_images_are_known_by_their_labels_and_places_in_order(tmp_path: Path) -> None:
    def digest(labels: list[int], index: list[int] | None = None) -> str:
        of = predictions(labels, index)
        save_scores(tmp_path / "s.npz", {"m": {"scores": np.zeros(len(labels), dtype=bool)}}, of)
        found = read_outcomes(tmp_path / "s.npz", "m")
        assert found is not None
        return found.images

    same = digest([0, 1, 1])
    assert digest([0, 1, 1], [0, 1, 2]) == same
    assert digest([1, 1, 0]) != same
    assert digest([0, 1]) != same
    assert digest([0, 1, 1], [0, 1, 3]) != same, "another image of the same class"


def worst_class(subject: Subject) -> list[ConfusionScore]:
    def score(confusion: np.ndarray) -> float:
        totals = confusion.sum(axis=1)
        return float((confusion.diagonal()[totals > 0] / totals[totals > 0]).min())

    return [ConfusionScore(name="worst_class", score=score)]


def test_a_third_partys_measurement_ranks_as_ours_do_and_is_read_without_its_plugin(tmp_path: Path) -> None:
    """Three models that are right on 900 to 915 of 1000 images; the best of them has a class that it hardly knows."""
    labels = np.arange(1000) % 10
    hard = {
        "even": np.arange(1000) < 100,
        "other": np.arange(1000) >= 900,
        "blind": (labels == 0) & (np.arange(1000) % 7 > 0),
    }
    spec = MetricSpec(
        name="worst_class", measure=worst_class, unit="fraction", better="higher", needs="predictions", summary="x"
    )
    plugin = Plugin(name="p", distribution="d", version="1", module="m")
    catalog = Catalog(metrics={"p/worst_class": Offer(name="p/worst_class", plugin=plugin, spec=spec)})
    with Store.open(tmp_path, create=True) as store:
        run = store.begin_run(
            command="vitbench run", version="0", suite="", environment=factories.environment(), rank_by="worst_class"
        )
        for name, wrong in hard.items():
            said = torch.from_numpy(np.where(wrong, (labels + 1) % 10, labels))
            of = factories.predictions(torch.eye(10)[said], labels)
            subject = Subject(num_classes=10, input_shape=(1, 8, 8), device="cpu", precision="float32", predictions=of)
            measured = measure(catalog, subject, "quality")
            record = factories.record(factories.quality_cell(name), measured.measurements, run=run)
            store.append(record)
            save_scores(store.scores_path(record.key), measured.scores, of)
    found = vitbench.load(tmp_path).leaderboard
    assert {row.model: (row.rank, row.rank_last) for row in found.rows} == {
        "even": (1, 2),
        "other": (1, 2),
        "blind": (3, 3),
    }
    [resolution] = found.resolutions.values()
    assert (resolution.models, resolution.images) == (3, 1000)
