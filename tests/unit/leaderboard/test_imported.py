"""Imported rows never change what is one's own, and are ranked with it only where everything is equal."""

from __future__ import annotations

from collections.abc import Iterable

import factories
import msgspec
import pytest

from vitbench.leaderboard.leaderboard import Leaderboard, build
from vitbench.records import Record, digest

OWN = [
    *(factories.quality(label, 300 - i, seed=seed) for i, label in enumerate("ab") for seed in (0, 1)),
    *(factories.relative_speed(label, (2.0 + i, 2.1 + i, 2.2 + i)) for i, label in enumerate("ab")),
]


def theirs(records: Iterable[Record], source: str = "alice", **planned: object) -> list[Record]:
    """Return records as `vitbench import` enters them: under other ids and keys."""
    found = []
    for record in records:
        cell = msgspec.structs.replace(
            record.planned, id=digest((source, record.id)), key=digest((source, record.key)), **planned
        )
        found.append(msgspec.structs.replace(record, planned=cell, source=source))
    return found


def own_rows(board: Leaderboard) -> list[object]:
    """Return what is said of one's own rows, but for their ranks."""
    return [
        (row.model, row.condition, row.seeds, row.seeds_missing, row.ids, row.metrics)
        for row in board.rows
        if not row.source
    ]


def test_ones_own_rows_are_as_without_them() -> None:
    before = build(OWN, [], "top1")
    faster = [
        factories.relative_speed("a", (200.0, 210.0, 220.0), references=(5.0,)),
        factories.quality("a", 10, seed=0),
        factories.quality("a", 10, seed=7),
    ]
    after = build([*OWN, *theirs(faster)], [], "top1")
    assert own_rows(after) == own_rows(before)
    assert all(after.references[condition] == before.references[condition] for condition in before.references)
    [imported] = [row for row in after.rows if row.source]
    assert (imported.model, imported.seeds) == ("a (from alice)", (0, 7))


def test_they_share_a_condition_where_all_is_equal() -> None:
    board = build([*OWN, *theirs(OWN), *theirs(OWN, "bob")], [], "top1")
    assert len(board.by_condition()) == 1
    assert all(row.rank is not None for row in board.rows)


@pytest.mark.parametrize("part", ["vitbench", "software", "data_fingerprint", "unit", "better"])
def test_they_stand_apart_where_anything_differs(part: str) -> None:
    records = [factories.quality("a", 300)]
    made_of = records[0].planned.provenance
    changed: dict[str, object] = {}
    if part in ("unit", "better"):
        top1 = msgspec.structs.replace(
            records[0].measurements[0], **{"unit": "B"} if part == "unit" else {"better": "lower"}
        )
        records = [msgspec.structs.replace(records[0], measurements=(top1,))]
    else:
        other = {"pillow": "1"} if part == "software" else "other"
        changed = {"provenance": msgspec.structs.replace(made_of, **{part: other})}
    board = build([*OWN, *theirs(records, **changed), *theirs(records, "bob", **changed)], [], "top1")
    assert {row.source: row.condition.apart for row in board.rows} == {"": "", "alice": "alice", "bob": "bob"}
    assert len(board.by_condition()) == 3
