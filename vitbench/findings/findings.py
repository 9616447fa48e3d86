"""A suite's claims and published numbers, compared with the rows of a leaderboard.

A claim is tested once for each condition that has rows of it: rows of different data, machines or settings are never
compared. Rows that it names and that are not there are named, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vitbench.errors import NothingSelectedError, StoreError
from vitbench.findings.statements import Claim, Statements, model_called, read_statements, rows_meant, short
from vitbench.findings.verdicts import EXIT_CODES, ClaimOutcome, Sign, outcome_of, sign_of
from vitbench.leaderboard.image_scores import Known, read_outcomes
from vitbench.leaderboard.leaderboard import Condition, Leaderboard, Row, build, seed_outcomes
from vitbench.leaderboard.paired import PairedDifference, paired_difference
from vitbench.leaderboard.results import read_results, relabelled
from vitbench.records import KeyedCell, Record, newest_by_id
from vitbench.store import Run, Store

if TYPE_CHECKING:
    from vitbench.leaderboard.metric import Metric

__all__ = [
    "ClaimResult",
    "Findings",
    "MissingRow",
    "PairResult",
    "PublishedFigure",
    "find",
    "findings_of",
    "read_findings",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class PairResult:
    """One of the comparisons that a claim states, its rows both there."""

    row: Row
    """That the claim is made of."""
    against: Row
    paired: PairedDifference | None
    """The value of `row` less that of `against`; None where the same images are not known of both."""
    sign: Sign
    reason: str
    """Why it could not be tested; empty where it was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingRow:
    """A row that a claim names and that is not there."""

    name: str
    """As the claim has it."""
    reason: str
    """``not asked for``, or what became of its cells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimResult:
    """A claim on the rows of one condition."""

    claim: Claim
    dataset: str
    """Title; empty where nothing says which."""
    condition: Condition | None
    """None where no row of the claim is there."""
    pairs: tuple[PairResult, ...]
    missing: tuple[MissingRow, ...]
    outcome: ClaimOutcome


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedFigure:
    """A figure that was published for a model, and the run's own."""

    name: str
    """Of the model, as tables have it."""
    dataset: str
    shown: float
    """As it was published, in the unit of the tables."""
    published: float
    """In the metric's own unit."""
    condition: Condition | None
    """None where the row is not there."""
    metric: Metric | None
    difference: float | None
    """The run's own less the published one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What became of what a suite states."""

    suite: str
    rank_by: str
    claims: tuple[ClaimResult, ...]
    figures: tuple[PublishedFigure, ...]
    damaged: tuple[str, ...] = ()
    """What of the folder is damaged, and left out, in sentences."""

    @property
    def exit_code(self) -> int:
        """Of the first of `EXIT_CODES` that a claim comes to; 0 without claims."""
        outcomes = {result.outcome for result in self.claims}
        return next((code for outcome, code in EXIT_CODES.items() if outcome in outcomes), 0)


def read_findings(folder: Path) -> Findings:
    """Return the findings of an output folder.

    Raises:
        NothingSelectedError: no run in it has a suite that states anything.
        StoreError: it is missing, unreadable or from another version.
    """
    records, board = read_results(folder)
    with Store.open(folder, create=False) as store:
        found = findings_of(store, board, records)
    if found is None:
        raise NothingSelectedError(
            f"{folder}: no suite that was run here states claims or published numbers; add [[claims]] to the "
            "suite and run it again (no cell is repeated)."
        )
    return found


def findings_of(store: Store, board: Leaderboard, records: Sequence[Record]) -> Findings | None:
    """Return the findings of an open store; None where no suite states anything.

    Args:
        store: where the suites are, and the scores of single images.
        board: of the whole store or a part of it, which then is completed: what is not shown is not missing.
        records: all attempts, the newest last.
    """
    stated = _stated(store)
    if stated is None:
        return None
    statements, run = stated
    planned, newest = store.planned(run.id), run.id == store.runs()[-1].id
    if not newest:  # the newest may rank by another metric, and call the same cells otherwise
        records = relabelled(records, store, run.id)
    whole = board if newest and not board.hidden else build(records, store.pending(), run.rank_by)
    return find(
        statements,
        replace(whole, rows=tuple(row for row in whole.rows if not row.source)),  # claims are of no imported rows
        newest_by_id(records),
        lambda record: read_outcomes(store.scores_path(record.key), run.rank_by),
        asked=tuple(dict.fromkeys(cell.data.title for cell in planned if cell.data is not None)),
        damaged=board.damaged,
    )


