"""A board over several datasets in words and rounded numbers: what all text formats share, before their mark-up.

The scores are one table; values by dataset follow in tables of few columns, since a board may have 19 datasets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vitbench.boards.board import Board, BoardDataset, BoardRow, BoardValue, OverDatasets
from vitbench.report.metric_styles import MetricStyle, gap_in_words, p_value
from vitbench.report.naming import conditions_in_words, titles
from vitbench.report.tables import Column, Section
from vitbench.report.terminal_text import MARKS, few
from vitbench.statistics import Estimate

__all__ = ["board_notes", "board_sections", "board_title", "rank_text"]

_MOST_DATASETS = 7
"""Columns of a table of values."""
_MOST_NAMED = 6
_LEVEL = 0.05


def board_sections(boards: Sequence[Board], *, dash: str = "-") -> list[Section]:
    """Return each board's table of scores, and after it those of its values by dataset.

    Args:
        boards: in the order of the leaderboard's conditions.
        dash: what stands in a range of ranks.
    """
    return [section for board in boards for section in (_scores(board, boards, dash), *_values(board, dash))]


def board_title(board: Board) -> str:
    """Return what stands above a board: its suite, how many datasets, and what is unusual of its condition."""
    among = f"{board.suite}: {len(board.datasets)} datasets" if board.suite else f"{len(board.datasets)} datasets"
    unusual = titles([board.condition])[board.condition].removeprefix("speed alone")
    return f"Board over {among}{unusual}"


def rank_text(row: BoardRow, dash: str = "-") -> str:
    """Return the ranks that a row may have; empty where it has none."""
    if row.rank is None:
        return ""
    return f"{row.rank}" if row.rank_last in (None, row.rank) else f"{row.rank}{dash}{row.rank_last}"


def _style(board: Board) -> MetricStyle:
    return MetricStyle.of(board.metric, board.style)


def _decimals(estimates: Sequence[Estimate | None], style: MetricStyle) -> int:
    """Return two where some interval is narrow enough for a second decimal of a percentage to mean something."""
    ends = [(one.low, one.high) for one in estimates if one is not None]
    halves = [style.scale * (high - low) / 2 for low, high in ends if low is not None and high is not None]
    return 2 if halves and max(halves) < 1 else 1


def _labels(board: Board) -> tuple[str, ...]:
    return tuple(row.label + (" (baseline)" if row.baseline else "") for row in board.rows)


def _scores(board: Board, boards: Sequence[Board], dash: str) -> Section:
    style = _style(board)
    decimals = _decimals([row.score for row in board.rows], style)

    def column(title: str, estimates: Sequence[Estimate | None], unit: str = style.unit) -> Column:
        cells = tuple("missing" if one is None else style.number(one.value, decimals) for one in estimates)
        return Column(metric=title, title=title, unit=unit, cells=cells)

    scores = [row.score for row in board.rows]
    columns = [column("score", scores)]
    if any(one is not None and one.low is not None for one in scores):
        columns.append(
            Column(
                metric="score",
                title="95 %",
                unit="interval",
                cells=tuple(_interval(one, lambda value: style.number(value, decimals)) for one in scores),
            )
        )
    groups = zip(board.groups, zip(*(row.group_scores for row in board.rows), strict=True), strict=True)
    columns += [column(name, found) for name, found in groups]
    ranks = tuple("" if row.mean_rank is None else f"{row.mean_rank:.2f}" for row in board.rows)
    columns.append(Column(metric="mean rank", title="mean", unit="rank", cells=ranks))
    return Section(
        title=board_title(board),
        conditions=conditions_in_words(board.condition, [each.condition for each in boards]),
        ranks=tuple(rank_text(row, dash) for row in board.rows),
        labels=_labels(board),
        columns=tuple(columns),
        notes=tuple(board_notes(board)),
    )


def _interval(estimate: Estimate | None, text: Callable[[float], str]) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"[{text(estimate.low)}, {text(estimate.high)}]"


def _values(board: Board, dash: str) -> list[Section]:
    """Return tables of the values by dataset, those of one group together."""
    style = _style(board)
    found = []
    for group in board.groups or ("",):
        members = [place for place, each in enumerate(board.datasets) if not board.groups or each.group == group]
        tables = -(-len(members) // _MOST_DATASETS)
        per_table = -(-len(members) // tables) if tables else 0
        for number in range(tables):
            places = members[number * per_table : (number + 1) * per_table]
            found.append(
                Section(
                    title=f"{board.metric} by dataset{f', {group}' if group else ''}"
                    + (f" ({number + 1} of {tables})" if tables > 1 else ""),
                    conditions=f"{style.unit}; mean over seeds".removeprefix("; "),
                    ranks=tuple(rank_text(row, dash) for row in board.rows),
                    labels=_labels(board),
                    columns=tuple(_column(board, place, style) for place in places),
                    notes=tuple(_lineages([board.datasets[place] for place in places])),
                )
            )
    return found


def _column(board: Board, place: int, style: MetricStyle) -> Column:
    values = [row.values[place] for row in board.rows]
    decimals = _decimals(
        [None if one is None else Estimate(value=one.value, low=one.low, high=one.high) for one in values], style
    )
    name = board.datasets[place].name

    def cell(one: BoardValue | None) -> str:
        return "missing" if one is None else MARKS[one.verdict] + style.number(one.value, decimals)

    return Column(metric=name, title=name, unit="", cells=tuple(map(cell, values)))


def _lineages(datasets: Sequence[BoardDataset]) -> list[str]:
    """Return the sentence that gives the lineages of some datasets, where any is known."""
    known = [f"{each.name}: {each.lineage}" for each in datasets if each.lineage]
    return [f"Lineage of {'; '.join(known)}."] if known else []


def board_notes(board: Board) -> list[str]:
    """Return what a board says in sentences: how scores are made, what is told apart, what holds over datasets."""
    notes = [_how(board)]
    scored = [row for row in board.rows if row.score is not None]
    if board.pairs:
        apart = sum(pair.different for pair in board.pairs)
        notes.append(
            "Ranks are ranges: a model is below the models that are significantly better and above those that are "
            "significantly worse (paired bootstrap over images within datasets and over seeds, 5 % over "
            f"{len(board.pairs)} pair{'s' if len(board.pairs) != 1 else ''}, Holm): "
            f"{apart} of {len(board.pairs)} told apart."
        )
        notes += _lead(board)
    elif len(scored) > 1 and board.condition.partial:
        notes.append("Results of a partial run are not ranked.")
    if board.over_datasets is not None:
        notes += _over(board.over_datasets, scored[0].label)
    for row in board.rows:
        if row.missing:
            reasons = few([f"{each.dataset} ({each.reason})" for each in row.missing], _MOST_NAMED)
            notes.append(f"{row.label} has no score, since values are missing: {', '.join(reasons)}.")
    return [*notes, *board.left_out]


def _how(board: Board) -> str:
    over = (
        f"the mean over {len(board.groups)} groups ({', '.join(board.groups)}) of the mean {board.metric} of each"
        if board.score == "mean of groups"
        else f"the mean {board.metric} over {len(board.datasets)} datasets"
    )
    return (
        f"The score is {over} ({board.better} is better), with its 95 % interval over images and seeds. "
        "A model that lacks a dataset has no score."
    )


def _lead(board: Board) -> list[str]:
    """Return the sentence on the best two models by score, without baselines."""
    best = [row.label for row in board.rows if row.score is not None and not row.baseline][:2]
    pair = next((one for one in board.pairs if {one.first, one.second} == set(best)), None)
    if pair is None:
        return []
    style = _style(board)
    ends = ""
    if pair.low is not None and pair.high is not None:
        # The gap is without a sign, and so is turned where lower is better.
        low, high = (pair.low, pair.high) if pair.difference >= 0 else (-pair.high, -pair.low)
        ends = f" (95 % interval {style.number(low, 2)} to {style.number(high, 2)})"
    verdict = "significantly" if pair.different else "not significantly"
    gap = gap_in_words(style, abs(pair.difference), 2)
    return [f"{pair.first} is {verdict} ahead of {pair.second}, by {gap}{ends}."]


def _over(over: OverDatasets, best: str) -> list[str]:
    """Return what the datasets say as a sample of tasks; of orders that one of them decides, the best row's by name."""
    count = len(over.pairs)
    if not over.can_decide:
        notes = [
            f"Over datasets: {over.datasets} are too few for the signed-rank test to tell any of {count} "
            f"pair{'s' if count != 1 else ''} apart (the smallest possible p is {p_value(over.least_p)}); "
            "the order holds for these datasets and says little about others."
        ]
    else:
        significant = [pair for pair in over.pairs if pair.holm_p <= _LEVEL]
        named = f": {', '.join(f'{one.first} over {one.second}' for one in significant)}"
        notes = [
            f"Over datasets, the signed-rank test tells {len(significant)} of {count} pairs apart (5 % by Holm)"
            + (named if 0 < len(significant) <= _MOST_NAMED else "")
            + "."
        ]
    if over.friedman_p is not None:
        chance = p_value(over.friedman_p)
        notes.append(
            f"Friedman's test that all models are alike: p {'' if chance.startswith('<') else '= '}{chance}; mean "
            f"ranks that are more than {over.critical_difference:.2f} apart differ significantly (Nemenyi, 5 %)."
        )
    return [*notes, *_decided(over, best)]


def _decided(over: OverDatasets, best: str) -> list[str]:
    """Return the sentence on orders that a single dataset decides: of the first place by name, of others where few."""
    first = [each for each in over.decides if each.first == best]
    named = first or (list(over.decides) if len(over.decides) <= _MOST_NAMED else [])
    told = few([f"without {each.dataset} {each.second} is ahead of {each.first}" for each in named], _MOST_NAMED)
    rest = len(over.decides) - len(named)
    if rest:
        told.append(f"of {rest} {'other ' if named else ''}pair{'s' if rest > 1 else ''} the order changes")
    return [f"A single dataset decides: {'; '.join(told)}."] if told else []
