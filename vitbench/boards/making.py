"""One board from what is to be on it: values, scores with their intervals, ranks, and what the datasets say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vitbench.boards.board import Board, BoardDataset, BoardPair, BoardRow, BoardValue, MissingValue, Score
from vitbench.boards.joining import Contestant, Joined
from vitbench.boards.over_datasets import mean_ranks, over_datasets
from vitbench.boards.resampling import sample_of, unknown_sample
from vitbench.boards.scoring import Scorer, Values, score_weights, standings
from vitbench.boards.statement import BoardStatement
from vitbench.leaderboard.image_scores import Known
from vitbench.leaderboard.leaderboard import Row, interval_entry
from vitbench.leaderboard.metric import Metric
from vitbench.statistics import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["make_board"]


def make_board(
    one: Joined,
    rank_by: str,
    known: Callable[[Row], tuple[Known, ...]],
    statement: BoardStatement | None,
    *,
    tested: bool,
) -> Board | None:
    """Return the board of some rows; None where their metric is not of trained models, or none is better than another.

    Args:
        one: models and datasets.
        rank_by: name of the metric.
        known: gives what is stored of single images behind a row's `rank_by`, of each of its seeds; each row is asked
            for once at most.
        statement: of the suite whose groups and score count.
        tested: whether rows are ranked and pairs of them tested.
    """
    metrics = [row.metrics.get(rank_by) for each in one.contestants for row in each.rows if row is not None]
    metric = next((m for m in metrics if m and m.better in ("higher", "lower") and m.taken_at == "quality"), None)
    if metric is None:
        return None
    score: Score = (statement.score if statement else None) or "mean"
    measure = _Measure(metric, score, tuple(column.group for column in one.columns))
    cells = [[_cell(contestant, d, rank_by) for d in range(len(one.columns))] for contestant in one.contestants]
    rows = [_bare(contestant, one, own, measure) for contestant, own in zip(one.contestants, cells, strict=True)]
    whole = [m for m, row in enumerate(rows) if not row.missing]

    def seeds(m: int, d: int) -> tuple[Known, ...]:
        row = one.contestants[m].rows[d]
        return known(row) if row is not None else ()

    samples = [sample_of([seeds(m, d) for m in whole], column.fingerprint) for d, column in enumerate(one.columns)]
    pairs: tuple[BoardPair, ...] = ()
    over = None
    if whole:
        values = _values([[cell for cell in cells[m] if isinstance(cell, Metric)] for m in whole])
        values = replace(values, samples=tuple(samples))
        merits = measure.sign * values.values
        scored, pairs = _scored([rows[m] for m in whole], values, measure, tested=tested)
        names = [column.name for column in one.columns]
        over = over_datasets(merits, [row.label for row in scored], names, measure.groups, score)
        for m, row, place in zip(whole, scored, mean_ranks(merits), strict=True):
            rows[m] = replace(row, mean_rank=float(place))
    rows = [row if row.score else _groups_alone(row, own, measure) for row, own in zip(rows, cells, strict=True)]
    return Board(
        suite=statement.name if statement else "",
        score=score,
        metric=rank_by,
        unit=metric.unit,
        better="lower" if metric.better == "lower" else "higher",
        style=metric.style,
        condition=one.condition,
        datasets=tuple(
            BoardDataset(
                name=column.name,
                title=column.title or column.name,
                group=column.group,
                lineage=column.lineage,
                images=_images(d, sample.images, cells),
            )
            for d, (column, sample) in enumerate(zip(one.columns, samples, strict=True))
        ),
        groups=measure.names,
        rows=tuple(sorted(rows, key=measure.order)),
        pairs=pairs,
        over_datasets=over,
        left_out=one.left_out,
    )


@dataclass(frozen=True, slots=True)
class _Measure:
    """What a score is of and how it is made."""

    metric: Metric
    score: Score
    groups: tuple[str, ...]
    """Of each dataset."""

    @property
    def names(self) -> tuple[str, ...]:
        """The groups."""
        return tuple(dict.fromkeys(group for group in self.groups if group))

    @property
    def sign(self) -> int:
        """1 where higher is better."""
        return -1 if self.metric.better == "lower" else 1

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which values lie."""
        return (0.0, 1.0) if self.metric.unit == "fraction" else (-math.inf, math.inf)

    @property
    def weights(self) -> NDArray[np.float64]:
        """Of the datasets in the score, [D]."""
        return score_weights(self.groups, self.score)

    def members(self, group: str) -> list[int]:
        """Return the places of a group's datasets."""
        return [d for d, own in enumerate(self.groups) if own == group]

    def order(self, row: BoardRow) -> tuple[bool, float, str]:
        """Sort key: by score, the best first; those without one last."""
        return row.score is None, -self.sign * row.score.value if row.score else 0.0, row.label


def _cell(contestant: Contestant, place: int, rank_by: str) -> Metric | str:
    """Return a model's metric on a dataset, or why it has no value that counts."""
    row = contestant.rows[place]
    if row is None:
        return contestant.reasons[place]
    metric = row.metrics.get(rank_by)
    if metric is None or metric.value is None:
        return "; ".join(metric.reasons) if metric and metric.reasons else f"no {rank_by}"
    return f"invalid: {'; '.join(metric.reasons)}" if metric.verdict == "invalid" else metric


