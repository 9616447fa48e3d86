"""The command that makes a row again: what its run was asked for, narrowed to the row's model, dataset and seeds."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

from vitbench.planning.command import command_line
from vitbench.planning.suite import Selection
from vitbench.records import KeyedCell, QualityCell, canonical_name
from vitbench.settings import SUITE

__all__ = ["Reproduction", "reproduction"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """How to make a row again."""

    command: str
    note: str
    """What the command needs beside itself."""
    suite_note: str = ""
    """Where the text of its suite is; for a page that shows it."""


def reproduction(
    planned: KeyedCell,
    seeds: Sequence[int],
    selection: str,
    suite: str,
    command: str,
    *,
    metrics: Collection[str] = (),
) -> Reproduction:
    """Return the command for one row.

    Args:
        planned: a cell of the row, a quality cell where it has one.
        seeds: of the row.
        selection: what the run that made the cell was asked for, as JSON; empty where it was not told.
        suite: the text of that run's suite; empty where it had none.
        command: that run's command line, which serves where there is no selection.
        metrics: that have options, by their short names.
    """
    if not selection:
        return Reproduction(command=command, note="The command of the whole run: earlier versions stored no more.")
    content = tomllib.loads(suite)
    asked = _narrowed(msgspec.json.decode(selection, type=Selection), planned, metrics)
    asked, shared = _without_budget(asked, planned, seeds, content)
    where = _needs(asked.suite, content)
    asked = msgspec.structs.replace(
        asked,
        # Without a suite, naming models and datasets means none; a run that had one was that of the usual suite.
        suite=asked.suite or (SUITE.partition("/")[2] if suite else ""),
        models=(_model(planned, content),),
        datasets=_datasets(planned) or asked.datasets,
        seeds=tuple(seeds),
        shard="",
    )
    return Reproduction(command=command_line(asked), note=shared, suite_note=where)


def _narrowed(selection: Selection, planned: KeyedCell, metrics: Collection[str]) -> Selection:
    """Return a selection without what one model on one dataset has no use for: vitbench refuses what nothing uses."""
    cell, data = planned.cell, planned.data
    used = {*(_names(cell.recipe) if isinstance(cell, QualityCell) else ()), *metrics}
    settings = {
        name: options
        for name, options in selection.settings.items()
        if name in used or name.partition("/")[2] in metrics
    }
    return msgspec.structs.replace(
        selection,
        settings=settings,
        data={name: path for name, path in selection.data.items() if data is None or name in _names(data.name)},
    )


def _names(full: str) -> tuple[str, str]:
    """Return the full and the short name."""
    return full, full.partition("/")[2]


def _model(planned: KeyedCell, suite: dict[str, object]) -> str:
    """Return what ``--model`` must be given: the suite's label, or the name with its options."""
    entries = suite.get("models", [])
    assert isinstance(entries, list)
    labels = {entry.get("label"): entry for entry in entries}
    label, cell = planned.label, planned.cell
    if needed := labels.get(label, {}).get("needs"):
        return canonical_name(label, {name: cell.options[name] for name in needed if name in cell.options}, {})
    if (label in labels and ":" not in label) or label.partition(":")[0] == cell.model:
        return label
    return canonical_name(cell.model, cell.options, {})


def _datasets(planned: KeyedCell) -> tuple[str, ...]:
    """Return what ``--dataset`` must be given; nothing for a speed cell."""
    if planned.data is None or not isinstance(planned.cell, QualityCell):
        return ()
    return (canonical_name(planned.data.name, planned.cell.dataset_options, {}),)


def _without_budget(
    asked: Selection, planned: KeyedCell, seeds: Sequence[int], suite: dict[str, object]
) -> tuple[Selection, str]:
    """Return a selection that takes the steps which a budget gave, and not the budget, which would give others.

    Where the recipe has no such option, the seeds had each their own, or the suite itself has the budget, it stays. The
    text says which of the two.
    """
    given, cell = planned.allotted, planned.cell
    if given is None:
        return asked, ""
    words = f"Its run shared the budget among several cells, and gave it {given.steps:,} steps"
    by_time = cell.recipe_options.get("by_time")
    if "steps" not in cell.recipe_options or by_time or len(seeds) != 1 or "budget" in suite:
        return asked, f"{words}; alone it would get others."
    name = next((name for name in asked.settings if name in _names(cell.recipe)), cell.recipe)
    settings = {**asked.settings, name: {**asked.settings.get(name, {}), "steps": given.steps}}
    conditions = msgspec.structs.replace(asked.conditions, budget=None)
    return msgspec.structs.replace(
        asked, settings=settings, conditions=conditions
    ), f"{words}, which this command takes."


def _needs(suite: str, content: dict[str, object]) -> str:
    if suite.endswith(".toml"):
        return f"{suite} must contain the suite given below."
    if suite or content:
        return f"The suite {content.get('name', suite)} is an installed one; its text at that time is given below."
    return ""
