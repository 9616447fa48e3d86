"""The main job in small: real CIFAR-10 images through the suite `cifar`, with rows that lack their weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import vitbench
from vitbench.cli import main

Vitbench = Callable[..., tuple[int, str, str]]

TRAIN, TEST = 300, 100


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vitbench:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vitbench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture
def few_images(shared_data: Path, tmp_path: Path) -> Path:
    """Return a folder with the first rows of the real files: decoding all 60,000 takes too long for a test."""
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "cifar10-jpeg"
    folder.mkdir()
    for split, count in (("train", TRAIN), ("test", TEST)):
        (source,) = sorted((shared_data / "cifar10-jpeg").glob(f"{split}-*.parquet"))
        with parquet.ParquetFile(source) as file:
            rows = next(file.iter_batches(batch_size=count))
            table = (
                type(file.read_row_group(0)).from_batches([rows]).replace_schema_metadata(file.schema_arrow.metadata)
            )
        parquet.write_table(table, folder / source.name)
    return folder


@pytest.mark.slow
def test_real_images_go_from_the_suite_to_a_partial_leaderboard(
    call: Vitbench, few_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitbench.running.runner.SPEED_PROCESSES", (1,))  # three would take minutes on a loaded machine
    folder = tmp_path / "results"
    command = [
        *("run", "--suite", "cifar", "--dataset", "cifar10", "--data", f"cifar10={few_images}"),
        *("--limit", "50", "--epochs", "1", "--threads", "1", "--batch-size", "1", "--output", str(folder)),
        *("--model", "vit-p8-d12", "--model", "scratch/hybrid", "--model", "majority"),
    ]
    code, out, said = call(*command, "--json")
    assert code == 1, said
    assert "Traceback" not in said
    board = json.loads(out)

    rows = {row["model"]: row for row in board["rows"]}
    timed = rows.pop("scratch/hybrid")["metrics"]  # whose weights are on the hub
    assert "latency_p50" in timed
    assert "top1" not in timed
    assert set(rows) == {"scratch/vit-p8-d12", "baseline/majority"}
    fingerprints = set()
    for row in rows.values():
        assert (row["partial"], row["rank"], row["device"], row["precision"]) == (True, None, "cpu", "float32")
        name, _, rest = row["dataset"].partition(" (unverified, ")
        assert (name, len(rest), rest[-1]) == ("cifar10", 9, ")")
        fingerprints.add(int(rest[:8], 16))
        assert row["metrics"]["top1"]["n"] == 50
        assert 0 <= row["metrics"]["top1"]["value"] < 0.5, "one pass over fifty images teaches little"
        assert row["baseline"] == (row["model"] == "baseline/majority")
        assert ("latency_p50" in row["metrics"]) != row["baseline"]
    assert len(fingerprints) == 1

    [waiting] = board["failed"]
    assert (waiting["model"], waiting["kind"], waiting["status"]) == ("scratch/hybrid", "quality", "pending")
    assert "weights" in waiting["reason"]
    assert "\n" not in waiting["reason"]

    before = len(vitbench.load(folder).records)
    code, out, said = call(*command, "--json")  # asks the hub again, and does nothing else
    assert (code, json.loads(out)["rows"]) == (1, board["rows"])
    [again] = vitbench.load(folder).records[before:]
    assert (again.planned.label, again.status) == ("scratch/hybrid", "pending")
