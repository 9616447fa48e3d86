"""What stands under a table on its ranks: by what, how sure, and how small a difference can be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vitbench.leaderboard.leaderboard import Metric, Resolution, Row
from vitbench.leaderboard.processes import THRESHOLD, Processes, comparable, in_turn, moody
from vitbench.leaderboard.references import References
from vitbench.report.metric_styles import in_words, style_of, threshold_in_words

__all__ = ["one_seed", "ranking_notes", "reference_note"]

_APART = "they were not measured in turn, and it is not known how much two occasions differ"
_UNLIKE = "they are not all ratios to one reference network"


def ranking_notes(rows: Sequence[Row], rank_by: str, resolution: Resolution | None) -> list[str]:
    """Return the sentences for the rows of one condition."""
    return [
        *_order_notes(rows, rank_by),
        *_range_notes(rows, rank_by, resolution),
        *_seed_notes(rows, rank_by),
        *one_seed(rows, rank_by),
    ]


def reference_note(references: References, rows: Sequence[Row]) -> list[str]:
    """Say in one sentence what the speeds of some rows are multiples of, and how far that moved while they ran."""
    own = [name for row in rows for name, metric in row.metrics.items() if metric.relative]
    known = {}
    for name, value in references.items():
        if name not in own:  # of other rows of this machine, which stand in another table
            continue
        style = style_of(name, rows)
        low, high = (style.number(end) for end in (value.low, value.high))
        known[name] = f"{name} {in_words(style, value.value)} ({low} to {high})"
    if not known:
        return []
    first = references[next(iter(known))]
    return [
        f"Speeds are ratios to the reference network {first.network}, multiplied by its own speed, which is the same "
        f"for all rows: {', '.join(known.values())}; the ranges are over {first.processes} processes"
        f"{f' of {first.runs} runs' if first.runs > 1 else ''}. Intervals cover this occasion only; another may "
        "differ by more."
        + " glibc's memory thresholds were fixed during the measurement."
        * any(row.steady_allocator for row in rows)
    ]


def one_seed(rows: Sequence[Row], rank_by: str) -> list[str]:
    """Say in one sentence, where models are ranked by one training each, that the ranks hold for these alone."""
    ranked = [row for row in rows if row.rank is not None]
    models = [row for row in ranked if not row.baseline]
    if len(ranked) < 2 or not models:
        return []
    single = sum(len(row.seeds) == 1 for row in models)
    if not single or not models[0].metrics[rank_by].of_weights:
        return []
    if single < len(models):
        return ["Where a row has one seed, its rank is that of one set of weights, not of the model."]
    return ["With one seed each, ranks compare sets of weights, not models."]


def _order_notes(rows: Sequence[Row], rank_by: str) -> list[str]:
    metric = next((row.metrics[rank_by] for row in rows if rank_by in row.metrics), None)
    if metric is None:
        return [f"Not ranked: no row has {rank_by}."]
    direction = f"{rank_by} ({metric.better} is better)"
    if rows[0].condition.partial:
        return [f"Partial results are never ranked; they are listed by {direction}."]
    if all(row.rank is None for row in rows):
        return [f"Not ranked: no row has a valid {rank_by}."]
    return [f"Ranked by {direction}{_images(rows, rank_by)}."]


def _range_notes(rows: Sequence[Row], rank_by: str, resolution: Resolution | None) -> list[str]:
    """Say what a range of ranks means here, and how small a difference these images can show."""
    ranked = [row for row in rows if row.rank is not None]
    ranges = any(row.rank != row.rank_last for row in ranked)
    style = style_of(rank_by, ranked)
    overlap = _other_rows([row.metrics[rank_by] for row in ranked])
    if resolution is None:
        return [f"Ranks are ranges; rows {overlap}."] if ranges else []
    notes = []
    if ranges:
        tests = f"{resolution.pairs:,} pair{'s' if resolution.pairs > 1 else ''}"
        notes.append(
            "Ranks are ranges: a row is below the rows that are significantly better and above those that are "
            f"significantly worse (paired tests on the same images, 5 % over {tests}, Holm)."
        )
    if resolution.models < len(ranked):
        notes.append(f"Rows without stored scores of the same images {overlap}.")
    seeds = _spread(ranked, rank_by)
    if resolution.gap is None:
        few = "with these seeds too few" if seeds else "too few"
        notes.append(f"{_kind(ranked).capitalize()} images: {resolution.images:,}, {few} to tell any two rows apart.")
    elif resolution.gap:
        sample = "images and seeds" if seeds else "images"
        smallest = threshold_in_words(style, resolution.gap) + f" of {rank_by}" * (style.unit == "%")
        notes.append(f"Smallest gap between neighbouring rows that these {sample} can resolve: {smallest}.")
    return notes


def _other_rows(metrics: Sequence[Metric]) -> str:
    """Say where rows differ that are not compared on the same images."""
    if any(metric.exact for metric in metrics):
        return "differ where their values do"
    known = [figure for figure in map(Processes.of, metrics) if figure]
    if not (known or any(moody(metric) for metric in metrics)):
        words = "differ where their 95 % intervals do not overlap"
        lacking = any(metric.low is None for metric in metrics)
        return words + "; those without one cannot be told apart" * lacking
    if len(known) < 2:
        return "cannot be told apart: they have no values of several processes"
    pairs, possible = int(comparable(known).sum()) // 2, math.comb(len(known), 2)
    why = _UNLIKE if len({figure.network for figure in known}) > 1 else _APART
    if not pairs:
        return f"cannot be told apart: {why}"
    over = f"5 % over {pairs:,} pair{'s' if pairs > 1 else ''}, Holm"
    words = (
        f"differ where the interval of their ratio lies beyond {100 * THRESHOLD:g} % (Welch's t over processes, {over})"
    )
    apart = pairs - int(in_turn(known).sum()) // 2
    between = next((each.between for each in known if each.between), None)
    if apart and between:
        words += (
            f"; those of different occasions beyond the {between.deviation:.1%} that these differ by here "
            f"(standard deviation, {between.figures} figures on {between.occasions} occasions)"
        )
    if pairs < possible:
        words += f"; others cannot be told apart: {why}"
    return words + "; those without values of several processes cannot be told apart" * (len(known) < len(metrics))


def _seed_notes(rows: Sequence[Row], rank_by: str) -> list[str]:
    seeds = {len(row.seeds) for row in rows}
    if max(seeds) < 2:
        return []
    count = f"{min(seeds - {0})}-{max(seeds)}" if len(seeds - {0}) > 1 else str(max(seeds))
    errors = (
        ": the interval is the sampling error of the images, the sd is the spread over seeds"
        if _spread(rows, rank_by)
        else ""
    )
    return [f"Quality is the mean over {count} seeds{errors}."]


def _spread(rows: Sequence[Row], rank_by: str) -> bool:
    return any(row.metrics[rank_by].spread is not None for row in rows if rank_by in row.metrics)


def _kind(rows: Sequence[Row]) -> str:
    """Return what the images are called that rows of one condition are judged on."""
    if any(row.out_of_fold for row in rows):
        return "held-out"
    return "test" if rows[0].condition.split == "test" else "validation"


def _images(rows: Sequence[Row], rank_by: str) -> str:
    """Say how many images a measure of quality rests on, where that is one number."""
    metrics = [row.metrics[rank_by] for row in rows if len(row.seeds) == 1 and rank_by in row.metrics]
    counts = {metric.n for metric in metrics if metric.taken_at == "quality" and not metric.machine_bound and metric.n}
    return f", on {counts.pop():,} {_kind(rows)} images" if len(counts) == 1 else ""
