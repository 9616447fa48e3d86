"""What tracking found, as text for 100 columns, as Markdown for a job's summary, as JSON. Names are text in each."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from vitbench.lockstep.outcome import ComparisonOutcome
from vitbench.report.markdown import escaped
from vitbench.report.terminal_text import broken, few, shown, wrapped
from vitbench.tracking.outcome import SideInfo, Tracked, TrackedModel

__all__ = ["as_json", "as_markdown", "as_text"]

_MODEL_WIDTH = 32
_MOST_REASONS = 2
"""Reasons that a note gives; the JSON gives all."""
_TITLES = ("model", "mode", "batch", "head / base", "95 % interval", "verdict")
_ALIGN = ("left", "left", "right", "right", "right", "left")
_ANSWERS: dict[ComparisonOutcome, str] = {
    "regressed": "Slower by more than {threshold:.1%}",
    "not comparable": "Different in more than speed, and not compared",
    "no data": "Without a measurement on both sides",
    "not resolved": "Not resolved, for noise or because the difference is near the threshold of {threshold:.1%}",
    "improved": "Nothing is slower; faster by more than {threshold:.1%}",
    "same": "No difference beyond {threshold:.1%}",
}
"""What a verdict says, before the names of the models that have it."""


def as_json(tracked: Tracked) -> str:
    """Return the JSON object that docs/tracking.md describes."""
    return msgspec.json.format(msgspec.json.encode(tracked), indent=2).decode()


def as_text(tracked: Tracked) -> str:
    """Return a table of at most 100 columns, its notes, and the answer in one sentence."""
    from tabulate import tabulate

    rows = [["\n".join(broken(shown(result.model), _MODEL_WIDTH)), *_cells(result)] for result in tracked.results]
    table = tabulate(rows, headers=_TITLES, colalign=_ALIGN, disable_numparse=True)
    lines = [line for words in _head(tracked) for line in wrapped(words, hang="  ")]
    notes = [line for note in _notes(tracked.results) for line in wrapped(note, hang="  ")]
    return "\n".join([*lines, "", table, "", *notes, *([""] if notes else []), *wrapped(_sentence(tracked), hang="  ")])


def as_markdown(tracked: Tracked) -> str:
    """Return a section for ``$GITHUB_STEP_SUMMARY``, ending with an empty line."""
    from tabulate import tabulate

    rows = [[escaped(result.model), *_cells(result)] for result in tracked.results]
    table = tabulate(rows, headers=_TITLES, tablefmt="pipe", colalign=_ALIGN, disable_numparse=True)
    head = "  \n".join(map(escaped, _head(tracked)))
    notes = "".join(f"- {escaped(note)}\n" for note in _notes(tracked.results))
    parts = [f"### vitbench track\n\n**{escaped(_sentence(tracked))}**", head, table, *([notes] if notes else [])]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n\n"


def _head(tracked: Tracked) -> list[str]:
    """Return what was compared, and under which conditions."""
    lines = [f"{label}: {_side(side)}" for label, side in (("base", tracked.base), ("head", tracked.head))]
    if tracked.machine:
        threads = f"{tracked.threads} thread{'s' if tracked.threads != 1 else ''}"
        lines.append(f"{tracked.machine}; {tracked.device}, {threads}")
    if any(result.mode == "training" for result in tracked.results):
        lines.append("training: forward, cross-entropy, backward, fused AdamW, whatever the recipe")
    return lines


def _side(side: SideInfo) -> str:
    software = [f"Python {side.python}"] if side.python else []
    software += [f"torch {side.versions['torch']}"] if "torch" in side.versions else []
    return ", ".join([side.title, *software])


def _cells(result: TrackedModel) -> tuple[str, ...]:
    ratio = "" if result.ratio is None else f"{result.ratio:.3f}"
    interval = "" if result.low is None or result.high is None else f"[{result.low:.3f}, {result.high:.3f}]"
    return result.mode, str(result.batch_size), ratio, interval, result.verdict


def _notes(results: Iterable[TrackedModel]) -> list[str]:
    """Return the reasons of each result that has some."""
    notes = []
    for result in results:
        reasons = "; ".join(few(result.reasons, _MOST_REASONS, "more (--json)"))
        if reasons:
            notes.append(f"{result.model}, {result.mode}: {reasons.rstrip('.')}.")
    return notes


def _sentence(tracked: Tracked) -> str:
    names = [f"{one.model} ({one.mode})" for one in tracked.results if one.verdict == tracked.verdict]
    return f"{_ANSWERS[tracked.verdict].format(threshold=tracked.threshold)}: {', '.join(names)}."
