"""How a leaderboard is looked at: which of its ranked rows, in which order, in which columns.

A condition hides rows *after* they were ranked. A choice by what was measured favours lucky figures, so that tests
among the chosen rows alone would find too much; those among all rows hold for any of them. Nothing is ranked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from vitbench.errors import UsageError, did_you_mean
from vitbench.leaderboard.leaderboard import Leaderboard, Row, in_order
from vitbench.leaderboard.where import Where, parse_where, unmeasured
from vitbench.printable import short_size
from vitbench.settings import SPEEDS

__all__ = ["FACTS", "Fact", "View", "figures", "units", "viewed"]

_MOST_NAMES = 8
"""That an error or a sentence lists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """What is known of a row beside its figures, and can have a column."""

    title: str
    text: Callable[[Row], str]
    """For readers; empty where it is not known."""
    number: Callable[[Row], float | None] | None = None
    """To sort by; None: its text."""
    long: bool = False
    """Whether its text is too long for a column that nobody asked for."""

    def order(self, row: Row) -> float | str | None:
        """Return what a row is sorted by; None where it is not known."""
        return self.number(row) if self.number else self.text(row) or None


FACTS: Mapping[str, Fact] = {
    "image_size": Fact(
        title="input", text=lambda row: f"{short_size(row.image_size)}", number=lambda row: float(row.image_size[0])
    ),
    "pretrained_on": Fact(title="pretrained on", text=lambda row: row.pretrained_on),
    "licence": Fact(title="licence", text=lambda row: row.licence),
    "normalisation": Fact(title="normalisation", text=lambda row: row.normalisation, long=True),
    "lineage": Fact(title="lineage", text=lambda row: row.condition.lineage),
    "recipe": Fact(title="recipe", text=lambda row: row.recipe.partition("/")[2] or row.recipe),
    "passes": Fact(
        title="passes",
        text=lambda row: "" if row.passes is None else f"{row.passes:.4g}",
        number=lambda row: row.passes,
    ),
}
"""By name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What was asked for; nothing of it: all, as it stands."""

    where: str = ""
    """A condition, see `vitbench.leaderboard.where`."""
    sort: str = ""
    """A metric or a fact, the best or the first of it first; with ``-`` before it the other way round."""
    columns: tuple[str, ...] = ()
    """Metrics and facts. ``rank`` and ``model`` stand first in any case."""


def viewed(board: Leaderboard, view: View) -> Leaderboard:
    """Return a leaderboard as it is looked at.

    Raises:
        UsageError: a text is not a condition, a name is neither that of a metric nor of a fact, or no row meets the
            condition; the nearest are named.
    """
    columns = tuple(dict.fromkeys(_known(board, name) for name in view.columns if name not in ("rank", "model")))
    if view.columns and not columns:
        raise UsageError("rank and model are always shown; name a metric or another column.")
    board = replace(board, columns=columns)
    if view.where:
        board = _filtered(board, parse_where(view.where, units(board.rows)))
    return replace(board, rows=tuple(_sorted(board, view.sort))) if view.sort else board


def units(rows: Iterable[Row]) -> dict[str, str]:
    """Return the base unit of each metric that some row has."""
    return {name: metric.unit for row in rows for name, metric in row.metrics.items()}


def figures(row: Row) -> dict[str, float | None]:
    """Return a row's figures as a condition takes them, in base units; None for an invalid one."""
    return {name: None if each.verdict == "invalid" else each.value for name, each in row.metrics.items()}


def _filtered(board: Leaderboard, where: Where) -> Leaderboard:
    holds = [where.holds(figures(row)) for row in board.rows]
    kept = [row for row, held in zip(board.rows, holds, strict=True) if held]
    lacking = [row for row, held in zip(board.rows, holds, strict=True) if held is None]
    why = [words for metric in where.metrics if (words := _lack(lacking, where, metric))]
    if not kept:
        several = len({row.condition.dataset for row in board.rows}) > 1
        near = where.nearest({row.label + f" on {row.condition.dataset}" * several: figures(row) for row in board.rows})
        reasons = [f"the nearest: {near}"] * bool(near) + why
        raise UsageError(f"no row meets {where}{'; ' * bool(reasons)}{'; '.join(reasons)}.")
    words = f"Shown: {'; '.join([f'{len(kept)} of {len(board.rows)} rows, where {where}', *why])}."
    words += f" Ranks and their tests are among all {len(board.rows)}."
    return replace(
        board,
        rows=tuple(kept),
        unseen=tuple(row for row, held in zip(board.rows, holds, strict=True) if not held),
        where=str(where),
        hidden=f"{board.hidden} {words}".strip(),
    )


def _lack(rows: Sequence[Row], where: Where, metric: str) -> str:
    """Return in words how many rows of which nothing is known for lack of a metric lack it, and why."""
    without = [row for row in rows if metric in where.lacking(figures(row))]
    invalid = sum(metric in row.metrics and row.metrics[metric].value is not None for row in without)
    missing = len(without) - invalid
    parts = [f"{missing} row{'s have' if missing > 1 else ' has'} no {metric}"] if missing else []
    parts += [f"{invalid} row{'s have' if invalid > 1 else ' has'} an invalid {metric}"] if invalid else []
    return " and ".join(parts)


def _sorted(board: Leaderboard, asked: str) -> list[Row]:
    name = _known(board, asked.removeprefix("-"))
    fact = FACTS.get(name)
    better = next((row.metrics[name].better for row in board.rows if name in row.metrics), "higher")
    downwards = (fact is None and better != "lower") != asked.startswith("-")
    groups = replace(board, rows=tuple(in_order(board.rows, board.rank_by))).by_condition()
    found = []
    for rows in groups.values():
        orders = [(row, fact.order(row) if fact else figures(row).get(name)) for row in rows]
        known = [(row, order) for row, order in orders if order is not None]
        known.sort(key=lambda pair: pair[1], reverse=downwards)
        found += [row for row, _ in known] + [row for row, order in orders if order is None]
    return found


def _known(board: Leaderboard, asked: str) -> str:
    """Return the name of a metric or a fact, as it is spelt.

    Raises:
        UsageError: there is none of this name.
    """
    names = [*units(board.rows), *FACTS]
    alike = [name for name in names if name.lower() == asked.replace("-", "_").lower()]
    if asked in names or alike:
        return asked if asked in names else alike[0]
    if (speed := asked.replace("-", "_").lower()) in SPEEDS:
        raise UsageError(unmeasured(speed, names))
    unlisted = len(names) - len(FACTS) - _MOST_NAMES
    listed = ", ".join([*FACTS, *names[:_MOST_NAMES]]) + (f" and {unlisted} more" if unlisted > 0 else "")
    raise UsageError(f'no column "{asked}".{did_you_mean(asked, names) or f" There are: {listed}."}')
