"""A comparison in sentences: what differs, by how much, how sure that is, and what would resolve the rest.

Names stand in the sentences as they came: each format escapes all text that it takes from here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from vitbench.comparing.comparison import Comparison, outcome_of
from vitbench.comparing.conditions import Unlike
from vitbench.comparing.contrast import Contrast, Quality
from vitbench.comparing.speed_ratio import Compared, Speed
from vitbench.leaderboard.paired import PairedDifference
from vitbench.printable import rounded
from vitbench.report.metric_styles import (
    MetricStyle,
    gap_in_words,
    p_value,
    percent_decimals,
    signed,
    style_of,
    threshold_in_words,
)
from vitbench.report.terminal_text import few, marked_verdict

__all__ = ["called", "closing", "names_of", "notes", "verdict"]

_MOST_REASONS = 2
"""Remarks that are said of a measurement; the JSON gives all."""
_LONGEST_NAME = 40
"""Longer names would make no sentence."""


def names_of(comparison: Comparison, pair: Contrast) -> tuple[str, str]:
    """Return what sentences call the two: their names where these are short and differ, else A and B."""
    return called(comparison, pair.first.model, pair.second.model)


def called(comparison: Comparison, first: str, second: str) -> tuple[str, str]:
    """Return what sentences call two models, as `names_of` does."""
    names = first, second
    short = max(map(len, names)) <= _LONGEST_NAME
    return names if short and names[0] != names[1] and not comparison.folders else ("A", "B")


def notes(comparison: Comparison, pair: Contrast) -> list[str]:
    """Return what stands under a pair's table."""
    if pair.unlike:
        return list(_refusals(pair))
    first, second = names_of(comparison, pair)
    judged = next((quality for quality in pair.quality if quality.finding), None)
    found = [*_test_notes(judged, first, second), *_one_seed(pair, judged, first, second)] if judged else []
    untested = [
        quality.metric for quality in pair.quality if quality.has_value and not (quality.paired or quality.finding)
    ]
    if untested:
        found.append(f"{', '.join(untested)}: plain differences, not tested.")
    if pair.unlike_speed:
        found.append(f"Speed and memory depend on conditions that differ: {_differing(pair.unlike_speed)}.")
    if any(speed.ratio for speed in pair.speeds):
        found.append("Speeds: A and B are medians of their processes; B / A compares the processes' geometric means.")
    found += [f"{speed.reason}." for speed in pair.speeds if speed.reason and speed.finding != "not comparable"]
    found += [*_measured_notes(pair.speeds), *_mark_notes(pair)]
    return [*found, *(f"{each}." for each in pair.missing), *pair.notes]


def _refusals(pair: Contrast) -> Iterator[str]:
    """Say why a pair is not compared."""
    models = [each for each in pair.unlike if each.condition == "model"]
    conditions = [each for each in pair.unlike if each.condition != "model"]
    if conditions:
        yield f"Not compared, since conditions differ: {_differing(conditions)}."
    for each in models:
        yield f"Not compared, since these are two different models with the same name: A {each.first}, B {each.second}."
        if not conditions:
            yield "--model with that name compares them anyway."


def _differing(unlike: Sequence[Unlike]) -> str:
    return "; ".join(f"{each.condition.replace('_', ' ')} (A {each.first}, B {each.second})" for each in unlike)


def _test_notes(judged: Quality, first: str, second: str) -> Iterator[str]:
    """Say by what test the ranking metric is judged, and on how many images the two differ."""
    name, paired = judged.metric, judged.paired
    if "invalid" in (judged.first.verdict, judged.second.verdict):
        yield f"{name} is invalid and resolves nothing: {'; '.join((*judged.first.reasons, *judged.second.reasons))}."
    if judged.finding == "not comparable":
        return
    if paired is None:
        kinds = {judged.first.interval, judged.second.interval}
        if "range" in kinds:
            yield f"{name} is compared by the values of its processes."
        elif kinds != {None}:
            yield f"{name} is compared by 95 % intervals: scores of the same images are not stored."
        return
    if paired.alike:
        return
    if paired.split is not None:
        a, b, of = len(paired.split.first), len(paired.split.second), f"of {paired.images:,} images"
        agreement = f"{paired.split.agreement:.1%}"
        if paired.seeds == (1, 1):
            words = f"{first} alone is right on {a:,} {of}, {second} alone on {b:,}"
            yield f"{words}; on {agreement} both are right or both wrong."
        else:
            yield (
                f"{first} is right more often over its seeds on {a:,} {of}, {second} on {b:,}; "
                f"on {agreement} they are right equally often."
            )
    if paired.seeds == (1, 1):
        test = "McNemar's exact test and Tango's interval" if paired.split else "a paired t-test"
        yield f"{name}: {test}."
    else:
        a, b = paired.seeds
        yield f"{name}: means over {a} and {b} seeds; the test counts the errors of images and of seeds."


