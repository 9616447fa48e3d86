"""What a board over several datasets says, as data: one row per model, its score, and whether the order holds.

A board stands for one condition (machine, precision, budget, split and so on) under which models have rows on more than
one dataset. M rows, D datasets, G groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from vitbench.leaderboard.leaderboard import Condition
from vitbench.records import Level, Style
from vitbench.specs import OptionValue
from vitbench.statistics import Estimate

__all__ = [
    "SCORES",
    "Board",
    "BoardDataset",
    "BoardPair",
    "BoardRow",
    "BoardValue",
    "Decides",
    "MissingValue",
    "OverDatasets",
    "OverPair",
    "Score",
]

Score = Literal["mean", "mean of groups"]
"""What is made of a model's values: their mean, or the mean of its groups' means."""
SCORES: tuple[Score, ...] = get_args(Score)


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardDataset:
    """A column of a board."""

    name: str
    """As the suite has it, else its title; without the plugin."""
    title: str
    """As the leaderboard has it."""
    group: str
    """The suite's group that it is in; empty: none."""
    lineage: str
    """Which files its images and splits came from; empty where that is not known."""
    images: int | None
    """Images that models were judged on; None where no row has a value, or the metric is not of single images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardValue:
    """A model's value on one dataset: the mean over seeds."""

    value: float
    low: float | None
    """Lower end of the 95 % interval over images and seeds; None where it is not known."""
    high: float | None
    spread: float | None
    """Standard deviation from seed to seed; None for one seed."""
    seeds: tuple[int, ...]
    """Those that have a value."""
    verdict: Level
    """Whether the value is trusted: `valid`, or `warn`, with the reasons."""
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingValue:
    """A dataset on which a model has no value, so that it has no score either."""

    dataset: str
    """Its name."""
    reason: str
    """``not asked for``, what became of its cells, or why the value does not count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardRow:
    """One model over all datasets of a board."""

    label: str
    """What tables call it: the model, with its recipe where the board has several rows of it."""
    model: str
    """As the leaderboard's rows have it."""
    recipe: str
    recipe_options: dict[str, OptionValue]
    baseline: bool
    score: Estimate | None
    """With its 95 % interval over images and seeds; `spread` is not used. None where a dataset is missing: a score is
    never a mean of fewer."""
    group_scores: tuple[Estimate | None, ...]
    """G, in the order of the board's groups: the mean of each, None where one of its datasets is missing."""
    values: tuple[BoardValue | None, ...]
    """D, in the order of the board's datasets."""
    missing: tuple[MissingValue, ...]
    mean_rank: float | None
    """Mean over datasets of its place among the rows that have a score, 1 the best; ties share a mean place."""
    rank: int | None
    """First of the ranks by score that it may have: 1 + the rows that are significantly better. None without a score,
    and on partial results."""
    rank_last: int | None
    """Last of them."""
    ties: tuple[str, ...]
    """Labels of the rows that are neither significantly better nor worse."""
    ids: tuple[str, ...]
    """The cells that it is made of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardPair:
    """Two rows that have a score, the better one first, told apart by the images of these datasets and by seeds."""

    first: str
    """Label."""
    second: str
    difference: float
    """The first's score less the second's."""
    low: float | None
    """Lower end of its 95 % interval, of this pair alone; None where images cannot be paired."""
    high: float | None
    p_value: float | None
    """Of this pair alone."""
    different: bool
    """Whether it is significant after Holm's correction over all pairs of the board."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OverPair:
    """Whether the order of two rows holds over datasets: Wilcoxon's signed-rank test of the D differences."""

    first: str
    """Label; that of the higher score, as in `BoardPair`."""
    second: str
    wins: int
    """Datasets on which the first is better."""
    losses: int
    p_value: float
    """Exact, two-sided, of this pair alone."""
    holm_p: float
    """After Holm's correction over all pairs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decides:
    """A dataset that alone decides an order: left out, the second row has the higher score."""

    dataset: str
    """Its name."""
    first: str
    """Label of the row that is ahead on all datasets."""
    second: str
    """Label of the row that is ahead on the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OverDatasets:
    """What the datasets, taken as a sample of tasks, say of the rows that have a score."""

    datasets: int
    """D"""
    rows: int
    """Those that have a score."""
    friedman_p: float | None
    """That all rows are alike; None of fewer than three."""
    critical_difference: float
    """Nemenyi's: mean ranks that are further apart differ significantly at 5 %."""
    pairs: tuple[OverPair, ...]
    least_p: float
    """The smallest p-value that the signed-rank test can have on so many datasets."""
    can_decide: bool
    """Whether `least_p` could pass Holm's first step: if not, no pair could be significant, however they differ."""
    decides: tuple[Decides, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """Models over the datasets that they share under one condition, the best first."""

    suite: str
    """The suite whose groups and score these are; empty where no suite says."""
    score: Score
    metric: str
    """The metric that the score is of: the suite's `rank_by`."""
    unit: str
    better: Literal["higher", "lower"]
    style: Style
    """How values and scores are shown."""
    condition: Condition
    """What all rows share; its dataset, fingerprint and lineage are empty."""
    datasets: tuple[BoardDataset, ...]
    """By group, in the suite's order."""
    groups: tuple[str, ...]
    """Names; empty where the suite has none."""
    rows: tuple[BoardRow, ...]
    """By score, those without one last."""
    pairs: tuple[BoardPair, ...]
    """All pairs of rows with a score; empty on partial results."""
    over_datasets: OverDatasets | None
    """None where fewer than two rows have a score."""
    left_out: tuple[str, ...]
    """What of the leaderboard is not on the board though it might be expected there, in sentences."""
