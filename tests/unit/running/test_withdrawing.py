"""A withdrawn result counts no more, says why, and comes back by running it again; nothing is lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import factories as f
import msgspec
import pytest

import vitbench
from vitbench.errors import StoreError, UsageError
from vitbench.files import lock
from vitbench.leaderboard.results import read_results
from vitbench.records import Record
from vitbench.report.inspection import record_text, store_text
from vitbench.report.json_object import render_json
from vitbench.report.markdown import render_markdown
from vitbench.report.terminal import render_terminal
from vitbench.running.session import is_wanted
from vitbench.running.withdrawing import withdraw
from vitbench.store import FILE_NAME, Store

GOOD, OTHER, SEED = f.quality("vit", 340), f.quality("net", 300), f.quality("vit", 338, seed=1)
REASON = "trained on the test split"


def append(folder: Path, *records: Record) -> None:
    with Store.open(folder, create=True) as store:
        run = store.begin_run(command="x", version="0", suite="", environment=f.environment(), rank_by="top1")
        store.plan(run, [*(record.planned for record in records), f.quality_cell("later")])
        for record in records:
            store.append(msgspec.structs.replace(record, run=run))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    append(tmp_path / "r", GOOD, SEED, OTHER, *f.speed("vit"))
    return tmp_path / "r"


def stored(results: Path) -> list[Record]:
    with Store.open(results, create=False) as store:
        return store.records()


def test_a_record_is_appended_and_the_one_before_it_stays(results: Path) -> None:
    before = stored(results)
    record = withdraw(results, GOOD.id[:10], f" {REASON}\n")
    assert stored(results) == [*before, record]
    assert (record.id, record.key, record.status, record.reason) == (GOOD.id, GOOD.key, "withdrawn", REASON)
    assert record.measurements == ()


def test_its_training_begins_again(results: Path) -> None:
    with Store.open(results, create=False) as store:
        store.checkpoint_path(GOOD.key).write_bytes(b"state")
        withdraw(results, GOOD.key, REASON)
        assert store.checkpoints() == []


def test_its_row_is_a_mean_without_it_and_says_so(results: Path) -> None:
    withdraw(results, GOOD.key, REASON)
    _, board = read_results(results)
    [row] = [row for row in board.rows if row.model == "vit"]
    assert (row.seeds, row.seeds_missing) == ((1,), (0,))
    assert row.metrics["top1"].reasons[0] == "1 of 2 seeds has no result"


def test_tables_show_and_json_say_that_it_is_withdrawn_and_why(results: Path) -> None:
    withdraw(results, OTHER.id, REASON)
    _, board = read_results(results)
    assert "net" not in [row.model for row in board.rows]
    text = render_terminal(board)
    assert f"net: withdrawn (digits, seed 0)\n    {REASON}\n" in text
    for told in (text, render_markdown(board)):
        assert "Without a result: 2 cells, 1 of them withdrawn" in told
    assert f'"status": "withdrawn",\n      "reason": "{REASON}"' in render_json(board)
    with Store.open(results, create=False) as store:
        [line] = [line for line in store_text(store).splitlines() if "withdrawn" in line]
        told = record_text(store, OTHER.id)
    assert line.endswith(REASON)
    assert f"status      withdrawn: {REASON}\n" in told
    assert "it was ok" in told
    assert "top1 " in told  # what it had measured is there to be read


def test_a_run_runs_it_again_and_then_it_counts(results: Path) -> None:
    record = withdraw(results, OTHER.id, REASON)
    assert is_wanted(record, None)
    append(results, f.quality("net", 310))
    _, board = read_results(results)
    assert [row.metrics["top1"].value for row in board.rows if row.model == "net"] == [310 / 360]
    withdraw(results, OTHER.id, "the new one, too")


def test_an_interrupted_repetition_does_not_bring_it_back(results: Path) -> None:
    withdraw(results, OTHER.id, REASON)
    append(results, f.record(OTHER.planned, status="interrupted"))
    assert "net" not in [row.model for row in read_results(results)[1].rows]


@pytest.mark.parametrize(
    ("asked", "reason", "words"),
    [
        ("zz", REASON, 'no record has an id that begins with "zz"; see `vitbench show'),
        (f.quality_cell("later").id, REASON, "later on digits, supervised, seed 0 .* has no record yet"),
        (GOOD.id, " \n", "the reason is empty"),
        (GOOD.id, "\udcff", "the reason is not UTF-8 text"),
    ],
)
def test_what_cannot_be_withdrawn_is_refused(asked: str, reason: str, words: str, results: Path) -> None:
    before = stored(results)
    with pytest.raises(UsageError, match=words):
        withdraw(results, asked, reason)
    assert stored(results) == before


def test_a_beginning_that_several_have_is_refused(results: Path) -> None:
    append(results, *(f.quality(f"model{number}") for number in range(16)))  # of more than 16 two begin alike
    begins = [record.id[0] for record in stored(results)]
    several = next(each for each in begins if begins.count(each) > 1)
    with pytest.raises(UsageError, match="records have an id that begins with") as caught:
        withdraw(results, several, REASON)
    listed = [record.id for record in stored(results) if record.id in str(caught.value)]
    assert 2 <= len(listed) <= 5


def test_nothing_is_withdrawn_twice(results: Path) -> None:
    withdraw(results, GOOD.id, REASON)
    with pytest.raises(UsageError, match=f"is withdrawn already: {REASON}"):
        withdraw(results, GOOD.id, "again")


def test_a_folder_without_a_store_or_in_use_is_refused(results: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="contains no results"):
        withdraw(tmp_path / "none", GOOD.id, REASON)
    assert not (tmp_path / "none").exists()
    with lock(results), pytest.raises(StoreError, match=r"vitbench run .* is using .*; wait for it or stop it"):
        withdraw(results, GOOD.id, REASON)


def test_from_python_it_gives_the_results_without_it(results: Path) -> None:
    found = vitbench.withdraw(results, OTHER.id, reason=REASON)
    assert [failure.status for failure in found.leaderboard.failed] == ["withdrawn", "pending"]
    assert len(found.measurements().query("model == 'net'")) == 0
    with sqlite3.connect(results / FILE_NAME) as connection:
        assert connection.execute("SELECT count(*) FROM records WHERE id = ?", (OTHER.id,)).fetchone() == (2,)