def _one_seed(pair: Contrast, judged: Quality, first: str, second: str) -> Iterator[str]:
    """Say where a result is that of one training of a model, and no more."""
    if judged.finding == "not comparable" or not judged.first.of_weights:
        return
    single = [len(row.seeds) == 1 and not row.baseline for row in (pair.first, pair.second)]
    if all(single):
        yield "One seed each: this compares two sets of weights, not two models; other seeds may differ."
    elif any(single):
        yield f"{first if single[0] else second} has one seed: it represents one set of weights, not the model."


def _measured_notes(speeds: Sequence[Speed]) -> Iterator[str]:
    for speed in speeds:
        if speed.measured:
            measured, remarks = speed.measured, few(speed.measured.reasons, _MOST_REASONS, "more remarks")
            counts = f"{measured.quads} quads in {measured.pairs} pairs of processes"
            yield "; ".join([f"{speed.metric} in turn: {counts}", *remarks]) + "."


def _mark_notes(pair: Contrast) -> Iterator[str]:
    """Name the metrics that are doubtful or invalid."""
    quality = [each for each in pair.quality if each.has_value or each.finding]
    compared: list[Compared] = [*quality, *pair.speeds, *pair.costs]
    verdicts = {each.metric: (each.first.verdict, each.second.verdict) for each in compared}
    for level in ("warn", "invalid"):
        marked = {
            name: [side for side, own in zip("AB", both, strict=True) if own == level]
            for name, both in verdicts.items()
        }
        places = ", ".join(f"{name} ({', '.join(sides)})" for name, sides in marked.items() if sides)
        if places:
            yield f"{marked_verdict(level)}: {places}; vitbench show says why."


def verdict(comparison: Comparison, pair: Contrast) -> list[str]:
    """Return what a pair comes to, in sentences."""
    names = names_of(comparison, pair)
    if any(each.condition != "model" for each in pair.unlike):
        return [f"{names[1]} cannot be compared with {names[0]} under different conditions."]
    if pair.unlike:
        return [f"{names[1]} is a different model from {names[0]}."]
    found = [sentence for quality in pair.quality if quality.finding for sentence in _of_quality(pair, quality, names)]
    found += _of_speeds(pair.speeds, names)
    if pair.missing:
        found.append("The rest cannot be judged because of what is missing.")
    return found or ["There is nothing to judge."]


def _of_quality(pair: Contrast, quality: Quality, names: tuple[str, str]) -> Iterator[str]:
    first, second = names
    paired, metric = quality.paired, quality.metric
    if quality.finding == "not comparable":
        yield f"Not comparable: {metric}."
        return
    difference = quality.difference
    if difference is None:
        yield f"{metric} has no value to compare."
        return
    style = style_of(metric, [pair.first, pair.second])
    decimals = percent_decimals([quality.first, quality.second])
    sure, size = _sure(style, quality, decimals), gap_in_words(style, difference, decimals)
    if quality.finding in ("better", "worse"):
        yield f"{second} is {quality.finding} than {first}: {size} of {metric}{sure}."
    elif quality.finding == "same":
        yield f"{metric} of both is the same" + (f" on each of {paired.images:,} images." if paired else ".")
    else:
        yield f"Whether {metric} differs is not resolved: {second} has {size} {_more(difference)}{sure}."
        if paired is not None and "invalid" not in (quality.first.verdict, quality.second.verdict):
            yield from _resolving(style, paired)


def _more(difference: float) -> str:
    return "more" if difference > 0 else "less" if difference < 0 else "difference"


