"""Two rows compared: quality on the same images, speed as it is stored, cost; and what may be concluded.

Rows of unlike conditions are not compared. Speed and memory have conditions of their own (machine, device, threads,
batch size): quality is compared where these differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from vitbench.comparing.conditions import BATCHES, Unlike, blocking, unlike_conditions
from vitbench.comparing.kinds import is_cost, is_quality, is_speed
from vitbench.comparing.speed_ratio import Compared, Judgement, Speed, stored_speed
from vitbench.leaderboard.image_scores import Known
from vitbench.leaderboard.leaderboard import Failure, interval_entry, seed_outcomes
from vitbench.leaderboard.paired import LEVEL, PairedDifference, paired_difference
from vitbench.leaderboard.processes import told_apart
from vitbench.leaderboard.rows import Condition, Row, unshared
from vitbench.measurements import at_of
from vitbench.printable import short_size
from vitbench.records import PLAIN_STEP, FigureCell, KeyedCell, QualityCell, Record, SpeedCell
from vitbench.settings import LIVE_SPEEDS
from vitbench.specs import At

__all__ = ["Contender", "Contrast", "Quality", "contrast", "judge_quality", "tested_speeds"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """One model's row and what lies behind it."""

    row: Row
    newest: Mapping[str, Record]
    """The newest attempt at each cell of its folder, by id."""
    failures: Sequence[Failure]
    """The model's cells without a result, of those that might be the row's."""
    outcomes: Callable[[Record, str], Known | None]
    """Gives the scores of single images behind a record's metric, where they are known."""

    def records(self) -> list[Record]:
        """Return the good records that the row is made of."""
        return [self.newest[each] for each in self.row.ids]

    def timed(self, metric: str) -> KeyedCell | None:
        """Return the cell that a metric of speed comes from."""
        wanted = self.row.metrics[metric]
        found = (
            record.planned
            for record in self.records()
            if _is_of(record.planned, wanted.taken_at, self.row.condition)
            for one in record.measurements
            if one.name == metric and one.value == wanted.measured
        )
        return next(found, None)


def _is_of(planned: KeyedCell, at: At, condition: Condition) -> bool:
    """Say whether a cell is one that a row of a condition takes figures of its kind from.

    Where nothing was timed at all, no batch size is the common one.
    """
    cell = planned.cell
    if isinstance(cell, FigureCell) or at_of(cell) != at:
        return False
    if isinstance(cell, QualityCell) or at not in BATCHES:
        return True
    return getattr(condition, BATCHES[at]) in (None, cell.batch_size)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality(Compared):
    """A metric of quality, or whatever else is ranked by."""

    paired: PairedDifference | None
    """None where scores of the same images are not known."""
    finding: Judgement | None
    """None: not judged, since it is not ranked by."""
    together: int = 1
    """Pairs that are judged together by this metric, this one among them."""

    @property
    def difference(self) -> float | None:
        """The second's value less the first's; None where that means nothing."""
        if self.finding == "not comparable":
            return None
        return super(Quality, self).difference


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """The second of two rows, compared with the first."""

    first: Row
    second: Row
    rank_by: str
    unlike: tuple[Unlike, ...]
    """Why nothing is compared."""
    unlike_speed: tuple[Unlike, ...]
    """Why metrics of speed and memory are not compared, or some of them."""
    quality: tuple[Quality, ...] = ()
    """What is ranked by first."""
    speeds: tuple[Speed, ...] = ()
    costs: tuple[Compared, ...] = ()
    """What the plain difference says all of."""
    missing: tuple[str, ...] = ()
    """What one of the two lacks and should have, in words."""
    notes: tuple[str, ...] = ()
    """What else differs, or is to be known."""


def _in_full(planned: KeyedCell) -> str:
    """Return a model's full name with all its options."""
    options = ",".join(f"{name}={value}" for name, value in sorted(planned.cell.options.items()))
    return f"{planned.cell.model}:{options}" if options else planned.cell.model


def _unlike(first: Contender, second: Contender, same_model: bool) -> tuple[list[Unlike], list[Unlike]]:
    """Return what keeps all metrics from being compared, and what those of speed and memory."""
    general, of_speed = unlike_conditions(first.row.condition, second.row.condition)
    names = [_in_full(each.records()[0].planned) for each in (first, second)]
    if same_model and names[0] != names[1]:
        general.append(Unlike(condition="model", first=names[0], second=names[1]))
    return general, of_speed


def tested_speeds(first: Contender, second: Contender, *, same_model: bool) -> list[str]:
    """Return the metrics of speed that both have, under conditions like enough to compare them."""
    unlike, unlike_speed = _unlike(first, second, same_model)
    if unlike:
        return []
    return [
        name
        for name in _shared(first, second)
        if is_speed(first.row.metrics[name]) and not blocking(unlike_speed, first.row.metrics[name])
    ]


