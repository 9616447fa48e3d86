"""Rows of results that were imported: marked as someone else's, and next to this folder's own only where all is equal.

What you measured yourself never depends on them: neither means over seeds, nor scales, nor spreads.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from vitbench.leaderboard.rows import Row, unranked
from vitbench.leaderboard.versions import of_one_code
from vitbench.records import Record

__all__ = ["imported_rows"]


def imported_rows(records: Sequence[Record], own: Sequence[Row]) -> list[Row]:
    """Return the rows of imported records, each source by itself.

    A row keeps its condition where one of this folder's own rows has an equal one, was made with the same code of
    vitbench, of the data and of libraries, and gives its metrics in the same units. Else its condition is its source's
    (`Condition.apart`), so that it is never ranked with others.

    Args:
        records: of each cell the newest attempt, this folder's own too.
        own: the rows of these.
    """
    newest = {record.id: record for record in records}
    here = {(row.condition, _made_with(row, newest)): row for row in own}
    found = []
    for source in dict.fromkeys(record.source for record in records if record.source):
        kept, _ = of_one_code([record for record in records if record.source == source])
        for row in unranked(kept):
            equal = here.get((row.condition, _made_with(row, newest)))
            apart = "" if equal is not None and _in_same_units(row, equal) else source
            condition = replace(row.condition, apart=apart)
            found.append(replace(row, model=f"{row.model} (from {source})", source=source, condition=condition))
    return found


def _made_with(row: Row, newest: Mapping[str, Record]) -> Hashable:
    """Return what must be equal beside the condition: vitbench's code, the data's code and what decodes them."""
    found = set()
    for record in (newest[each] for each in row.ids):
        made_of = record.planned.provenance
        dataset = made_of.dataset.code_hash if made_of.dataset else ""
        found.add((made_of.vitbench, dataset, made_of.data_fingerprint, tuple(sorted(made_of.software.items()))))
    return frozenset(found)


def _in_same_units(row: Row, own: Row) -> bool:
    shared = row.metrics.keys() & own.metrics.keys()
    return all(
        (row.metrics[name].unit, row.metrics[name].better) == (own.metrics[name].unit, own.metrics[name].better)
        for name in shared
    )
