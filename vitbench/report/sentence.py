"""A leaderboard in words: which model wins, by how much, whether that is sure, and which is fast and nearly as good.

Names stand in the sentences as they came: each format escapes all text that it takes from here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.leaderboard.leaderboard import Leaderboard, Metric, Resolution, Row, in_order
from vitbench.leaderboard.processes import told_apart
from vitbench.printable import rounded
from vitbench.report.metric_styles import (
    MetricStyle,
    gap_in_words,
    in_words,
    percent_decimals,
    style_of,
    threshold_in_words,
)
from vitbench.report.naming import places, row_labels
from vitbench.report.ranking_notes import one_seed
from vitbench.settings import SPEED

__all__ = ["NEAR", "closing_sentences"]

NEAR = 1.0
"""How many points a percentage may be from the best and count as nearly as good."""
_ROUNDING = 1e-7
"""Of 100 * (0.986 - 0.976), which is one point, too."""
_MOST_NAMES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entrant:
    """A ranked row."""

    name: str
    row: Row
    value: float
    """Of the ranking metric."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Contest:
    """The ranked rows of one condition, the best first, and how their values are written."""

    place: str
    rank_by: str
    style: MetricStyle
    decimals: int
    models: Sequence[_Entrant]
    baselines: Sequence[_Entrant]
    resolution: Resolution | None
    """None unless all rows were compared on the same images."""
    unseen: int
    """Rows that were ranked and are hidden."""

    def words(self, entrant: _Entrant) -> str:
        """Return ``98.6 % top1``."""
        return f"{in_words(self.style, entrant.value, self.decimals)} {self.rank_by}"

    def seeds(self) -> str:
        """Return over how many seeds the best model's value is a mean, and of how many: `` (mean of 2 of 3 seeds)``."""
        best = self.models[0].row
        metric = best.metrics[self.rank_by]
        if metric.taken_at != "quality" or metric.exact:
            return ""
        count = len(best.seeds) if metric.spread is not None else 1
        of = f"of {len(best.seeds) + len(best.seeds_missing)} " if best.seeds_missing else ""
        if count == 1:
            return f" (1 {of}seeds)" if of else ""
        return f" (mean of {count} {of}seeds)"

    def gap(self, size: float) -> str:
        """Return a difference: ``0.8 points``."""
        return gap_in_words(self.style, size, self.decimals)


def closing_sentences(board: Leaderboard) -> list[str]:
    """Return what to say of each condition, one text each, in the leaderboard's order; nothing of speed alone.

    Then what was left out for damage or for its version, or because it was not asked for.
    """
    by_condition = board.by_condition()
    shown = ", among the rows shown," if board.where else ""
    names = {condition: name + (shown or ",") for condition, name in places(by_condition).items()}
    said = [
        " ".join(
            _sentences(
                names[condition],
                in_order(rows, board.rank_by),
                board.rank_by,
                board.resolutions.get(condition),
                sum(row.condition == condition for row in board.unseen),
            )
        )
        for condition, rows in by_condition.items()
        if condition.dataset or any(row.rank is not None for row in rows)
    ]
    notes = [*board.damaged, *board.left_out, *_of_other_shards(board), *([board.hidden] if board.hidden else [])]
    return [*said, *notes]


def _of_other_shards(board: Leaderboard) -> list[str]:
    """Say how much of the plan is in other folders."""
    if not (count := len(board.elsewhere)):
        return []
    are = f"{count} cells of its plan are" if count > 1 else "1 cell of its plan is"
    shards = [*dict.fromkeys(each.reason.removeprefix("in shard ") for each in board.elsewhere)]
    words = f"shard{'s' * (len(shards) > 1)} {', '.join(shards)}"
    return [f"This folder holds a shard: {are} elsewhere, in {words}; `vitbench merge` joins their folders."]


def _sentences(place: str, rows: Sequence[Row], rank_by: str, resolution: Resolution | None, unseen: int) -> list[str]:
    if rows[0].condition.partial:
        return [f"Partial results are never ranked: {place.removesuffix(',')}.", *_seen(rows, rank_by)]
    ranked = [
        _Entrant(name=name, row=row, value=value)
        for row, name in zip(rows, row_labels(rows), strict=True)
        if row.rank is not None and (value := row.metrics[rank_by].value) is not None
    ]
    if not ranked:
        return [f"On {place} nothing is ranked: no row has a valid {rank_by}."]
    contest = _Contest(
        place=place,
        rank_by=rank_by,
        style=style_of(rank_by, rows),
        decimals=percent_decimals([entrant.row.metrics[rank_by] for entrant in ranked]),
        models=[entrant for entrant in ranked if not entrant.row.baseline],
        baselines=[entrant for entrant in ranked if entrant.row.baseline],
        resolution=resolution if resolution and resolution.models == len(ranked) else None,
        unseen=unseen,
    )
    if not contest.models:
        best = contest.baselines[0]
        return [f"On {place} only baselines are ranked; the best is {best.name} with {contest.words(best)}."]
    return [_winner(contest), *one_seed(rows, rank_by), *_baseline(contest), *_fastest(contest)]