def contrast(
    first: Contender, second: Contender, rank_by: str, threshold: float, *, together: int, same_model: bool
) -> Contrast:
    """Hold the second of two rows against the first.

    Args:
        first: the base.
        second: what is judged.
        rank_by: the metric that decides on quality.
        threshold: the share of speed that does not matter.
        together: metrics of speed that are compared at once, in all pairs.
        same_model: whether only two results of one model can be compared.
    """
    unlike, unlike_speed = _unlike(first, second, same_model)
    second = replace(second, row=_on_the_scale_of(first.row, second.row))
    found = Contrast(
        first=first.row, second=second.row, rank_by=rank_by, unlike=tuple(unlike), unlike_speed=tuple(unlike_speed)
    )
    if unlike:
        return found
    shared = {name: first.row.metrics[name] for name in _shared(first, second)}
    speeds = [name for name, metric in shared.items() if is_speed(metric)]
    quality = [name for name, metric in shared.items() if is_quality(metric)]
    if rank_by in shared and rank_by not in speeds:
        quality = list(dict.fromkeys([rank_by, *quality]))
    costs = [name for name, metric in shared.items() if is_cost(metric) and name not in quality]
    return replace(
        found,
        quality=tuple(_quality(first, second, name, rank_by, found.unlike_speed) for name in quality),
        speeds=tuple(_speed(first, second, name, found.unlike_speed, threshold, together) for name in speeds),
        costs=tuple(
            Compared(metric=name, first=first.row.metrics[name], second=second.row.metrics[name])
            for name in sorted(costs, key=lambda name: shared[name].exact)
            if not blocking(found.unlike_speed, shared[name])
        ),
        missing=tuple(_missing(first, second, rank_by)),
        notes=tuple(_notes(first, second)),
    )


def _on_the_scale_of(first: Row, second: Row) -> Row:
    """Return the second row with its ratios multiplied by the first's reference: two folders have two scales."""
    metrics = dict(second.metrics)
    for name, metric in metrics.items():
        base = first.metrics.get(name)
        if base and base.relative and metric.relative and base.relative.ratio.network == metric.relative.ratio.network:
            reference = base.relative.reference
            metrics[name] = replace(
                metric,
                value=metric.relative.ratio.value * reference,
                relative=replace(metric.relative, reference=reference),
            )
    return replace(second, metrics=metrics)


def _shared(first: Contender, second: Contender) -> list[str]:
    """Return the metrics that both have, in the order of the tables' columns."""
    names = [name for name in first.row.metrics if name in second.row.metrics]
    return sorted(names, key=lambda name: first.row.metrics[name].style.order)


def _quality(first: Contender, second: Contender, metric: str, rank_by: str, unlike_speed: Sequence[Unlike]) -> Quality:
    one, other = first.row.metrics[metric], second.row.metrics[metric]
    if blocking(unlike_speed, one):
        return Quality(metric=metric, first=one, second=other, paired=None, finding="not comparable")
    known = [
        seed_outcomes(each.row, each.newest, metric, lambda record, each=each: each.outcomes(record, metric))  # type: ignore[misc]
        for each in (first, second)
    ]
    found = Quality(metric=metric, first=one, second=other, paired=paired_difference(*known), finding=None)
    return replace(found, finding=judge_quality(found)) if metric == rank_by else found


def judge_quality(quality: Quality, *, significant: bool | None = None) -> Judgement:
    """Say what a difference shows.

    Args:
        quality: two metrics and what is known of them.
        significant: whether the paired difference is, where more than its own p-value decides.
    """
    first, second, paired = quality.first, quality.second, quality.paired
    if first.value is None or second.value is None:
        return "no data"
    if "invalid" in (first.verdict, second.verdict) or first.better not in ("higher", "lower"):
        return "not resolved"
    ahead: Judgement = "better" if (second.value > first.value) == (first.better == "higher") else "worse"
    if paired is not None:
        significant = paired.p_value <= LEVEL if significant is None else significant
        return ahead if significant else "same" if paired.alike else "not resolved"
    if told_apart(first, second):
        return ahead
    one, other = (interval_entry(metric) for metric in (first, second))
    if one.high < other.low or other.high < one.low:
        return ahead
    return "same" if one.low == one.high == other.low == other.high else "not resolved"


