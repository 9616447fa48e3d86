"""Somebody else's results stand beside one's own as theirs, and never take the place of anything."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import factories
import msgspec
import numpy as np
import pytest
import torch
from comparisons import right

from vitbench import load
from vitbench.errors import StoreError, UsageError
from vitbench.importing.bring import bring
from vitbench.leaderboard.results import read_results
from vitbench.measuring.predictions import save_predictions
from vitbench.records import Record, Verdict
from vitbench.report import render
from vitbench.report.formats import FORMATS
from vitbench.report.inspection import record_text
from vitbench.store import FILE_NAME, Store, blob_digest
from vitbench.worker.scores import save_scores


def made(place: Path, *labels: str, correct: int = 300, **fields: object) -> Path:
    """Write a results folder of trained models with their answers to 360 images."""
    with Store.open(place, create=True) as store:
        run = store.begin_run(command="x", version="1", suite="", environment=factories.environment(), rank_by="top1")
        for i, label in enumerate(labels):
            record = factories.quality(label, correct - i, data=_data(), **fields)
            scores = right(correct - i, images=360)
            truth = np.arange(360) % 10
            answers = factories.predictions(torch.eye(10)[np.where(scores, truth, (truth + 1) % 10)], truth)
            save_predictions(store.predictions_path(record.key), answers)
            save_scores(store.scores_path(record.key), {"top1": {"scores": scores}}, answers)
            environment = store.runs()[-1].environment
            store.append(msgspec.structs.replace(record, run=run, environment=environment))
    return place


def _data():  # type: ignore[no-untyped-def]
    """Return data whose class names are those of `factories.predictions`."""
    names = tuple(f"class {k}" for k in range(10))
    return msgspec.structs.replace(factories.data_info(), class_names=names)


def test_they_are_marked_wherever_they_are_shown_and_ranked_where_all_conditions_are_equal(tmp_path: Path) -> None:
    mine, theirs = made(tmp_path / "mine", "a", "b"), made(tmp_path / "alice", "a", correct=330)
    brought = bring(theirs, mine)
    assert (brought.source, brought.records, brought.files) == ("alice", 1, 2)
    board = load(mine).leaderboard
    assert [(row.label, row.source, row.rank, row.rank_last) for row in board.rows] == [
        ("a (from alice)", "alice", 1, 1),
        ("a", "", 2, 3),
        ("b", "", 2, 3),
    ]
    assert len({row.condition for row in board.rows}) == 1
    for name, form in FORMATS.items():
        if "details" not in form.takes:
            assert "from alice" in render(board, name), name
    assert json.loads(render(board, "json"))["rows"][0]["source"] == "alice"
    frame = load(mine).rows()
    assert frame["source"].fillna("").tolist() == ["alice", "", ""]
    with Store.open(mine, create=False) as store:
        assert "imported    from alice" in record_text(store, board.rows[0].ids[0])


@pytest.mark.parametrize("fields", [{"machine": "another, 2 cores"}, {"threads": 2}, {"vitbench": "0ther"}])
def test_under_other_conditions_they_stand_apart(fields: dict[str, object], tmp_path: Path) -> None:
    other = dict(fields)
    vitbench = other.pop("vitbench", "")
    mine, theirs = made(tmp_path / "mine", "a"), made(tmp_path / "alice", "a", "b", **other)
    if vitbench:
        theirs = _changed(theirs, vitbench=str(vitbench))
    bring(theirs, mine)
    board = load(mine).leaderboard
    assert {row.condition.apart for row in board.rows if row.source} == {"alice"}
    [(own, [row])] = [(each, rows) for each, rows in board.by_condition().items() if not rows[0].source]
    assert (own.apart, row.rank) == ("", 1)
    assert "imported from alice" in render(board, "table")


def _changed(folder: Path, *, vitbench: str) -> Path:
    with Store.open(folder, create=False) as store:
        held = store.contents()

    def other(record: Record) -> Record:
        provenance = msgspec.structs.replace(record.planned.provenance, vitbench=vitbench)
        return msgspec.structs.replace(record, planned=msgspec.structs.replace(record.planned, provenance=provenance))

    fresh = folder.parent / "changed" / folder.name
    with Store.open(fresh, create=True) as store:
        store.add(msgspec.structs.replace(held, records=tuple(map(other, held.records))))
    return fresh


def test_they_are_never_a_result_of_ones_own(tmp_path: Path) -> None:
    mine, theirs = made(tmp_path / "mine", "a"), made(tmp_path / "alice", "a", "b", correct=330)
    before, own = load(mine).leaderboard.rows, load(mine).records
    bring(theirs, mine)
    with Store.open(mine, create=False) as store:
        assert tuple(store.records()) == own
        assert {*store.newest_by_key()} == {record.key for record in own}, "a run would skip what was imported"
        assert len(store.runs()) == 1
        assert all(record.planned.data.cache == "" for record in store.records(imported=True) if record.source)  # type: ignore[union-attr]
    after = [row for row in load(mine).leaderboard.rows if not row.source]
    assert [(row.model, row.metrics["top1"].value) for row in after] == [
        (row.model, row.metrics["top1"].value) for row in before
    ]


def test_the_same_again_changes_nothing_and_several_sources_stand_side_by_side(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", made(tmp_path / "alice", "a")
    assert bring(theirs, mine).records == 1
    content = (mine / "vitbench.sqlite").read_bytes()
    again = bring(theirs, mine)
    assert (again.records, again.known, (mine / "vitbench.sqlite").read_bytes()) == (0, 1, content)
    assert bring(theirs, mine, "bob").records == 1
    _, board = read_results(mine)
    assert [row.source for row in board.rows] == ["alice", "bob"]
    # What was imported is not passed on as one's own.
    with pytest.raises(StoreError, match="no results of its own"):
        bring(mine, tmp_path / "third")


@pytest.mark.parametrize("name", ["a/b", "..", "<b>", "a\x1b[2J", " ", "-x", "a" * 41])
def test_a_source_is_called_by_letters_and_digits(name: str, tmp_path: Path) -> None:
    theirs = made(tmp_path / "alice", "a")
    with pytest.raises(UsageError, match="give --name") as refused:
        bring(theirs, tmp_path / "mine", name)
    assert str(refused.value).isprintable()
    assert not (tmp_path / "mine").exists()


def _statements(folder: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


VIEW = (
    "ALTER TABLE records RENAME TO hidden",
    "CREATE VIEW records AS SELECT * FROM hidden",
)
TRIGGER = ("CREATE TRIGGER harm AFTER INSERT ON runs BEGIN DELETE FROM blobs; END",)


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (VIEW, "holds the table 'hidden'"),
        (TRIGGER, "the trigger 'harm'"),
        (("CREATE TABLE more (x)",), "the table 'more'"),
        (("DROP TABLE plan",), "not all tables"),
        (("DROP TRIGGER records_keep", "UPDATE records SET status = 'failed'"), "not all tables"),
        (("PRAGMA user_version = 99",), "a later version"),
        (("PRAGMA application_id = 1",), "is not a vitbench store"),
        (("UPDATE runs SET version = 'x'",), "is damaged"),
    ],
)
def test_a_store_that_holds_more_or_less_than_a_store_is_refused(
    statements: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    theirs = made(tmp_path / "alice", "a")
    _statements(theirs, *statements)
    with pytest.raises(StoreError, match=words) as refused:
        bring(theirs, tmp_path / "mine")
    assert str(refused.value).isprintable()
    assert "vitbench-import-" not in str(refused.value), "it names a temporary folder"
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("at", [b"format 3", b"records_keep", b"measurements"])
def test_a_store_that_is_corrupt_is_refused(at: bytes, tmp_path: Path) -> None:
    theirs = made(tmp_path / "alice", "a")
    content = bytearray((theirs / FILE_NAME).read_bytes())
    start = content.index(at)
    content[start : start + 100] = bytes([0xA5]) * 100
    (theirs / FILE_NAME).write_bytes(content)
    with pytest.raises(StoreError):
        bring(theirs, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def _rewritten(folder: Path, change: Callable[[Record], Record]) -> None:
    """Put other records in the place of a folder's, with digests that fit: as somebody would who means harm."""
    with Store.open(folder, create=False) as store:
        held = store.contents()
    (folder / FILE_NAME).unlink()
    with Store.open(folder, create=True) as store:
        store.add(msgspec.structs.replace(held, records=tuple(map(change, held.records))))