def _seen(rows: Sequence[Row], rank_by: str) -> list[str]:
    """Give the first few values of partial rows, which stand in the order of their merit."""
    style = style_of(rank_by, rows)
    known = [
        f"{name} {in_words(style, metric.value, percent_decimals([metric]))}"
        for row, name in zip(rows, row_labels(rows), strict=True)
        if (metric := row.metrics.get(rank_by)) is not None and metric.value is not None and metric.verdict != "invalid"
    ]
    if not known:
        return []
    return [f"{rank_by} so far: {', '.join(known[:_MOST_NAMES])}; run without --limit and --epochs to rank them."]


def _winner(contest: _Contest) -> str:
    best, *others = contest.models
    if not others:
        return f"On {contest.place} the only model is {best.name}, with {contest.words(best)}."
    level = [model.name for model in contest.models if model.value == best.value]
    if len(level) > 1:
        return f"On {contest.place} {_listed(level)} are level and best, with {contest.words(best)}."
    gap = abs(best.value - others[0].value)
    lead = f"{contest.gap(gap)} ahead of {others[0].name}; {_certainty(contest, gap)}"
    return f"On {contest.place} {best.name} is best with {contest.words(best)}{contest.seeds()}, {lead}."


def _certainty(contest: _Contest, gap: float) -> str:
    """Say whether the best model is told apart from the next, and from the others."""
    best, following, *others = contest.models
    unresolved = sum(_tied(best, other) for other in others)
    rest = f"{unresolved} other model{'s' if unresolved != 1 else ''}"
    if not _tied(best, following):
        return "the gap is resolved" + (f", but not the gap to {rest}" if unresolved else "")
    words = "the gap is not resolved" + (f", nor is the gap to {rest}" if unresolved else "")
    resolution = contest.resolution
    if resolution is None:
        return words
    spread = any(each.row.metrics[contest.rank_by].spread is not None for each in (*contest.models, *contest.baselines))
    images = f"these {resolution.images:,} images{' and seeds' * spread}"
    if resolution.gap is None:
        return f"{words} ({images} are too few to tell any two apart)"
    if gap >= resolution.gap:  # which is that of neighbours, and these two may disagree more often than neighbours do
        return f"{words} ({best.name} and {following.name} disagree on too many images)"
    return f"{words} ({images} resolve gaps of {threshold_in_words(contest.style, resolution.gap)} or more)"


def _tied(one: _Entrant, other: _Entrant) -> bool:
    return other.name in one.row.tied_with and one.name in other.row.tied_with


def _baseline(contest: _Contest) -> list[str]:
    """Name a baseline that the best model does not beat."""
    best = contest.models[0]
    lower = best.row.metrics[contest.rank_by].better == "lower"
    for baseline in contest.baselines:
        lead = best.value - baseline.value if lower else baseline.value - best.value
        opening = f"The baseline {baseline.name}, with {contest.words(baseline)},"
        if lead == 0:
            return [f"{opening} is as good."]
        if lead > 0:
            sure = ", but the gap is not resolved" if _tied(best, baseline) else ""
            return [f"{opening} is better than any model by {contest.gap(lead)}{sure}."]
        if _tied(best, baseline):
            return [f"{opening} cannot be told apart from {best.name}."]
    return []


def _fastest(contest: _Contest) -> list[str]:
    """Name the fastest of the models that are nearly as good, with its ratio to the best."""
    best = contest.models[0]
    if contest.style.unit != "%" or len(contest.models) == 1:
        return []
    near = [
        model for model in contest.models if contest.style.scale * abs(model.value - best.value) <= NEAR + _ROUNDING
    ]
    timed = [(metric, model) for model in near if (metric := model.row.metrics.get(SPEED))]
    invalid = sum(metric.verdict == "invalid" for metric, _ in timed)
    usable = [(value, metric, model) for metric, model in timed if (value := _valid(metric)) is not None]
    if not usable:
        return [f"No {SPEED} within a point of the best is valid."] if invalid else []
    value, metric, fastest = max(usable, key=lambda each: each[0])
    words = f"Fastest within a point of the best: {fastest.name}, {in_words(style_of(SPEED, [fastest.row]), value)}"
    against = next((each for each in usable if each[2] is best and fastest.value != best.value), None)
    if against:
        ratio = rounded(value / against[0])
        words += f", {'about' if ratio == '1.00' else f'{ratio} times'} as fast as {best.name}"
    doubts = ["doubtful"] * ("warn" in (metric.verdict, against[1].verdict if against else ""))
    # Any of them might have been the fastest, and so might any that are hidden for what was measured.
    pairs = math.comb(len(usable) + contest.unseen, 2)
    doubts += ["the gap is not resolved"] * bool(against and not told_apart(metric, against[1], pairs))
    words += f" ({'; '.join(doubts)})" if doubts else ""
    left_out = f"; {invalid} invalid {SPEED}{'s are' if invalid > 1 else ' is'} left out" if invalid else ""
    return [f"{words}{left_out}."]


def _valid(metric: Metric) -> float | None:
    return None if metric.verdict == "invalid" else metric.value


def _listed(names: Sequence[str]) -> str:
    """Return ``a, b and c``, the first few of many."""
    shown = [*names[:_MOST_NAMES], *[f"{len(names) - _MOST_NAMES} more"] * (len(names) > _MOST_NAMES)]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