def _speed(
    first: Contender, second: Contender, metric: str, unlike_speed: Sequence[Unlike], threshold: float, together: int
) -> Speed:
    metrics = first.row.metrics[metric], second.row.metrics[metric]
    found = Speed(
        metric=metric, first=metrics[0], second=metrics[1], ratio=None, finding="not comparable", reason="", cells=None
    )
    keeping = [each.condition for each in blocking(unlike_speed, metrics[0])]
    if keeping:
        return replace(found, reason=f"{metric} was measured under different conditions ({', '.join(keeping)})")
    one, other = first.timed(metric), second.timed(metric)
    one_folder = first.newest is second.newest
    ratio, finding, reason = stored_speed(metric, metrics, threshold, together, in_turn=one_folder)
    cells = (one, other) if one and other and metric in LIVE_SPEEDS else None
    return replace(found, ratio=ratio, finding=finding, reason=reason, cells=cells)


def _missing(first: Contender, second: Contender, rank_by: str) -> Iterator[str]:
    """Yield what one has and the other lacks: what is ranked by in any case, a speed where its cell failed."""
    for side, own, other in (("A", first, second), ("B", second, first)):
        speeds = [name for name, metric in other.row.metrics.items() if is_speed(metric)]
        for metric in dict.fromkeys([rank_by, *speeds]):
            if metric in own.row.metrics or metric not in other.row.metrics:
                continue
            at = other.row.metrics[metric].taken_at
            reasons = [
                f"{each.detail}: {each.status}, {each.reason}"
                for each in own.failures
                if _would_have_told(each.planned, at, own.row.condition, other.row.condition)
            ]
            if reasons or metric == rank_by:
                yield f"{side} has no {metric}" + (f" ({'; '.join(reasons)})" if reasons else "")


def _would_have_told(planned: KeyedCell, at: At, own: Condition, other: Condition) -> bool:
    """Say whether a cell is the one that a row's metric would come from, or its counterpart to the other row's."""
    cell = planned.cell
    if isinstance(cell, SpeedCell):
        place = (cell.machine, cell.device, cell.threads)
        if place not in [(each.machine, each.device, each.threads) for each in (own, other)]:
            return False
    return _is_of(planned, at, own)


def _notes(first: Contender, second: Contender) -> Iterator[str]:
    """Yield what differs and is no condition, and what the values rest on."""
    one, other = first.row, second.row
    if one.condition.partial:
        yield "Both results are partial: a full run may give different numbers."
    recipes = one.recipe.partition(":")[0], other.recipe.partition(":")[0]
    options = unshared([one.recipe_options, other.recipe_options]) if recipes[0] == recipes[1] else [(), ()]
    pairs = {
        "Recipe": recipes,
        "Recipe options": tuple(", ".join(each) or "none of these" for each in options),
        "Input size": (f"{short_size(one.image_size)} pixels", f"{short_size(other.image_size)} pixels"),
        "Seeds": tuple(", ".join(map(str, each.seeds)) or "none" for each in (one, other)),
        "Devices of the seeds": tuple(", ".join(sorted(each.seed_devices)) or "none" for each in (one, other)),
        **_origins(first, second),
    }
    for what, (a, b) in pairs.items():
        if a != b:
            yield f"{what}: A {a}; B {b}."
    for side, row in (("A", one), ("B", other)):
        if row.seeds_missing and row.seeds:
            asked, lacking = len(row.seeds) + len(row.seeds_missing), len(row.seeds_missing)
            yield f"{lacking} of {asked} seeds of {side} {'has' if lacking == 1 else 'have'} no result."
    plain = [side for side, row in (("A", one), ("B", other)) if row.train_step == PLAIN_STEP]
    if plain and None not in (one.train_step, other.train_step):
        yield f"Training speed of {' and '.join(plain)} is that of a plain AdamW step."


def _origins(first: Contender, second: Contender) -> dict[str, tuple[str, str]]:
    """Return what two versions of one model are made of; of two models their names, where the table has one."""
    a, b = first.records()[0].planned, second.records()[0].planned
    made = (a.provenance, b.provenance)
    versions = [one.condition.cudnn or "none" for one in (first.row, second.row)]
    found = {"torch": (made[0].torch, made[1].torch), "cuDNN": (versions[0], versions[1])}
    if a.cell.model != b.cell.model and first.row.model == second.row.model:
        found["Model"] = (_in_full(a), _in_full(b))
    if a.cell.model == b.cell.model:
        names = sorted(k for k in a.cell.options | b.cell.options if a.cell.options.get(k) != b.cell.options.get(k))
        options = [", ".join(f"{k}={each.cell.options.get(k)}" for k in names) for each in (a, b)]
        found["Options"] = (options[0], options[1])
        code = [f"{each.model.distribution} {each.model.version} ({each.model.code_hash[:8]})" for each in made]
        found["Code"] = (code[0], code[1])
    for name in sorted(made[0].files | made[1].files):
        if a.cell.model == b.cell.model or not name.startswith("model."):
            of_a, of_b = (each.files.get(name, "none")[:8] for each in made)
            found[f"File {name}"] = (of_a, of_b)
    return found