def test_a_record_that_is_made_up_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    theirs = made(tmp_path / "alice", "a")

    def odd(record: Record) -> Record:
        return msgspec.structs.replace(record, planned=msgspec.structs.replace(record.planned, label="<b>a</b>"))

    _rewritten(theirs, odd)
    with pytest.raises(StoreError, match="with mark-up or a path"):
        bring(theirs, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_machine_that_is_made_up_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "place"
    theirs = made(place / "alice", "a")
    environment = msgspec.json.encode(
        msgspec.structs.replace(factories.environment(), commit="\x1b[2J"), order="deterministic"
    )

    with Store.open(theirs, create=False) as store:
        held = store.contents()
    digest = blob_digest(environment)
    (theirs / FILE_NAME).unlink()
    with Store.open(theirs, create=True) as store:
        runs = tuple(msgspec.structs.replace(run, environment=digest) for run in held.runs)
        records = tuple(msgspec.structs.replace(record, environment=digest) for record in held.records)
        blobs = held.blobs | {digest: environment}
        store.add(msgspec.structs.replace(held, runs=runs, records=records, blobs=blobs))
    with pytest.raises(StoreError, match="control character U\\+001B"):
        bring(theirs, place / "mine")


def test_the_page_escapes_what_may_be_any_text(tmp_path: Path) -> None:
    pytest.importorskip("itables")
    mark = "<img src=x onerror=alert(1)>"
    theirs = made(tmp_path / "alice", "a")

    def odd(record: Record) -> Record:
        planned = record.planned
        planned = msgspec.structs.replace(planned, licence=mark, pretrained_on=mark)
        top1, *others = record.measurements
        top1 = msgspec.structs.replace(top1, verdict=Verdict(level="warn", reasons=(mark,)))
        return msgspec.structs.replace(
            record, planned=planned, facts={mark: mark}, doubts=(mark,), measurements=(top1, *others)
        )

    _rewritten(theirs, odd)
    bring(theirs, tmp_path / "mine")
    page = load(tmp_path / "mine").page()
    assert "from alice" in page
    assert "&lt;img src=x" in page
    assert mark not in page
