"""Metrics of stored predictions, computed again; the whole cell runs in tests/integration/test_run_digits.py."""

from __future__ import annotations

from pathlib import Path

import factories
import msgspec
import numpy as np
import pytest
import torch

from vitbench.errors import StoreError
from vitbench.execution.messages import PREDICTIONS, SCORES, MetricsJob
from vitbench.measuring.predictions import save_predictions
from vitbench.worker.quality import measure_again
from vitbench.worker.scores import load_scores, save_scores

JOB = msgspec.msgpack.encode(MetricsJob(planned=factories.quality_cell("a"), warnings=("it changed a flag",)))


def again(folder: Path) -> dict[str, float | None]:
    answer = measure_again(JOB, folder, lambda _: None)
    assert {one.verdict.level for one in answer.measurements} == {"warn"}
    return {one.name: one.value for one in answer.measurements}


def test_scores_are_written_anew_and_those_of_metrics_that_are_gone_stay(tmp_path: Path) -> None:
    labels = np.arange(60) % 10
    predictions = factories.predictions(torch.eye(10)[torch.from_numpy(labels)], labels)
    save_predictions(tmp_path / PREDICTIONS, predictions)
    old = {"gone": {"scores": np.zeros(60)}, "top1": {"scores": np.zeros(60, dtype=bool)}}
    save_scores(tmp_path / SCORES, old, predictions)
    values = again(tmp_path)
    assert values["top1"] == 1
    found = load_scores(tmp_path / SCORES)
    assert found["top1"]["scores"].all()
    assert not found["gone"]["scores"].any()
    assert {"nll", "macro_f1", "brier", "auroc"} <= found.keys()
    assert "params" not in values, "there is no model"


def test_damaged_scores_are_made_again(tmp_path: Path) -> None:
    predictions = factories.predictions(torch.eye(10), np.arange(10))
    save_predictions(tmp_path / PREDICTIONS, predictions)
    (tmp_path / SCORES).write_bytes(b"damaged")
    again(tmp_path)
    assert "top1" in load_scores(tmp_path / SCORES)


def test_without_predictions_there_is_nothing_to_measure(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read "):
        measure_again(JOB, tmp_path, lambda _: None)
