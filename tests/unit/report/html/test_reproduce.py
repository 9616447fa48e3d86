"""The command that makes a row again, and that vitbench understands it as it is meant."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import factories
import msgspec
import pytest

import vitbench
from vitbench.catalog import load_catalog
from vitbench.cli import cli
from vitbench.errors import StoreError
from vitbench.planning.suite import Selection, expand
from vitbench.planning.suite_file import read_suite
from vitbench.report.html.reproduce import reproduction
from vitbench.running import session

SUITE = (
    'name = "quick"\nsummary = "s"\n[[models]]\nname = "scratch/vit"\nlabel = "vit-p2"\noptions = {patch_size = 2}\n'
)


def command(planned, text, suite=SUITE, seeds=(0,)) -> str:
    return reproduction(planned, seeds, text, suite).command


def test_a_runs_command_is_narrowed_to_the_row():
    planned = factories.quality_cell("vit-p2")
    text = (
        "vitbench run --suite quick --model a --model=b --dataset x --seed 7 --output /tmp/o --rerun all --quiet --json"
    )
    assert command(planned, text, seeds=(0, 3)) == (
        "vitbench run --suite quick --model vit-p2 --dataset digits --seed 0 --seed 3"
    )


def test_what_changes_numbers_is_kept():
    text = "vitbench run --suite quick --device cpu --epochs=3 --limit 0.5 --compile --batch-size 64 --threads 2"
    kept = command(factories.quality_cell("vit-p2"), text)
    assert kept.startswith(
        "vitbench run --suite quick --device cpu --epochs 3 --limit 0.5 --compile --batch-size 64 --threads 2 --model"
    )


def test_settings_and_paths_that_nothing_would_use_are_dropped():
    text = (
        "vitbench run --suite quick --set supervised.epochs=2 --set finetune.epochs=9 "
        "--data digits=/d --data other=/o --set recipes/supervised.lr=1"
    )
    kept = command(factories.quality_cell("vit-p2"), text)
    assert "--set supervised.epochs=2 --data digits=/d --set recipes/supervised.lr=1" in kept
    assert "finetune" not in kept
    assert "other" not in kept


def test_naming_models_and_data_does_not_lose_the_default_suite():
    planned = factories.quality_cell("vit-p2")
    assert command(planned, "vitbench run").startswith("vitbench run --suite quick --model")
    assert command(planned, "vitbench run --model m --dataset d", suite="").startswith("vitbench run --model")


def test_a_model_that_the_suite_gives_no_label_is_named_with_its_options():
    # Another run, with another suite, may have called it so.
    assert "--model scratch/vit-b:patch_size=4 --dataset" in command(factories.quality_cell("vit-b"), "vitbench run")


def test_a_label_that_looks_like_a_name_with_options_is_not_used():
    suite = '[[models]]\nname = "scratch/vit"\nlabel = "mine:new"\n'
    assert "--model scratch/mine:new:patch_size=4" in command(factories.quality_cell("mine:new"), "vitbench run", suite)


def test_speed_alone_keeps_the_runs_data_sets():
    text = "vitbench run --suite quick --dataset digits --data digits=/d --set supervised.epochs=2"
    assert command(factories.speed_cell("vit-p2"), text, seeds=()) == (
        "vitbench run --suite quick --dataset digits --data digits=/d --model vit-p2"
    )


PLUGIN = """import vitbench
from vitbench.specs import ModelSpec


@vitbench.hookimpl
def vitbench_models():
    return [ModelSpec(name="net", build="torch.nn:Identity", summary="For a test.")]