def _stated(store: Store) -> tuple[Statements, Run] | None:
    """Return what the newest suite states that states anything, and its run."""
    for run in reversed(store.runs()):
        try:
            text = store.blob(run.suite).decode()
        except StoreError:  # damaged
            continue
        statements = read_statements(text) if text else None
        if statements is not None and statements.any:
            return statements, run
    return None


def find(
    statements: Statements,
    board: Leaderboard,
    newest: Mapping[str, Record],
    outcomes: Callable[[Record], Known | None],
    *,
    asked: Sequence[str] = (),
    damaged: tuple[str, ...] = (),
) -> Findings:
    """Compare what a suite states with a leaderboard.

    Args:
        statements: of the suite.
        board: all rows and all failures.
        newest: the newest attempt at each cell, by id.
        outcomes: gives what is stored of single images behind a record's `rank_by`, where it is known.
        asked: titles of the datasets that were asked for; a claim that none of their rows can test is not run.
        damaged: what of the folder is damaged, in sentences.
    """
    finder = _Finder(statements, board, newest, outcomes)
    return Findings(
        suite=statements.name,
        rank_by=board.rank_by,
        claims=tuple(result for claim in statements.claims for result in finder.claim(claim, asked)),
        figures=tuple(finder.figures()),
        damaged=damaged,
    )


