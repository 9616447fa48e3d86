"""The core names none of the things that plugins give: settings.py does, and the modules of foreign formats."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import vitbench
from vitbench import settings
from vitbench.catalog import load_catalog
from vitbench.leaderboard import frames
from vitbench.report import csv_table

PACKAGE = Path(vitbench.__file__).parent
MAY_NAME = {
    "settings.py",
    "report/csv_table.py",  # timm's columns
    "pytest_plugin/benchmark.py",  # what pytest-benchmark stores beside its own figures
}
ORDINARY = {
    ("leaderboard/pretraining.py", "cifar"),  # what names of datasets begin with
    ("leaderboard/pretraining.py", "vtab"),
    *(
        (place, "score") for place in ("boards/statement.py", "planning/suite_file.py", "comparing/report_json.py")
    ),  # a key of suites
    ("report/board_sections.py", "score"),  # a column
    *((place, "score") for place in ("__init__.py", "api.py", "cli/__init__.py", "cli/score.py")),  # the command
    ("report/training_curves.py", "train_seconds"),  # a key of `FitRun.log`
    ("testing/subjects.py", "train_seconds"),
    ("training/clock.py", "train_seconds"),
    ("training/checkpoint.py", "params"),  # a key of other trainers' files
    ("training/loops.py", "params"),  # a key of torch's parameter groups
    ("training/setup.py", "params"),
    ("worker/evaluation.py", "evaluate"),  # a function
}
"""Words that mean something else where they stand."""


@cache
def names() -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that no text may begin with, and the short ones that no text may be."""
    catalog = load_catalog()
    metrics = [offer for offer in catalog.metrics.values() if offer.plugin.distribution == "vitbench"]
    others = {
        name
        for kind in (catalog.models, catalog.recipes, catalog.suites)
        for name, offer in kind.items()
        if offer.plugin.distribution == "vitbench" and not name.endswith("*")
    }
    whole = {offer.name for offer in metrics} | {each.name for offer in metrics for each in offer.spec.gives}
    return frozenset(whole | others), frozenset(name.partition("/")[2] for name in others)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module and their lines, docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.lineno, node.value


def is_name(text: str) -> bool:
    """Say whether a text is or begins with a name that a plugin gives, or is what such names begin with."""
    whole, short = names()
    word = re.match(r"[\w./-]*", text)
    assert word
    stem = text.endswith("_") and any(name.startswith(text) for name in whole)
    return word[0] in whole or text in short or stem


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("top1", True),
        ("throughput (images/s)", True),
        ("latency_", True),
        ("recipes/supervised", True),
        ("quick", True),
        ("metrics/top1", True),
        ("top10", False),
        ("vitbench.store", False),
        ("quick to say", False),
        ("", False),
    ],
)
def test_what_counts_as_a_name(text, named):
    assert is_name(text) is named


def test_the_core_names_no_metric_recipe_suite_or_model():
    found = [
        f"vitbench/{place}:{line}: {text!r}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if (place := path.relative_to(PACKAGE).as_posix()) not in MAY_NAME
        for line, text in texts(path)
        if is_name(text) and (place, text) not in ORDINARY
    ]
    assert not found, "take the name from vitbench.settings, or what is stored with the measurement"


def test_what_settings_name_is_there():
    catalog = load_catalog()
    measurements = {each.name: each for offer in catalog.metrics.values() for each in offer.spec.gives}
    assert {settings.SUITE, settings.SCORE_SUITE, settings.PICK_SUITE} <= set(catalog.suites)
    named = {settings.RECIPE, settings.PRETRAINED_RECIPE, settings.SCORE_RECIPE, settings.PROBE_RECIPE}
    assert named <= set(catalog.recipes)
    assert {settings.CONFUSION_FIGURE, settings.MISTAKES_FIGURE} <= set(catalog.figures)
    assert {settings.RANK_BY, settings.LATENCY_TAIL, *settings.LIVE_SPEEDS, *settings.AXES} <= set(measurements)


def test_the_fixed_columns_are_reserved():
    metrics = {"top1", "top5"}
    assert (
        {*csv_table._FIXED_COLUMNS, *csv_table.BOARD_COLUMNS} | set(frames.ROW_COLUMNS)
    ) - metrics == settings.RESERVED


def test_the_words_that_are_let_through_are_still_there():
    assert {(place, text) for place, word in ORDINARY for _, text in texts(PACKAGE / place) if text == word} == ORDINARY
