"""What a pick prints: a sentence, the finalists with the Pareto front, who left and why, what would settle the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from vitbench.leaderboard.metric import Metric, metric_fields
from vitbench.leaderboard.paired import POWER
from vitbench.leaderboard.rows import Row
from vitbench.picking.answer import Answer, Final, Rival
from vitbench.picking.course import Course, Left
from vitbench.printable import plain
from vitbench.records import Level
from vitbench.report.causes import shared_cause
from vitbench.report.metric_styles import MetricStyle, gap_in_words, in_words, percent_decimals, style_of
from vitbench.report.terminal_text import MARKS, aligned, few, wrapped
from vitbench.settings import LATENCY, MEMORY, RANK_BY, SPEED

if TYPE_CHECKING:
    from vitbench.picking.pick import Picked

__all__ = ["pick_data", "pick_text", "sentence", "settling"]

SEEDS_MATTER = 20
"""Where a gap would need so many times the test images, a second training is likely to move it more."""
_MOST_CAUSES = 3
"""Reasons for a mark that are printed."""
STEPS = {"available": "not available", "timing": "speed", "race": "probe", "training": "training"}
"""What the steps are called at which candidates leave."""


def sentence(answer: Answer, course: Course) -> str:
    """Return the answer in one sentence: the pick, its accuracy with the interval, its speed, and how sure that is."""
    pick = answer.pick
    if pick is None:
        if not answer.finals:
            return "No pick: no finalist has a result."
        nearest = f"; the nearest: {answer.nearest}" if answer.nearest else ""
        return f"No pick: no finalist meets --want{nearest}."
    style = style_of(RANK_BY, [pick.row])
    decimals = percent_decimals([pick.accuracy])
    accuracy, interval = in_words(style, pick.outcomes.value, decimals), ""
    if pick.accuracy.low is not None and pick.accuracy.high is not None:
        low, high = (style.number(end, decimals) for end in (pick.accuracy.low, pick.accuracy.high))
        interval = f"95 % interval {low} to {high}, "
    words = f"Pick {pick.in_words}: {accuracy} {RANK_BY} ({interval}{pick.outcomes.size:,} test images)"
    if pick.speed is not None and pick.speed.value is not None:
        mark = " (doubtful)" * (pick.speed.verdict == "warn") + " (invalid)" * (pick.speed.verdict == "invalid")
        words += f", {in_words(style_of(SPEED, [pick.row]), pick.speed.value)}{mark}"
    return f"{words}; {_certainty(answer, course, style, decimals)}."


def _certainty(answer: Answer, course: Course, style: MetricStyle, decimals: int) -> str:
    told = [each.final.label for each in answer.rivals if each.resolved]
    level = [each for each in answer.rivals if not each.resolved]
    parts = []
    if told:
        parts.append(f"significantly better than {_listed(told)}")
    if level:
        parts.append(f"not told apart from {_listed([_gap(each, style, decimals) for each in level])}")
    if not answer.rivals:
        parts.append("the only finalist")
    behind = sum(each.worse and each.step == "race" for each in course.left)
    aside = [each for each in course.left if not each.worse and each.step != "available"]
    if behind:
        parts.append(f"{behind} other{'s were' if behind > 1 else ' was'} significantly behind in the race")
    if aside:
        parts.append(f"{len(aside)} {'were' if len(aside) > 1 else 'was'} set aside for lack of time")
    if answer.unsure:
        parts.append(f"it may not meet --want: {answer.unsure}")
    return ", ".join(parts)


def _gap(rival: Rival, style: MetricStyle, decimals: int) -> str:
    value = rival.difference.value
    ahead = f"{gap_in_words(style, value, decimals)} ahead" if value else "level"
    return f"{rival.final.label} ({ahead})"


def settling(answer: Answer, course: Course) -> list[str]:
    """Return what would settle what is left open, in sentences."""
    return [*_of_images(answer), *_of_time(course)]


def _of_images(answer: Answer) -> Iterator[str]:
    pick = answer.pick
    open_ = [each for each in answer.rivals if not each.resolved]
    if pick is None or not open_:
        return
    small = []
    for each in open_:
        pair = f"{pick.label} from {each.final.label}"
        needed = each.difference.needed
        if needed is None:
            yield f"{pick.label} and {each.final.label} are level on the test images: choose by speed."
            continue
        more = max(1, needed - each.difference.images)
        if needed > SEEDS_MATTER * each.difference.images:
            small.append(each)
        yield (
            f"About {_two_digits(more):,} more test images would tell {pair}, in {100 * POWER:.0f} % of cases, if they "
            "differ as much as here."
        )
    trained = [each.label for each in (pick, *(one.final for one in open_)) if each.steps]
    if trained:
        lead = "With such a small gap, another seed is more informative: " if small else ""
        names = list(dict.fromkeys(trained))
        yield (
            f"{lead}{_listed(names)} {'was' if len(names) == 1 else 'were'} trained once; a second seed of each "
            "shows whether the order is due to the models or to these trainings."
        )


def _of_time(course: Course) -> Iterator[str]:
    late = [each.name for each in course.left if not each.worse and each.step in ("timing", "race", "training")]
    if late:
        yield f"A larger --budget would also try {_listed(late)}; existing measurements are reused."


def _two_digits(count: int) -> int:
    """Return a number rounded up to two digits: an estimate, of which less would not do."""
    size = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // size) * size


def _listed(names: Sequence[str], most: int = 4) -> str:
    shown = [*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def pick_text(picked: Picked, *, unicode: bool = True) -> str:
    """Return all of it for a terminal of 100 columns."""
    answer, course = picked.answer, picked.course
    blocks = ["\n".join(wrapped(picked.sentence, unicode))]
    if answer.wanted:
        lines = [line for each in answer.wanted for line in wrapped(each, unicode, indent="- ", hang="  ")]
        blocks.append("\n".join(["The conditions of --want:", *lines]))
    if answer.finals:
        blocks.append(_finals(answer, unicode))
    if course.left:
        blocks.append("\n".join(["Not among the finalists:", *_leavers(course.left, unicode)]))
    if sentences := settling(answer, course):
        lines = [line for each in sentences for line in wrapped(each, unicode, indent="- ", hang="  ")]
        blocks.append("\n".join(["What would settle the rest:", *lines]))
    if course.remarks:
        lines = [line for each in course.remarks for line in wrapped(each, unicode, indent="- ", hang="  ")]
        blocks.append("\n".join(["Remarks:", *lines]))
    return "\n\n".join(blocks) + "\n"


def _finals(answer: Answer, unicode: bool) -> str:
    rows = [each.row for each in answer.finals]
    metrics = [name for name in (RANK_BY, SPEED, LATENCY, MEMORY) if any(name in row.metrics for row in rows)]
    styles = [style_of(name, rows) for name in metrics]
    decimals = percent_decimals([each.accuracy for each in answer.finals])
    head = ["", "finalist", "recipe", *(f"{style.title or style.metric} {style.unit}".strip() for style in styles)]
    body = [
        [
            "*" if each in answer.front else "",
            each.label,
            each.recipe + (f", {each.steps:,} steps" if each.steps else ""),
            *(_cell(each.row.metrics.get(style.metric), style, decimals) for style in styles),
        ]
        for each in answer.finals
    ]
    notes = ["* on the Pareto front of accuracy and speed."] if answer.front else [_without_front(rows)]
    notes += [f"{MARKS[level]} {_meaning(rows, metrics, level)}." for level in _marks(rows, metrics)]
    return "\n".join([aligned(head, body), *(line for note in notes for line in wrapped(note, unicode))])


def _without_front(rows: Sequence[Row]) -> str:
    """Say why there is no Pareto front, and what to do."""
    if not any(SPEED in row.metrics and row.metrics[SPEED].value is not None for row in rows):
        return "There is no Pareto front of accuracy and speed: no speed was measured."
    return (
        "There is no Pareto front of accuracy and speed: no speed is valid. `vitbench doctor` says what disturbs "
        "measurements on this machine; run the pick again with a new --output when the machine is quiet."
    )


def _marks(rows: Sequence[Row], metrics: Sequence[str]) -> list[Level]:
    """Return the verdicts that have a mark in the table."""
    found = {row.metrics[name].verdict for row in rows for name in metrics if name in row.metrics}
    return [level for level in MARKS if MARKS[level] and level in found]


def _meaning(rows: Sequence[Row], metrics: Sequence[str], level: Level) -> str:
    """Say what a mark means, and why the numbers have it: ``invalid, do not use the number: the times drift``."""
    marked = [row.metrics[name] for row in rows for name in metrics if name in row.metrics]
    causes = dict.fromkeys(
        cause.words if (cause := shared_cause([reason])) else reason
        for metric in marked
        if metric.verdict == level
        for reason in metric.reasons
    )
    meaning = "invalid, not to be relied on" if level == "invalid" else "doubtful, to be used with care"
    return f"{meaning}: {'; '.join(few(list(causes), _MOST_CAUSES)) or 'no reason given'}"


def _cell(metric: Metric | None, style: MetricStyle, decimals: int) -> str:
    if metric is None or metric.value is None:
        return "-"
    return MARKS[metric.verdict] + style.number(metric.value, decimals)


def _leavers(left: Sequence[Left], unicode: bool) -> Iterator[str]:
    alike: dict[tuple[object, ...], list[str]] = {}
    for each in left:  # many wait for the same reason
        alike.setdefault((each.worse, each.step, each.why), []).append(each.name)
    for (worse, step, why), names in alike.items():
        done = f"{'dropped' if worse else 'set aside'} ({STEPS[str(step)]})"
        yield from wrapped(f"{', '.join(names)}: {done}, {why}", unicode, indent="- ", hang="  ")


def pick_data(picked: Picked) -> dict[str, Any]:
    """Return all of it for programs, in base units."""
    answer, course = picked.answer, picked.course
    return {
        "schema": 1,
        "sentence": plain(picked.sentence),
        "wanted": list(answer.wanted),
        "pick": _final_data(answer.pick, answer) if answer.pick else None,
        "finalists": [_final_data(each, answer) for each in answer.finals],
        "rivals": [_rival_data(each) for each in answer.rivals],
        "left": [
            {"model": each.name, "step": each.step, "dropped": each.worse, "why": each.why} for each in course.left
        ],
        "looks": [
            {
                "labels": share,
                "images": seen.images,
                "level": seen.level,
                "accuracy": dict(seen.accuracy),
                "behind": {name: one.p_value for name, one in seen.behind.items()},
            }
            for share, seen in course.looks
        ],
        "settling": settling(answer, course),
        "remarks": list(course.remarks),
        "folder": str(picked.folder),
        "seconds": picked.seconds,
    }


def _final_data(final: Final, answer: Answer) -> dict[str, Any]:
    return {
        "model": final.label,
        "recipe": final.row.recipe,
        "steps": final.steps,
        "pareto": final in answer.front,
        "ids": list(final.row.ids),
        "metrics": {name: metric_fields(metric) for name, metric in final.row.metrics.items()},
    }


def _rival_data(rival: Rival) -> dict[str, Any]:
    difference = rival.difference
    return {
        "model": rival.final.label,
        "recipe": rival.final.row.recipe,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p_value": difference.p_value,
        "resolved": rival.resolved,
        "images_needed": difference.needed,
    }
