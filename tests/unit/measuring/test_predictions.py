"""Predictions: validated before they are scored, summarised exactly, stored whole."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import predictions
from torch import nn

from vitbench.errors import Skip, StoreError
from vitbench.measuring import predictions as module
from vitbench.measuring.predictions import (
    InvalidPredictions,
    load_predictions,
    predict,
    save_predictions,
    validate_logits,
)
from vitbench.measuring.steps import InvalidOutput

NAN, INF = math.nan, math.inf
DTYPES = {
    "labels": np.int64,
    "index": np.int64,
    "top_classes": np.int64,
    "top_logits": np.float32,
    "log_normaliser": np.float64,
    "true_logit": np.float32,
}


def some_logits(images: int = 40, classes: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.randn(images, classes, generator=torch.Generator().manual_seed(seed))


class TestValidate:
    @pytest.mark.parametrize(
        ("logits", "labels", "message"),
        [
            (torch.zeros(3, 2, 1, 1), [0, 1, 0], r"logits have shape \(3, 2, 1, 1\); \(images, 2\) is needed"),
            (torch.zeros(3, 5), [0, 1, 0], r"logits have shape \(3, 5\)"),
            (torch.zeros(0, 2), [], "there are no images to score"),
            (torch.zeros(3, 2), [0, 1], r"labels have shape \(2,\); \(3,\) is needed"),
            (torch.zeros(3, 2), [[0], [1], [0]], r"labels have shape \(3, 1\)"),
            (torch.zeros(3, 2), [0, 2, 5], "image 1 has label 2; with 2 classes it must be 0 to 1"),
            (torch.zeros(3, 2), [0, 1, -1], "image 2 has label -1"),
            (torch.tensor([[0, 0], [0, NAN], [INF, 0]]), [0, 1, 0], "image 1 has a logit that is nan, as have 2 "),
            (
                torch.tensor([[0, 0], [0, 0], [-INF, NAN]]),
                [0, 1, 0],
                "image 2 has a logit that is -inf, as have 1 ",
            ),
        ],
    )
    def test_the_first_bad_image_is_named(self, logits: torch.Tensor, labels: list[int], message: str) -> None:
        with pytest.raises(InvalidPredictions, match=message):
            validate_logits(logits, np.array(labels, dtype=np.int64), 2)


class TestPredict:
    def test_logits_come_in_order_as_float32_and_without_dropout(self) -> None:
        model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Dropout(0.9)).train()
        images = torch.randn(10, 3, 2, 2)
        ticks: list[None] = []
        logits = predict(
            model,
            images.split(4),
            autocast=lambda: torch.autocast("cpu", torch.bfloat16),
            tick=lambda: ticks.append(None),
        )
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            expected = torch.cat([model[1](part.flatten(1)) for part in images.split(4)])
        assert logits.dtype == torch.float32
        assert torch.equal(logits, expected.float())
        assert len(ticks) == 3

    def test_an_output_that_would_broadcast_is_refused(self) -> None:
        with pytest.raises(InvalidOutput, match=r"shape \(4, 3, 2, 2\) for 4 images; .* \(4, classes\)"):
            predict(nn.Identity(), [torch.zeros(4, 3, 2, 2)])
        with pytest.raises(InvalidOutput, match=r"shape \(12, 4\) for 4 images"):
            predict(nn.Flatten(0, 2), [torch.zeros(4, 3, 1, 4)])

    def test_no_images(self) -> None:
        with pytest.raises(InvalidPredictions, match="no images"):
            predict(nn.Identity(), [])


class TestSummarise:
    def test_against_float64_softmax(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "CHUNK", 16)
        logits = some_logits()
        labels = np.arange(40) % 7
        found = predictions(logits, labels)
        probability = torch.softmax(logits.double(), 1).numpy()
        order = np.argsort(-probability, axis=1)
        assert np.array_equal(found.top_classes, order)
        assert np.array_equal(found.top_logits, np.take_along_axis(logits.numpy(), order, 1))
        assert np.array_equal(found.true_logit, logits.numpy()[np.arange(40), labels])
        assert np.allclose(found.log_normaliser, torch.logsumexp(logits.double(), 1).numpy(), rtol=1e-14)
        assert np.allclose(found.top_probabilities, np.take_along_axis(probability, order, 1), rtol=1e-6)
        assert np.allclose(found.true_log_probability, np.log(probability[np.arange(40), labels]), rtol=1e-6)
        assert np.allclose(found.probabilities(), probability, rtol=1e-12)
        assert found.num_classes == 7
        dtypes = [getattr(found, name).dtype for name in DTYPES]
        assert dtypes == list(DTYPES.values())
        assert (found.top_probabilities.dtype, found.true_log_probability.dtype) == (np.float32, np.float32)

    def test_a_wrong_but_certain_model_has_a_finite_log_probability(self) -> None:
        found = predictions(torch.tensor([[1000.0, 0.0]]), [1])
        assert found.true_log_probability.tolist() == [-1000.0]
        assert found.top_probabilities.tolist() == [[1.0, 0.0]]

    def test_equal_logits_are_ordered_by_class_and_a_hundred_are_kept_in_order(self) -> None:
        found = predictions(torch.zeros(3, 1000), [0, 1, 2])
        assert found.top_classes.tolist() == [list(range(100))] * 3
        assert found.true_log_probability == pytest.approx([-math.log(1000)] * 3)

    def test_of_too_many_logits_the_largest_are_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        logits, labels = some_logits(4, 150), np.array([0, 30, 149, 7])
        monkeypatch.setattr(module, "WHOLE_BYTES", 4 * 150 * 4)
        whole = predictions(logits, labels)
        assert np.array_equal(whole.logits, logits.numpy())
        monkeypatch.setattr(module, "WHOLE_BYTES", 4 * 150 * 4 - 1)
        found = predictions(logits, labels)
        assert found.logits is None
        for name in ("top_classes", "top_logits", "log_normaliser", "true_logit", "true_log_probability"):
            assert np.array_equal(getattr(found, name), getattr(whole, name))
        with pytest.raises(Skip, match="of 4 images and 150 classes were not kept whole: only those of the 100 like"):
            found.probabilities()


class TestStore:
    @pytest.mark.parametrize(("whole", "classes"), [(True, 7), (False, 300)])
    def test_what_was_saved_is_loaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool, classes: int
    ) -> None:
        monkeypatch.setattr(module, "WHOLE_BYTES", 2**20 if whole else 0)
        index = np.random.default_rng(0).permutation(100)[:40]
        saved = predictions(some_logits(40, classes), np.arange(40) % 7, index=index)
        save_predictions(tmp_path / "key.npz", saved)
        loaded = load_predictions(tmp_path / "key.npz")
        assert [path.name for path in tmp_path.iterdir()] == ["key.npz"]
        assert (saved.logits is not None) == whole
        for name, dtype in DTYPES.items():
            assert np.array_equal(getattr(loaded, name), getattr(saved, name))
            assert getattr(loaded, name).dtype == dtype
        assert loaded.class_names == saved.class_names
        if whole:
            assert np.array_equal(loaded.logits, saved.logits)
        else:
            assert loaded.logits is None

    def test_whole_logits_are_stored_once(self, tmp_path: Path) -> None:
        save_predictions(tmp_path / "key.npz", predictions(some_logits(1000, 100), np.arange(1000) % 7))
        assert (tmp_path / "key.npz").stat().st_size < 1.4 * 1000 * 100 * 4

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "key.npz"
        save_predictions(path, predictions(some_logits(), np.arange(40) % 7))
        before = path.read_bytes()

        def full(file: object, **arrays: object) -> None:
            file.write(b"half")  # type: ignore[attr-defined]
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "savez", full)
        with pytest.raises(StoreError, match=r"cannot write .*key\.npz: No space left on device"):
            save_predictions(path, predictions(some_logits(seed=1), np.arange(40) % 7))
        assert [entry.name for entry in tmp_path.iterdir()] == ["key.npz"]
        assert path.read_bytes() == before

    @pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 half a zip"])
    def test_what_is_no_file_of_predictions(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "key.npz"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(StoreError, match="cannot read "):
            load_predictions(path)

    def test_pickles_and_other_arrays_are_refused(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "objects.npz", labels=np.array([{}], dtype=object))
        np.savez(tmp_path / "other.npz", something=np.zeros(3))
        for name in ("objects.npz", "other.npz"):
            with pytest.raises(StoreError, match="cannot read "):
                load_predictions(tmp_path / name)
