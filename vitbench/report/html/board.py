"""Boards on the page: a heat map of models by datasets, what it says in words, and a critical-difference diagram."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.boards.board import Board, BoardRow, BoardValue
from vitbench.report.board_sections import board_notes, board_sections, rank_text
from vitbench.report.html.critical_difference import Diagram, diagram_of
from vitbench.report.metric_styles import MetricStyle
from vitbench.report.terminal_text import EN_DASH, MARKS

__all__ = ["BoardView", "HeatCell", "HeatRow", "board_views", "heat", "readable"]

_PALE, _DEEP = (243, 247, 252), (8, 69, 148)
"""Of the worst and the best value of a column: one hue from pale to deep is told apart without seeing colours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatCell:
    """A value on one dataset."""

    text: str
    title: str
    """All that is known of it, for a pointer: interval, seeds, or why it is missing."""
    colour: str
    """Its background, ``#rrggbb``; empty where it is missing."""
    dark: bool
    """Whether white text reads better on it than black."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatRow:
    """One model."""

    rank: str
    name: str
    baseline: bool
    facts: tuple[str, ...]
    """Score, its interval, the scores of groups, mean rank: as the columns of the text formats."""
    cells: tuple[HeatCell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardView:
    """A board as the page shows it."""

    title: str
    conditions: str
    facts: tuple[tuple[str, str], ...]
    """Title and unit of the columns that stand before the datasets."""
    groups: tuple[tuple[str, int], ...]
    """Names of the groups and how many datasets each has; empty where the suite has none."""
    datasets: tuple[tuple[str, str], ...]
    """Name and full title of each dataset, with its lineage."""
    rows: tuple[HeatRow, ...]
    notes: tuple[str, ...]
    """What the board says in sentences, and the lineages of its datasets."""
    metric: str
    unit: str
    diagram: Diagram | None
    no_diagram: str
    """Why there is no diagram; empty where there is one."""


def board_views(boards: Sequence[Board]) -> list[BoardView]:
    """Return how the page shows some boards."""
    return [_view(board, boards) for board in boards]


def _view(board: Board, boards: Sequence[Board]) -> BoardView:
    style = MetricStyle.of(board.metric, board.style)
    table, *by_values = board_sections([board])
    columns = list(zip(*(column.cells for column in table.columns), strict=True)) or [()] * len(board.rows)
    by_dataset = [_heat_column(board, place, style) for place in range(len(board.datasets))]
    rows = [
        HeatRow(
            rank=rank_text(row, EN_DASH),
            name=row.label,
            baseline=row.baseline,
            facts=facts,
            cells=tuple(column[place] for column in by_dataset),
        )
        for place, (row, facts) in enumerate(zip(board.rows, columns, strict=True))
    ]
    groups = [(name, len(list(each))) for name, each in itertools.groupby(board.datasets, key=lambda one: one.group)]
    diagram, reason = _diagram(board)
    return BoardView(
        title=table.title,
        conditions=table.conditions,
        facts=tuple((column.title, column.unit) for column in table.columns),
        groups=tuple(groups) if board.groups else (),
        datasets=tuple((one.name, ", ".join(filter(None, (one.title, one.lineage)))) for one in board.datasets),
        rows=tuple(rows),
        notes=(*board_notes(board), *(note for section in by_values for note in section.notes)),
        metric=board.metric,
        unit=style.unit,
        diagram=diagram,
        no_diagram=reason,
    )


def _heat_column(board: Board, place: int, style: MetricStyle) -> list[HeatCell]:
    values = [row.values[place] for row in board.rows]
    known = [one.value for one in values if one is not None]
    least, most = (min(known), max(known)) if known else (0.0, 0.0)
    name = board.datasets[place].name

    def cell(row: BoardRow, one: BoardValue | None) -> HeatCell:
        if one is None:
            reason = next((each.reason for each in row.missing if each.dataset == name), "no value")
            return HeatCell(text=EN_DASH, title=f"missing: {reason}", colour="", dark=False)
        share = (one.value - least) / (most - least) if most > least else 0.5
        rgb = heat(share if board.better == "higher" else 1 - share)
        return HeatCell(
            text=MARKS[one.verdict] + style.number(one.value),
            title=_told(one, style),
            colour=f"#{bytes(rgb).hex()}",
            dark=readable(rgb) == (255, 255, 255),
        )

    return [cell(row, one) for row, one in zip(board.rows, values, strict=True)]


def _told(one: BoardValue, style: MetricStyle) -> str:
    ends = (
        f", 95 % interval {style.number(one.low)} to {style.number(one.high)}"
        if one.low is not None and one.high is not None
        else ""
    )
    seeds = f"{len(one.seeds)} seed{'s' if len(one.seeds) != 1 else ''}"
    return "; ".join([f"{style.number(one.value)} {style.unit}".rstrip() + f"{ends}, {seeds}", *one.reasons])


def heat(share: float) -> tuple[int, int, int]:
    """Return the colour, as red, green and blue of 255, of a value between the worst, 0, and the best, 1."""
    red, green, blue = (round(pale + share * (deep - pale)) for pale, deep in zip(_PALE, _DEEP, strict=True))
    return red, green, blue


def readable(background: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return black or white, whichever has the higher contrast (WCAG 2.2, 1.4.3)."""
    return (255, 255, 255) if _luminance(background) < 0.179 else (0, 0, 0)


def _luminance(colour: tuple[int, int, int]) -> float:
    parts = [part / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _diagram(board: Board) -> tuple[Diagram | None, str]:
    over = board.over_datasets
    ranked = [(row.label, row.mean_rank) for row in board.rows if row.mean_rank is not None]
    if over is None or over.rows < 3:
        return None, "A critical-difference diagram needs three models with a score."
    if over.critical_difference >= over.rows - 1:
        return None, (
            f"A critical-difference diagram would show nothing: of {over.rows} models on {over.datasets} datasets, "
            f"mean ranks must be more than {over.critical_difference:.2f} apart to differ significantly; none can be."
        )
    return diagram_of(ranked, over.critical_difference), ""
