"""What an output folder holds: its records, and the leaderboard that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote

import msgspec

from vitbench.errors import UsageError
from vitbench.leaderboard.image_scores import read_outcomes
from vitbench.leaderboard.leaderboard import Leaderboard, build
from vitbench.leaderboard.selecting import Patterns
from vitbench.records import Record, newest_by_id
from vitbench.store import Store

__all__ = ["newest_record", "read_results", "relabelled"]

_MOST_IDS = 5
"""That an error lists."""


def read_results(folder: Path, patterns: Patterns | None = None) -> tuple[list[Record], Leaderboard]:
    """Return all attempts of an output folder, the newest last, and its leaderboard, of the rows that fit patterns.

    Raises:
        UsageError: a pattern fits nothing.
        StoreError: it is missing, unreadable or from another version.
    """
    with Store.open(folder, create=False) as store:
        rank_by, runs = store.rank_by(), store.runs()
        records = relabelled(store.records(imported=True), store, runs[-1].id if runs else "")
        board = build(
            records,
            store.pending(),
            rank_by,
            elsewhere=store.elsewhere(),
            outcomes=lambda record: read_outcomes(store.scores_path(record.key), rank_by),
            patterns=patterns,
        )
        return records, replace(board, damaged=store.damage)


def newest_record(store: Store, asked: str) -> Record:
    """Return the newest record of one cell, found by the beginning of its id or key.

    Raises:
        UsageError: no record begins so, or several do.
    """
    newest = newest_by_id(store.records(imported=True)).values()
    found = [record for record in newest if asked and (record.id.startswith(asked) or record.key.startswith(asked))]
    if len(found) == 1:
        return found[0]
    see = f"see `vitbench show {quote(str(store.folder))}`"
    for planned in store.pending():
        if asked and not found and (planned.id.startswith(asked) or planned.key.startswith(asked)):
            now = "is running, and " if planned.key in store.running() else ""
            raise UsageError(f"{planned.in_words} ({planned.id}) {now}has no record yet; {see}.")
    words = f"{len(found)} records have" if found else "no record has"
    ids = ", ".join(record.id for record in found[:_MOST_IDS])
    more = f" and {len(found) - _MOST_IDS} more" if len(found) > _MOST_IDS else ""
    raise UsageError(f'{store.folder}: {words} an id that begins with "{asked}"{": " * bool(ids)}{ids}{more}; {see}.')


def relabelled(records: Sequence[Record], store: Store, run: str) -> list[Record]:
    """Return records with what a run says of their models and what is in no key: their labels and licences."""
    said = {cell.id: {"label": cell.label, "licence": cell.licence} for cell in store.planned(run)}
    return [
        record
        if said.get(record.id, own := {"label": record.planned.label, "licence": record.planned.licence}) == own
        else msgspec.structs.replace(record, planned=msgspec.structs.replace(record.planned, **said[record.id]))
        for record in records
    ]
