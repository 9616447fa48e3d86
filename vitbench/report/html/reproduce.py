"""The command that makes a row again: that of its run, narrowed to the row's model, data set and seeds."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.records import KeyedCell, QualityCell, canonical_name

__all__ = ["Reproduction", "reproduction"]

_REPLACED = frozenset({"--model", "--dataset", "--seed"})
"""Options that the row answers by itself."""
_WITHOUT_PART = frozenset({"--output", "--rerun"})
"""Options that have no part in the numbers."""
_FLAGS_WITHOUT_PART = frozenset({"--quiet", "--json", "--dry-run"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """How to make a row again."""

    command: str
    note: str
    """What the command needs beside itself."""


def reproduction(planned: KeyedCell, seeds: Sequence[int], command: str, suite: str) -> Reproduction:
    """Return the command for one row.

    Args:
        planned: a cell of the row, a quality cell where it has one.
        seeds: of the row.
        command: the command line of the run that made the cell.
        suite: the text of that run's suite; empty where it had none.
    """
    words = _words(command)
    content = tomllib.loads(suite)
    chosen = ["--model", _model(planned, content)]
    chosen += ["--dataset", planned.data.name] if planned.data else []
    chosen += [word for seed in seeds for word in ("--seed", str(seed))]
    if words is None:
        head = ["vitbench", "run", *(["--suite", "suite.toml"] if suite else [])]
        note = "The run's own command is not known: this one is made of the row's settings."
        needs = " Save the suite below as suite.toml." if suite else ""
        return Reproduction(command=shlex.join([*head, *chosen, *_conditions(planned)]), note=note + needs)
    kept = _narrowed(words, planned)
    name = kept[kept.index("--suite") + 1] if "--suite" in kept else ""
    # Without a suite, naming models and data sets means none; a run that had one was that of "quick".
    head = ["vitbench", "run", *(["--suite", "quick"] if suite and not name else [])]
    return Reproduction(command=shlex.join([*head, *kept, *chosen]), note=_needs(name, content))


def _words(command: str) -> list[str] | None:
    """Return the arguments of ``vitbench run``, each ``--option=value`` as two; None for another command."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if words[:2] != ["vitbench", "run"]:
        return None
    return [part for word in words[2:] for part in (word.split("=", 1) if word.startswith("--") else [word])]


def _narrowed(words: Sequence[str], planned: KeyedCell) -> list[str]:
    """Return the arguments that still have a meaning for one model on one data set."""
    kept = []
    remaining = iter(words)
    for word in remaining:
        if word in _REPLACED or word in _WITHOUT_PART or word in ("--set", "--data"):
            value = next(remaining, "")
            if _applies(word, value, planned):
                kept += [word, value]
        elif word not in _FLAGS_WITHOUT_PART:
            kept.append(word)
    return kept


def _applies(option: str, value: str, planned: KeyedCell) -> bool:
    """Whether an option with a value is for this cell; vitbench refuses a setting that nothing uses."""
    cell, name = planned.cell, value.partition("=")[0]
    if option == "--set":
        recipe = cell.recipe if isinstance(cell, QualityCell) else ""
        return name.rpartition(".")[0] in (recipe, recipe.partition("/")[2])
    if option == "--data":
        return planned.data is None or name in (planned.data.name, planned.data.name.partition("/")[2])
    return option == "--dataset" and planned.data is None


def _model(planned: KeyedCell, suite: dict[str, object]) -> str:
    """Return what ``--model`` must be given: the suite's label, or the name with its options."""
    entries = suite.get("models", [])
    assert isinstance(entries, list)
    labels = {entry.get("label") for entry in entries}
    label, cell = planned.label, planned.cell
    if (label in labels and ":" not in label) or label.partition(":")[0] == cell.model:
        return label
    return canonical_name(cell.model, cell.options, {})


def _conditions(planned: KeyedCell) -> list[str]:
    """Return a cell's settings as options."""
    cell = planned.cell
    words = ["--device", planned.device, "--precision", cell.precision, "--threads", str(cell.threads)]
    words += ["--compile"] * cell.compile + ["--channels-last"] * cell.channels_last
    if isinstance(cell, QualityCell):
        words += ["--limit", str(cell.limit)] if cell.limit is not None else []
        words += ["--epochs", str(cell.epochs)] if cell.epochs is not None else []
        for name, value in sorted(cell.recipe_options.items()):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            words += ["--set", f"{cell.recipe}.{name}={text}"] if text else []
    return words


def _needs(suite: str, content: dict[str, object]) -> str:
    if suite.endswith(".toml"):
        return f"{suite} must hold the suite as it is given below."
    if suite or content:
        return f"The suite {content.get('name', suite)} is an installed one; its text at that time is given below."
    return ""