def _bare(contestant: Contestant, one: Joined, cells: Sequence[Metric | str], measure: _Measure) -> BoardRow:
    """Return a row without its score."""
    first = contestant.first
    rows = [row for row in contestant.rows if row is not None]
    return BoardRow(
        label=contestant.label,
        model=first.model,
        recipe=first.recipe,
        recipe_options=dict(first.recipe_options),
        baseline=first.baseline,
        score=None,
        group_scores=(None,) * len(measure.names),
        values=tuple(
            _shown(cell, row.seeds, measure.bounds) if isinstance(cell, Metric) and row is not None else None
            for cell, row in zip(cells, contestant.rows, strict=True)
        ),
        missing=tuple(
            MissingValue(dataset=column.name, reason=cell)
            for column, cell in zip(one.columns, cells, strict=True)
            if isinstance(cell, str)
        ),
        mean_rank=None,
        rank=None,
        rank_last=None,
        ties=(),
        ids=tuple(each for row in rows for each in row.ids),
    )


def _shown(metric: Metric, seeds: tuple[int, ...], bounds: tuple[float, float]) -> BoardValue:
    assert metric.value is not None
    entry = interval_entry(metric)
    known = math.isfinite(entry.low) and math.isfinite(entry.high)
    return BoardValue(
        value=metric.value,
        low=max(entry.low, bounds[0]) if known else None,
        high=min(entry.high, bounds[1]) if known else None,
        spread=metric.spread,
        seeds=seeds,
        verdict=metric.verdict,
        reasons=metric.reasons,
    )


def _values(metrics: Sequence[Sequence[Metric]]) -> Values:
    """Return the values of models on some datasets, all there, of whose images nothing is known."""
    import numpy as np

    def array(take: Callable[[Metric], float | None]) -> NDArray[np.float64]:
        return np.array([[math.nan if (x := take(m)) is None else x for m in own] for own in metrics], dtype=float)

    values = array(lambda metric: metric.value)
    return Values(
        values=values,
        low=array(lambda metric: metric.value if metric.exact else metric.low),
        high=array(lambda metric: metric.value if metric.exact else metric.high),
        seeds=array(lambda metric: metric.n if metric.spread is not None else 1).astype(np.int64),
        seed_variances=array(lambda metric: None if metric.spread is None else metric.spread**2),
        samples=(unknown_sample(len(values)),) * values.shape[1],
    )


def _scored(
    rows: Sequence[BoardRow], values: Values, measure: _Measure, *, tested: bool
) -> tuple[list[BoardRow], tuple[BoardPair, ...]]:
    """Return rows with their scores; if tested, also with their ranks, and all pairs of them."""
    import numpy as np

    scorer = Scorer(values, measure.weights, sign=measure.sign, bounds=measure.bounds)
    of_groups = [_group(values, measure, group) for group in measure.names]
    found = [
        replace(row, score=score, group_scores=tuple(group[i] for group in of_groups))
        for i, (row, score) in enumerate(zip(rows, scorer.estimates(), strict=True))
    ]
    if not tested:
        return found, ()
    pairs = scorer.pairs()
    found = [
        replace(row, rank=own.rank, rank_last=own.rank_last, ties=tuple(rows[tie].label for tie in own.ties))
        for row, own in zip(found, standings(pairs, len(rows)), strict=True)
    ]
    told = []
    for k in range(len(pairs.first)):
        i, j, gap = int(pairs.first[k]), int(pairs.second[k]), float(pairs.difference[k])
        if gap < 0:
            i, j = j, i
        paired = math.isfinite(pairs.margin[k])
        own, margin = measure.sign * abs(gap), float(pairs.margin[k])
        told.append(
            BoardPair(
                first=rows[i].label,
                second=rows[j].label,
                difference=own,
                low=own - margin if paired else None,
                high=own + margin if paired else None,
                p_value=float(pairs.p_values[k]) if not np.isnan(pairs.p_values[k]) else None,
                different=bool(pairs.different[k]),
            )
        )
    return found, tuple(told)


def _group(values: Values, measure: _Measure, group: str) -> list[Estimate]:
    import numpy as np

    members = np.array(measure.members(group))
    weights = np.full(len(members), 1 / len(members))
    return Scorer(values.on(members), weights, sign=measure.sign, bounds=measure.bounds).estimates()


def _groups_alone(row: BoardRow, cells: Sequence[Metric | str], measure: _Measure) -> BoardRow:
    """Return a row without a score with the means of those of its groups that are complete."""
    found: list[Estimate | None] = []
    for group in measure.names:
        metrics = [cell for d in measure.members(group) if isinstance(cell := cells[d], Metric)]
        if len(metrics) < len(measure.members(group)):
            found.append(None)
            continue
        weights = score_weights([group] * len(metrics), "mean")
        found += Scorer(_values([metrics]), weights, sign=measure.sign, bounds=measure.bounds).estimates()
    return replace(row, group_scores=tuple(found))


def _images(place: int, sampled: int, cells: Sequence[Sequence[Metric | str]]) -> int | None:
    """Return on how many images a dataset's models were judged: of rows of one seed, what their values rest on."""
    known = [cell.n for own in cells if isinstance(cell := own[place], Metric) and cell.spread is None and cell.n]
    return sampled or next(iter(known), None)