class _Finder:
    """What every claim and figure of one leaderboard needs."""

    def __init__(
        self,
        statements: Statements,
        board: Leaderboard,
        newest: Mapping[str, Record],
        outcomes: Callable[[Record], Known | None],
    ) -> None:
        self._models = statements.models
        self._board = board
        self._newest = newest
        self._outcomes = outcomes
        self._rows = {condition: rows for condition, rows in board.by_condition().items() if condition.dataset}

    def claim(self, claim: Claim, asked: Sequence[str]) -> Iterator[ClaimResult]:
        """Yield the claim as it stands under each condition, and on each dataset that was asked for in vain."""
        names = (*claim.rows, *claim.against)
        told = set()
        for condition, rows in self._rows.items():
            title = _title(condition)
            if (not claim.datasets or _is_called(title, claim.datasets)) and any(self._called(n, rows) for n in names):
                told.add(condition.dataset)
                yield self._tested(claim, condition, rows)
        titles = [title for title in asked if not claim.datasets or _is_called(title, claim.datasets)]
        lacking = [title for title in titles if title not in told]
        if not told and not titles:
            lacking = list(claim.datasets) or [""]
        for title in lacking:
            missing = tuple(MissingRow(name=name, reason=self._why(name, title)) for name in names)
            yield ClaimResult(claim=claim, dataset=title, condition=None, pairs=(), missing=missing, outcome="not run")

    def figures(self) -> Iterator[PublishedFigure]:
        """Yield each published number, which is of test images, beside the row's own."""
        rank_by = self._board.rank_by
        for model in self._models:
            name = model.label or model.name
            for dataset, published in model.published.items():
                found = [
                    (row, row.metrics[rank_by])
                    for condition, rows in self._rows.items()
                    if condition.split == "test" and _is_called(_title(condition), [dataset])
                    for row in self._called(name, rows)
                    if rank_by in row.metrics
                ]
                for row, metric in found:
                    figure = published / metric.style.scale
                    yield PublishedFigure(
                        name=row.model,
                        dataset=row.condition.dataset,
                        shown=published,
                        published=figure,
                        condition=row.condition,
                        metric=metric,
                        difference=None if metric.value is None else metric.value - figure,
                    )
                if not found:
                    scale = self._scale()
                    yield PublishedFigure(
                        name=name,
                        dataset=dataset,
                        shown=published,
                        published=published / scale,
                        condition=None,
                        metric=None,
                        difference=None,
                    )

    def _scale(self) -> float:
        """Return what the metric that is ranked by is multiplied by in tables."""
        metrics = (row.metrics.get(self._board.rank_by) for row in self._board.rows)
        return next((metric.style.scale for metric in metrics if metric is not None), 1.0)

    def _tested(self, claim: Claim, condition: Condition, rows: Sequence[Row]) -> ClaimResult:
        rank_by = self._board.rank_by
        found = {name: self._called(name, rows) for name in (*claim.rows, *claim.against)}
        missing = tuple(
            MissingRow(name=name, reason=self._why(name, condition.dataset)) for name, own in found.items() if not own
        )
        tests = len(claim.rows) * len(claim.against)
        pairs = []
        for name in claim.rows:
            for other in claim.against:
                if found[name] and found[other]:
                    doubled = next((each for each in (name, other) if len(found[each]) > 1), None)
                    reason = f"{len(found[doubled])} rows are called {doubled}" if doubled else ""
                    pairs.append(self._pair(claim, found[name][0], found[other][0], rank_by, tests, reason))
        return ClaimResult(
            claim=claim,
            dataset=condition.dataset,
            condition=condition,
            pairs=tuple(pairs),
            missing=missing,
            outcome=outcome_of([pair.sign for pair in pairs], tests=tests),
        )

    def _pair(self, claim: Claim, row: Row, against: Row, rank_by: str, tests: int, reason: str) -> PairResult:
        metric = row.metrics[rank_by]
        invalid = [each.model for each in (row, against) if each.metrics[rank_by].verdict == "invalid"]
        if invalid:
            reason = reason or f"{rank_by} of {' and '.join(invalid)} is invalid"
        if metric.better not in ("higher", "lower"):
            reason = reason or f"no value of {rank_by} is better than another"
        paired = paired_difference(*(self._known(each) for each in (against, row)))
        if paired is None:
            reason = reason or f"the {rank_by} of single images is not stored for both"
        sign: Sign = "open"
        if not reason:
            margin = claim.margin / metric.style.scale
            sign = sign_of(claim, paired, margin=margin, higher=metric.better == "higher", tests=tests)
        return PairResult(row=row, against=against, paired=paired, sign=sign, reason=reason)

    def _known(self, row: Row) -> tuple[Known, ...]:
        return seed_outcomes(row, self._newest, self._board.rank_by, self._outcomes)

    def _called(self, name: str, rows: Sequence[Row]) -> list[Row]:
        """Return the rows with a value that a claim's name means."""
        able = [row for row in rows if self._has_value(row)]
        planned = [self._newest[row.ids[0]].planned for row in able]
        return [able[i] for i in self._meant(name, planned)]

    def _meant(self, name: str, planned: Sequence[KeyedCell]) -> list[int]:
        (place, *_) = model_called(name, self._models)
        return rows_meant(place, self._models, [(each.label, each.cell.model) for each in planned])

    def _has_value(self, row: Row) -> bool:
        metric = row.metrics.get(self._board.rank_by)
        return metric is not None and metric.value is not None

    def _why(self, name: str, dataset: str) -> str:
        """Return what became of a row that is not there."""
        failures = [each for each in self._board.failed if each.kind == "quality" and dataset in ("", each.dataset)]
        known = [failures[i].status for i in self._meant(name, [each.planned for each in failures])]
        return ", ".join(dict.fromkeys(known)) or "not asked for"


def _title(condition: Condition) -> str:
    """Return the name of a condition's dataset with its options, verified or not."""
    return condition.dataset.removesuffix(f" (unverified, {condition.fingerprint[:8]})")


def _is_called(title: str, names: Sequence[str]) -> bool:
    return any(title in (name, short(name)) for name in names)