"""


@pytest.fixture
def asked(monkeypatch):
    """Return what a run would have been, and its stored command: a function of what starts it."""
    found: dict[str, Any] = {}

    def plan(suite, selection, *, plugins, strict_plugins, say):
        catalog = load_catalog(plugins)
        path = suite if suite and suite.endswith(".toml") else catalog.suite("quick").spec.path
        found.update(suite=suite, plugins=plugins, strict_plugins=strict_plugins, data=selection.data)
        found.update(cells=expand(read_suite(Path(path)), catalog, selection), conditions=selection.conditions)

    def execute(_, folder, **others):
        found.update(others, folder=folder)
        raise StoreError("no run here")

    monkeypatch.setattr(session, "plan", plan)
    monkeypatch.setattr(session, "execute", execute)

    def call(start: Callable[[], object]) -> tuple[dict[str, Any], str]:
        found.clear()
        with pytest.raises(StoreError, match="no run here"):
            start()
        return {name: value for name, value in found.items() if name != "command"}, found["command"]

    return call


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"suite": "quick"},
        {"suite": "mine.toml", "output": Path("my results"), "quiet": True},
        {"models": ["scratch/vit:depth=2,patch_size=2", "resnet18-w16"], "datasets": ["digits"]},
        {"models": ["vit-p4"], "datasets": ["mine"], "data": {"mine": Path("a b"), "digits": "/d"}},
        {"device": "cuda:1", "precision": "bfloat16", "threads": 3, "compile": True, "channels_last": True},
        {"seeds": [3, 0], "epochs": 2, "limit": 100},
        {"limit": 0.5},
        {"limit": 1.0},
        {"limit": 1e-05},
        {"batch_size": 64, "largest_batch": True},
        {"settings": {"supervised": {"lr": 1e-05, "augment": False, "epochs": 3}}},
        {"timeout": 2.5, "rerun": "failed", "strict_plugins": True},
        {"plugins": [Path("my_net.py")], "models": ["my_net/net"], "no_plugins": ["timm"]},
    ],
    ids=lambda arguments: ", ".join(arguments) or "nothing",
)
def test_a_run_from_python_keeps_the_command_that_asks_for_the_same(arguments, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_net.py").write_text(PLUGIN, encoding="utf-8")
    Path("mine.toml").write_text('datasets = ["digits"]\n' + SUITE, encoding="utf-8")
    from_python, text = asked(lambda: vitbench.run(**arguments))
    words = shlex.split(text)
    assert words[:2] == ["vitbench", "run"]
    from_shell, _ = asked(lambda: cli.commands["run"].main(words[2:], standalone_mode=False))
    assert from_shell == from_python


def test_a_row_of_a_run_from_python_keeps_what_the_run_was_given(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_net.py").write_text(PLUGIN, encoding="utf-8")
    given = {"plugins": ["my_net.py"], "no_plugins": ["timm"], "data": {"digits": "/d"}, "batch_size": 64}
    _, text = asked(lambda: vitbench.run(**given, largest_batch=True, quiet=True))
    assert command(factories.quality_cell("vit-p2"), text) == (
        "vitbench run --suite quick --plugin my_net.py --no-plugin timm --data digits=/d --batch-size 64 "
        "--largest-batch --model vit-p2 --dataset digits --seed 0"
    )


def test_a_run_whose_command_is_not_known_is_told_by_its_settings():
    planned = factories.quality_cell(
        "vit-p2", limit=100, epochs=2, recipe_options={"epochs": 2, "augment": False, "init": ""}, threads=2
    )
    found = reproduction(planned, (1,), "a script", SUITE)
    assert found.command == (
        "vitbench run --suite suite.toml --model vit-p2 --dataset digits --seed 1 --device cpu --precision float32 "
        "--threads 2 --limit 100 --epochs 2 --set recipes/supervised.augment=false --set recipes/supervised.epochs=2"
    )
    assert found.note.startswith("The run's own command is not known")
    assert "Save the suite below as suite.toml" in found.note


@pytest.mark.parametrize(
    ("text", "suite", "words"),
    [
        ("vitbench run", SUITE, "an installed one"),
        ("vitbench run --suite my/own.toml", SUITE, "my/own.toml must hold the suite"),
        ("vitbench run --model a --dataset b", "", ""),
    ],
    ids=["installed", "file", "none"],
)
def test_the_note_says_what_the_command_needs(text, suite, words):
    note = reproduction(factories.quality_cell("vit-p2"), (0,), text, suite).note
    assert words in note
    assert bool(note) == bool(words)


def test_names_of_any_kind_stay_one_word():
    label = 'a b\'; rm -rf "x" $(y)'
    words = shlex.split(command(factories.quality_cell(label), "vitbench run --suite quick"))
    assert words[words.index("--model") + 1] == f"scratch/{label}:patch_size=4"


def test_a_command_that_no_shell_would_take_counts_as_none():
    assert command(factories.quality_cell("vit-p2"), "vitbench run --suite it's").startswith(
        "vitbench run --suite suite.toml"
    )


def test_vitbench_understands_the_command_of_each_model_of_a_suite():
    catalog = load_catalog()
    path = Path(catalog.suite("quick").spec.path)
    suite = read_suite(path)
    whole = expand(suite, catalog, Selection())
    for label in {cell.model.label for cell in whole}:
        mine = [cell for cell in whole if cell.model.label == label]
        planned = factories.quality_cell(label)
        cell = msgspec.structs.replace(planned.cell, model=mine[0].model.name, options=mine[0].model.options)
        text = command(
            msgspec.structs.replace(planned, cell=cell), "vitbench run", suite=path.read_text(encoding="utf-8")
        )
        given = cli.commands["run"].make_context("run", shlex.split(text)[2:]).params
        selection = Selection(models=given["models"], datasets=given["datasets"], seeds=given["seeds"])
        assert expand(suite, catalog, selection) == mine