def _sure(style: MetricStyle, quality: Quality, decimals: int) -> str:
    paired = quality.paired
    if paired is None:
        return ""
    words = f"p {p_value(paired.p_value)}"
    if paired.low is not None and paired.high is not None:
        low, high = (signed(style, end, decimals) for end in (paired.low, paired.high))
        words = f"95 % interval of the difference {low} to {high}, {words}"
    if quality.together > 1:
        words += f"; corrected over {quality.together} pairs: p up to {paired.level:.2g} counts"
    return f" ({words})"


def _resolving(style: MetricStyle, paired: PairedDifference) -> Iterator[str]:
    """Say what gap could be seen, and what would show this one."""
    images = f"These {paired.images:,} images"
    if paired.resolvable is None:
        yield f"{images} are too few to tell any two models apart."
        return
    smallest = threshold_in_words(style, paired.resolvable)
    if paired.of_seeds is None:
        words = f"{images} resolve gaps of {smallest} or more between models that disagree this often"
        if paired.needed and paired.needed > paired.images:
            words += f"; a true gap of the size seen would take about {_about(paired.needed)} images"
            words += " to be detected in nearly 80 % of cases"
        yield f"{words}."
        return
    share = threshold_in_words(style, paired.of_seeds)
    more = "more seeds" if 2 * paired.of_seeds**2 > paired.resolvable**2 else "a larger test set"
    yield f"{images} and seeds resolve gaps of {smallest} or more (the seeds alone: {share}); {more} would help most."


def _about(count: int) -> str:
    """Return a count to two digits."""
    digits = max(0, math.floor(math.log10(count)) - 1)
    return f"{round(count, -digits):,}"


def _of_speeds(speeds: Sequence[Speed], names: tuple[str, str]) -> Iterator[str]:
    first, second = names
    found: dict[str, list[Speed]] = defaultdict(list)
    for speed in speeds:
        found["open in turn" if speed.finding == "not resolved" and speed.measured else speed.finding].append(speed)
    listed = {finding: ", ".join(speed.metric for speed in some) for finding, some in found.items()}
    for finding, word in (("worse", "slower"), ("better", "faster")):
        if finding in found:
            yield f"{second} is {word} than {first}: {'; '.join(map(_ratio_in_words, found[finding]))}."
    if "same" in listed:
        yield f"{second} is as fast as {first} in {listed['same']}."
    if "not resolved" in listed:
        # Two versions of one model are not both installed.
        able = any(speed.cells and speed.cells[0].cell != speed.cells[1].cell for speed in found["not resolved"])
        advice = "; rerun with --measure" if able else ""
        yield f"Stored speeds cannot settle {listed['not resolved']}{advice}."
    if "open in turn" in listed:
        yield f"Not resolved even in turn: {listed['open in turn']}; a quieter machine (vitbench doctor) would help."
    if "not comparable" in listed:
        yield f"Not comparable: {listed['not comparable']}."
    if "no data" in listed:
        yield f"No data: {listed['no data']}."


def _ratio_in_words(speed: Speed) -> str:
    ratio = speed.measured.ratio if speed.measured else speed.ratio
    assert ratio is not None
    assert ratio.low is not None
    assert ratio.high is not None
    low, high = rounded(ratio.low), rounded(ratio.high)
    return f"{speed.metric} {rounded(ratio.value)} times (95 % interval {low} to {high})"


def closing(comparison: Comparison) -> str:
    """Return the last sentence: the outcome, and of several pairs how many have which."""
    last = f"Outcome: {comparison.outcome} (exit code {comparison.exit_code})."
    if len(comparison.pairs) + len(comparison.missing) < 2:
        return last
    several = len({pair.second.condition.dataset for pair in comparison.pairs}) > 1
    by_outcome: dict[str, list[str]] = {}
    for pair in comparison.pairs:
        place = (
            f" on {pair.second.condition.dataset.rpartition('/')[2]}"
            if several and pair.second.condition.dataset
            else ""
        )
        by_outcome.setdefault(outcome_of(pair), []).append(pair.second.model + place)
    counts = [f"{len(names)} {outcome} ({', '.join(names)})" for outcome, names in by_outcome.items()]
    counts += [f"{len(comparison.missing)} without a result"] if comparison.missing else []
    return f"{'; '.join(counts)}. {last}"
