"""What a folder holds comes back: records under the newest labels, and the leaderboard that they make."""

from __future__ import annotations

from pathlib import Path

import factories
import msgspec
import pytest

from vitbench.errors import StoreError
from vitbench.leaderboard.results import read_results
from vitbench.records import KeyedCell, Record
from vitbench.store import Store


def fill(folder: Path, *records: Record, plan: list[KeyedCell] | None = None, rank_by: str = "top1") -> None:
    """Write records of one run, and its plan."""
    with Store.open(folder, create=True) as store:
        run = store.begin_run(
            command="vitbench run", version="0", suite="", environment=factories.environment(), rank_by=rank_by
        )
        store.plan(run, [record.planned for record in records] if plan is None else plan)
        for record in records:
            store.append(msgspec.structs.replace(record, run=run))


def test_all_attempts_come_the_newest_last_and_cells_that_wait_are_listed(tmp_path: Path) -> None:
    failed = factories.record(factories.quality_cell("a"), status="failed")
    good, waiting = factories.quality("a"), factories.quality_cell("b")
    fill(tmp_path, failed, good, plan=[good.planned, waiting])
    records, board = read_results(tmp_path)
    assert [record.status for record in records] == ["failed", "ok"]
    assert [row.model for row in board.rows] == ["a"]
    assert [(cell.model, cell.status) for cell in board.failed] == [("b", "pending")]


def test_a_new_label_names_the_results_that_are_there(tmp_path: Path) -> None:
    place = tmp_path / "place"
    old, other = factories.quality("old", 340), factories.quality("other", 300)
    fill(place, old, other)
    fill(place, plan=[msgspec.structs.replace(old.planned, label="new")])
    records, board = read_results(place)
    assert [record.planned.label for record in records] == ["new", "other"]
    assert [row.model for row in board.rows] == ["new", "other"]


def test_the_newest_run_says_what_is_ranked_by(tmp_path: Path) -> None:
    fill(tmp_path, factories.quality("a", 350), *factories.speed("a", 10))
    fill(tmp_path, factories.quality("b", 300), *factories.speed("b", 900), rank_by="throughput")
    _, board = read_results(tmp_path)
    assert board.rank_by == "throughput"
    assert [row.model for row in board.rows] == ["b", "a"]


def test_a_folder_without_results_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing here"):
        read_results(tmp_path / "nothing here")
    assert not (tmp_path / "nothing here").exists()
