"""What of a plan is left to run, and that nothing is left out silently."""

from __future__ import annotations

import time
from pathlib import Path

import factories
import msgspec
import pytest

from vitbench.planning.messages import Prepared
from vitbench.planning.remembered import remember
from vitbench.records import Status
from vitbench.running.session import (
    Rerun,
    _announce,
    _of_shard,
    _tidy,
    done_before,
    in_order,
    in_shard,
    is_wanted,
    known_seconds,
)
from vitbench.sharding import Shard
from vitbench.store import Run, Store


@pytest.mark.parametrize(
    ("status", "missing", "failed"),
    [
        (None, True, True),
        ("pending", True, True),
        ("interrupted", True, True),
        ("ok", False, False),
        ("skipped", False, False),
        *((status, False, True) for status in ("failed", "oom")),
    ],
)
def test_what_runs_again(status: Status | None, missing: bool, failed: bool) -> None:
    record = factories.record(factories.quality_cell(), status=status) if status else None
    assert (is_wanted(record, None), is_wanted(record, "failed"), is_wanted(record, "all")) == (missing, failed, True)


def test_speeds_run_first_and_each_kind_keeps_its_order() -> None:
    trained, timed = ([make(label) for label in "ab"] for make in (factories.quality_cell, factories.speed_cell))
    assert in_order([*trained, *timed]) == [*timed, *trained]


def test_how_long_a_cell_took_is_what_its_newest_good_attempt_says() -> None:
    old = factories.quality("a")
    new = msgspec.structs.replace(old, seconds=old.seconds + 1)
    failed = msgspec.structs.replace(old, seconds=0.1, status="failed")
    other = factories.record(factories.quality_cell("b"), status="oom")
    assert known_seconds([old, new, failed, other]) == {old.id: new.seconds}


@pytest.mark.parametrize(
    ("rerun", "sentences"),
    [
        (
            None,
            [
                "2 of 3 cells have results from an earlier run; 1 are left to run.",
                "1 of those ended without a result; --rerun failed runs them again.",
            ],
        ),
        ("failed", ["1 of 3 cells have results from an earlier run; 2 are left to run."]),
        ("all", []),
    ],
)
def test_what_is_kept_is_said_and_how_to_run_it_again(rerun: Rerun | None, sentences: list[str]) -> None:
    failed = factories.record(factories.quality_cell("b"), status="failed")
    newest = {record.key: record for record in (factories.quality("a"), failed)}
    cells = [factories.quality_cell(label) for label in "abc"]
    todo = [cell for cell in cells if is_wanted(newest.get(cell.key), rerun)]
    kept = [newest[cell.key] for cell in cells if cell not in todo]
    said: list[str] = []
    _announce(len(cells), len(todo), kept, rerun, said.append)
    assert said == sentences


def test_checkpoints_that_nothing_resumes_go_and_others_are_told_of(tmp_path: Path) -> None:
    statuses: dict[str, Status | None] = {"done": "ok", "killed": "interrupted", "crashed": "crashed", "new": None}
    cells = {label: factories.quality_cell(label) for label in (*statuses, "changed")}
    newest = {
        cells[label].key: factories.record(cells[label], status=status) for label, status in statuses.items() if status
    }
    said: list[str] = []
    with Store.open(tmp_path, create=True) as store:
        for cell in cells.values():
            store.checkpoint_path(cell.key).write_bytes(b"state")
        asked = {cells[label].key for label in statuses}

        def tidy(anew: set[str]) -> set[str]:
            _tidy(store, asked, newest, anew=anew, note=said.append)
            return {label for label, cell in cells.items() if cell.key in store.checkpoints()}

        assert tidy(set()) == {"killed", "crashed", "new", "changed"}
        assert said == [
            "1 training of other runs, or of code that changed since, left a checkpoint in "
            f"{tmp_path / 'checkpoints'}: delete what you do not want to resume."
        ]
        assert tidy(asked) == {"changed"}


def test_what_was_prepared_before_will_do_where_nothing_of_it_is_left_to_run(tmp_path: Path) -> None:
    done, failed = factories.quality("a"), factories.record(factories.quality_cell("b"), status="failed")
    cells = (done.planned, failed.planned)
    plan = Prepared(cells=cells, environment=factories.environment(), roots=())
    assert done_before(tmp_path, None, "grounds") is None
    remember(tmp_path, plan, grounds="grounds", asked=time.time())
    assert done_before(tmp_path, None, "grounds") is None, "there is no store"
    with Store.open(tmp_path, create=True) as store:
        run = store.begin_run(command="", version="0", suite="", environment=factories.environment(), rank_by="top1")
        store.append(msgspec.structs.replace(done, run=run))
        assert done_before(tmp_path, None, "grounds") is None, "a cell has not run yet"
        store.append(msgspec.structs.replace(failed, run=run))
    assert done_before(tmp_path, None, "grounds") == plan
    assert done_before(tmp_path, None, "others") is None
    assert done_before(tmp_path, "failed", "grounds") is None


def _run(shard: str) -> Run:
    fields = dict.fromkeys(("id", "command", "version", "suite", "environment", "rank_by"), "")
    return Run(**fields, started=0.0, selection=f'{{"shard": "{shard}"}}')


@pytest.mark.parametrize(
    ("shard", "earlier", "own", "said"),
    [
        (None, [""], 9, []),
        (None, ["1/3"], 9, ["This folder held shard 1/3 so far; without --shard, all cells now go into it."]),
        ("2/3", ["2/3"], 3, ["Shard 2/3: 3 of the plan's 9 cells; `vitbench merge` joins the folders of all shards."]),
        (
            "2/3",
            ["1/3"],
            3,
            [
                "This folder held shard 1/3 so far; shard 2/3 now goes into it as well.",
                "Shard 2/3: 3 of the plan's 9 cells; `vitbench merge` joins the folders of all shards.",
            ],
        ),
        ("20/30", [], 0, ["Shard 20/30 is empty: the plan's 9 cells fill fewer shards. Nothing is run here."]),
    ],
)
def test_a_shard_says_how_much_it_is_and_a_folder_which_it_was(
    shard: str | None, earlier: list[str], own: int, said: list[str]
) -> None:
    given = Shard.read(shard) if shard else None
    assert [*_of_shard(given, [_run(each) for each in earlier], own, 9)] == said


def test_a_shard_has_its_cells_in_the_order_of_the_plan() -> None:
    cells = [factories.quality_cell(label) for label in "abcde"]
    assert in_shard(cells, None) == cells
    assert [cell.label for cell in in_shard(cells, Shard.read("2/2"))] == ["b", "d"]
