"""What an output folder holds: its records, and the leaderboard that they make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from vitbench.leaderboard.image_scores import read_outcomes
from vitbench.leaderboard.leaderboard import Leaderboard, build
from vitbench.leaderboard.selecting import Patterns
from vitbench.records import Record
from vitbench.store import Store

__all__ = ["read_results"]


def read_results(folder: Path, patterns: Patterns | None = None) -> tuple[list[Record], Leaderboard]:
    """Return all attempts of an output folder, the newest last, and its leaderboard, of the rows that fit patterns.

    Raises:
        UsageError: a pattern fits nothing.
        StoreError: it is missing, unreadable or of another version.
    """
    with Store.open(folder, create=False) as store:
        records, rank_by = _relabelled(store.records(), store), store.rank_by()
        board = build(
            records,
            store.pending(),
            rank_by,
            outcomes=lambda record: read_outcomes(store.scores_path(record.key), rank_by),
            patterns=patterns,
        )
    return records, board


def _relabelled(records: Sequence[Record], store: Store) -> list[Record]:
    """Return records under the labels that the newest run gives their models: a label is in no key."""
    runs = store.runs()
    labels = {cell.id: cell.label for cell in store.planned(runs[-1].id)} if runs else {}
    return [
        record
        if labels.get(record.id, record.planned.label) == record.planned.label
        else msgspec.structs.replace(record, planned=msgspec.structs.replace(record.planned, label=labels[record.id]))
        for record in records
    ]
