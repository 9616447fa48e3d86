"""A suite file: TOML becomes a Suite, or one sentence that names the key which is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from vitbench.boards.board import SCORES
from vitbench.boards.statement import group_faults
from vitbench.durations import parse_duration
from vitbench.errors import UsageError, did_you_mean
from vitbench.files import read_file
from vitbench.findings.statements import Claim, faults
from vitbench.planning.suite import MOST_IMAGES, MOST_SEED, MOST_THREADS, ModelEntry, SpeedPlan, Suite

__all__ = ["parse_suite", "read_suite", "read_text"]

_MOST_BYTES = 16 * 2**20


LEAST_WINDOW, MOST_WINDOW = 2.0, 3600.0
"""Seconds: a shorter sustained window is no longer than a timing; a longer one is a mistake."""


def read_suite(path: Path) -> Suite:
    """Read a suite file; raises as `read_text` and `parse_suite` do."""
    return parse_suite(read_text(path), path)


def read_text(path: Path) -> str:
    """Return the text of a suite file.

    Raises:
        UsageError: it cannot be read, is not a file or is not text.
    """
    try:
        return read_file(path, most=_MOST_BYTES).decode()
    except OSError as error:
        raise UsageError(f"suite file {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"suite file {path} is not UTF-8 text.") from error


def parse_suite(text: str, path: Path) -> Suite:
    """Return the suite that a text is.

    Args:
        text: TOML.
        path: of its file, for messages.

    Raises:
        UsageError: it is not TOML (the line is named), or a key or value is wrong (its path is named).
    """
    import tomllib

    try:
        content = tomllib.loads(text)
        suite = msgspec.convert(content, Suite)
    except msgspec.ValidationError as error:
        raise UsageError(f"suite file {path}: {_explain(error)}") from error
    except ValueError as error:  # TOMLDecodeError, and of a number of thousands of digits
        raise UsageError(f"suite file {path} is not valid TOML: {error}.") from error
    except RecursionError as error:
        raise UsageError(f"suite file {path}: its tables or lists are nested too deeply.") from error
    _check(suite, path)
    return suite


def _check(suite: Suite, path: Path) -> None:
    """Check what types cannot say."""

    def fail(where: str, words: str) -> None:
        raise UsageError(f"suite file {path}: `{where}` {words}{'' if words.endswith('?') else '.'}")

    for name, values in (
        ("datasets", suite.datasets),
        ("seeds", suite.seeds),
        ("speed.batch_sizes", suite.speed.batch_sizes),
    ):
        repeated = _first_repeated(values)
        if repeated is not None:
            fail(name, f"holds {repeated!r} twice")
    if not suite.seeds:
        fail("seeds", "is empty; give at least one seed")
    if any(not 0 <= seed <= MOST_SEED for seed in suite.seeds):
        fail("seeds", f"must contain integers from 0 to {MOST_SEED}")
    if any(not 1 <= size <= MOST_IMAGES for size in suite.speed.batch_sizes):
        fail("speed.batch_sizes", f"must contain integers from 1 to {MOST_IMAGES}")
    window = suite.speed.sustained
    if window and not LEAST_WINDOW <= window <= MOST_WINDOW:
        fail("speed.sustained", f"must be {LEAST_WINDOW:g} to {MOST_WINDOW:g} seconds, or 0 for none; 20 is common")
    if suite.threads is not None and not 1 <= suite.threads <= MOST_THREADS:
        fail("threads", f"must be a whole number from 1 to {MOST_THREADS}")
    if suite.budget is not None:
        try:
            parse_duration(str(suite.budget))
        except ValueError as error:
            fail("budget", f"= {error}")
    labels = [entry.label for entry in suite.models if entry.label]
    repeated = _first_repeated(labels)
    if repeated is not None:
        fail("models", f"gives the label {repeated!r} to two models")
    for i, entry in enumerate(suite.models):
        if entry.needs and not entry.label:
            fail(f"models[{i}].label", "is missing; a model with `needs` is asked for by its label")
        if given := [name for name in entry.needs if name in entry.options]:
            fail(f"models[{i}].needs", f"names {given[0]!r}, which its options give already")
    for where, words in group_faults(suite.groups, suite.score, suite.datasets):
        fail(where, words)
    for where, words in faults(suite.claims, suite.models, suite.datasets):
        fail(where, words)


def _first_repeated(values: Iterable[Any]) -> Any:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def _explain(error: msgspec.ValidationError) -> str:
    """Turn msgspec's words into a sentence with the key's path, and a hint for an unknown key."""
    words, _, place = str(error).partition(" - at `$")
    words = words.replace(" | null", "").replace("`object`", "`table`")  # as TOML calls it, which has no null
    place = place.rstrip("`").lstrip(".")
    unknown = re.search(r"unknown field `([^`]*)`", words)
    if unknown:
        kinds: dict[str, type[msgspec.Struct]] = {"models": ModelEntry, "speed": SpeedPlan, "claims": Claim}
        kind = next((kind for name, kind in kinds.items() if place.startswith(name)), Suite)
        known = [item.name for item in msgspec.structs.fields(kind)]
        where = f"{place}.{unknown[1]}" if place else unknown[1]
        return f"unknown key `{where}`.{did_you_mean(unknown[1], known)} Known: {', '.join(known)}."
    if words.startswith("Invalid enum value") and place == "score":
        return f"unknown `score` {words.removeprefix('Invalid enum value ')}. Known: {', '.join(map(repr, SCORES))}."
    missing = re.search(r"missing required field `([^`]*)`", words)
    if missing:
        return f"the key `{f'{place}.' if place else ''}{missing[1]}` is missing."
    return f"`{place}`: {words[:1].lower()}{words[1:]}."
