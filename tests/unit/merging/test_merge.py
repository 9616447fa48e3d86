"""Folders of shards become that of the whole run; what does not belong together is refused, and nothing is half."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import factories
import msgspec
import pytest
from comparisons import right, write

from vitbench import load
from vitbench.errors import StoreError, UsageError
from vitbench.files import lock
from vitbench.leaderboard.results import read_results
from vitbench.merging.merge import merge
from vitbench.records import KeyedCell, Record
from vitbench.report import render
from vitbench.sharding import split_cells
from vitbench.store import FILE_NAME, Store

SUITE = 'name = "mine"\nsummary = "s"\n'
_RECORDS = [
    *(factories.quality(label, 200 + 10 * seed, seed=seed) for label in ("a", "b", "c") for seed in (0, 1)),
    *(record for label in ("a", "b", "c") for record in factories.speed(label)),
]
WHOLE = [msgspec.structs.replace(record, started=1.7e9 + i) for i, record in enumerate(_RECORDS)]


def folder(
    place: Path, records: Sequence[Record], *, shard: str = "", suite: str = SUITE, rank_by: str = "top1"
) -> Path:
    """Write a results folder of some records of the plan `WHOLE`, with a file beside each."""
    with Store.open(place, create=True) as store:
        run = store.begin_run(
            command="x",
            version="1",
            suite=suite,
            environment=factories.environment(),
            rank_by=rank_by,
            selection=json.dumps({"shard": shard}) if shard else "",
        )
        store.plan(run, [record.planned for record in WHOLE])
        for record in records:
            store.weights_path(record.key).write_text(f"weights of {place.name}")
            store.append(msgspec.structs.replace(record, run=run))
    return place


def in_shard(number: int, count: int) -> list[Record]:
    shards = split_cells([record.planned for record in WHOLE], count)
    return [record for record in WHOLE if shards[record.key] == number]


def shard_folders(place: Path, count: int = 3) -> list[Path]:
    numbers = range(1, count + 1)
    return [folder(place / f"s{k}", in_shard(k, count), shard=f"{k}/{count}") for k in numbers]


def test_merged_shards_are_the_whole_run(tmp_path: Path) -> None:
    shards, whole = shard_folders(tmp_path), folder(tmp_path / "whole", WHOLE)
    merged = merge(shards, tmp_path / "out" / "merged")
    assert (merged.records, merged.notes, merged.already) == (len(WHOLE), (), False)
    assert render(load(merged.folder).leaderboard, "json") == render(load(whole).leaderboard, "json")
    with Store.open(merged.folder, create=False) as store:
        assert len(store.runs()) == 3
        assert not store.pending()
        assert all(store.weights_path(record.key).exists() for record in WHOLE)
    again = merge([*reversed(shards)], merged.folder)
    assert again.already
    assert not [*merged.folder.parent.glob(".*")]


def test_what_is_elsewhere_is_not_missing(tmp_path: Path) -> None:
    first, second, _ = shard_folders(tmp_path)
    board = load(first).leaderboard
    assert not board.failed
    assert len(board.elsewhere) == len(WHOLE) - len(in_shard(1, 3))
    content = json.loads(render(board, "json"))
    assert {cell["reason"] for cell in content["elsewhere"]} == {"in shard 2/3", "in shard 3/3"}
    assert "elsewhere, in shards" in content["sentences"][-1]
    board = load(merge([first, second], tmp_path / "m").folder).leaderboard
    assert {cell.reason for cell in board.elsewhere} == {"in shard 3/3"}


def test_a_cell_that_ran_in_two_folders_keeps_both_attempts_and_the_newest_counts(tmp_path: Path) -> None:
    old, new = (
        msgspec.structs.replace(factories.quality("a", right), started=started)
        for right, started in ((100, 1e9), (300, 2e9))
    )
    folders = [folder(tmp_path / "new", [new]), folder(tmp_path / "old", [old])]
    merged = merge(folders, tmp_path / "m")
    assert merged.notes == (
        f"1 cell has attempts in several folders; all are kept, and the newest counts: {new.planned.in_words}.",
    )
    records, board = read_results(merged.folder)
    assert [record.started for record in records] == [1e9, 2e9]
    assert board.rows[0].metrics["top1"].value == pytest.approx(300 / 360)
    with Store.open(merged.folder, create=False) as store:
        assert store.weights_path(new.key).read_text() == "weights of new"


def test_a_copy_that_went_on_is_no_conflict(tmp_path: Path) -> None:
    place = tmp_path / "place"
    first = folder(place / "a", WHOLE[:2])
    shutil.copytree(first, place / "b")
    with Store.open(place / "b", create=True) as store:
        store.append(msgspec.structs.replace(WHOLE[0], run=store.runs()[0].id, status="withdrawn", reason="wrong"))
    merged = merge([first, place / "b"], place / "m")
    assert (merged.records, merged.notes) == (3, ())
    assert [each.status for each in load(merged.folder).leaderboard.failed if each.status != "pending"] == ["withdrawn"]


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    first = folder(tmp_path / "a", WHOLE[:1])
    old = tmp_path / "old"
    shutil.copytree(Path(__file__).parents[2] / "fixtures" / "stores" / "v6", old)
    others = {
        "the suite mine ranked by top1, .* of the suite other": folder(tmp_path / "b", [], suite='name = "other"'),
        "ranked by top5": folder(tmp_path / "c", [], rank_by="top5"),
        "of another text of the suite mine": folder(tmp_path / "d", [], suite=f"{SUITE}\n"),
        "contains no results": tmp_path / "none",
        "store version 6": old,
    }
    for words, other in others.items():
        with pytest.raises(StoreError, match=words):
            merge([first, other], tmp_path / "m")
    with pytest.raises(UsageError, match="same folder"):
        merge([first, first / "."], tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_an_output_with_other_content_stays_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "place"
    first, second, third = shard_folders(place)
    before = (second / FILE_NAME).read_bytes()
    with pytest.raises(StoreError, match="contains results other than"):
        merge([first, third], second)
    assert (second / FILE_NAME).read_bytes() == before
    (place / "mine").mkdir()
    (place / "mine" / "thesis.tex").touch()
    with pytest.raises(StoreError, match="contains no results"):
        merge([first], place / "mine")


def test_what_is_cut_short_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = shard_folders(tmp_path)
    copied, copy = [], shutil.copyfile

    def fails_late(source: Path, target: Path) -> None:
        copied.append(target)
        if len(copied) == 5:
            raise OSError(28, "No space left on device")
        copy(source, target)

    monkeypatch.setattr("shutil.copyfile", fails_late)
    with pytest.raises(StoreError, match="No space left on device"):
        merge(shards, tmp_path / "m")
    monkeypatch.undo()
    assert {each.name for each in tmp_path.iterdir()} == {"s1", "s2", "s3"}
    left = tmp_path / ".m.merging" / "weights"  # by a merge that was killed
    left.mkdir(parents=True)
    (left / "half.safetensors").touch()
    assert not [*merge(shards, tmp_path / "m").folder.glob("weights/half*")]


def test_a_second_merge_into_the_same_place_leaves_the_first_alone(tmp_path: Path) -> None:
    shards, beside = shard_folders(tmp_path), tmp_path / ".m.merging"
    with lock(beside, command="vitbench merge"):
        (beside / "of the first").touch()
        with pytest.raises(StoreError, match="is using"):
            merge(shards, tmp_path / "m")
        assert (beside / "of the first").exists()


def test_shards_of_other_code_are_named(tmp_path: Path) -> None:
    def changed(planned: KeyedCell) -> KeyedCell:
        return msgspec.structs.replace(planned, key=f"{planned.key[:-1]}x")

    first, second = shard_folders(tmp_path, 2)
    with Store.open(second, create=True) as store:
        run = store.begin_run(
            command="x",
            version="1",
            suite=SUITE,
            environment=factories.environment(),
            rank_by="top1",
            selection='{"shard": "2/2"}',
        )
        store.plan(run, [changed(record.planned) for record in WHOLE])
    [note] = merge([first, second], tmp_path / "m").notes
    assert "was planned differently" in note
    assert f"{len(WHOLE)} of its {len(WHOLE)} cells" in note


def test_scores_of_images_come_along(tmp_path: Path) -> None:
    parts = [factories.quality("a", 300), factories.quality("b", 200)]
    folders = [
        write(tmp_path / record.planned.label, (record, right(count, images=360)), suite=SUITE)
        for record, count in zip(parts, (300, 200), strict=True)
    ]
    assert load(merge(folders, tmp_path / "m").folder).leaderboard.resolutions
