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
from vitbench.catalog import load_catalog, select_plugins
from vitbench.cli import cli
from vitbench.errors import StoreError
from vitbench.planning.command import command_line
from vitbench.planning.expand import expand
from vitbench.planning.suite import Selection
from vitbench.planning.suite_file import read_suite
from vitbench.report.html.reproduce import reproduction

SUITE = (
    'name = "quick"\nsummary = "s"\n[[models]]\nname = "scratch/vit"\nlabel = "vit-p2"\noptions = {patch_size = 2}\n'
)


def command(planned, suite=SUITE, seeds=(0,), **selection) -> str:
    return reproduction(planned, seeds, asked_for(**selection), suite, "").command


def asked_for(**selection) -> str:
    """Return a stored selection."""
    return msgspec.json.encode(msgspec.convert(selection, Selection)).decode()


def test_a_runs_selection_is_narrowed_to_the_row():
    planned = factories.quality_cell("vit-p2")
    assert command(planned, seeds=(0, 3), suite=SUITE, models=("a", "b"), datasets=("x",)) == (
        "vitbench run --suite quick --model vit-p2 --dataset digits --seed 0 --seed 3"
    )


def test_what_changes_numbers_is_kept():
    conditions = {"device": "cpu", "epochs": 3, "limit": 0.5, "compile": True, "threads": 2}
    kept = command(factories.quality_cell("vit-p2"), batch_size=64, conditions=conditions)
    assert kept == (
        "vitbench run --suite quick --model vit-p2 --dataset digits --seed 0 --batch-size 64 "
        "--device cpu --threads 2 --limit 0.5 --epochs 3 --compile"
    )


def test_settings_and_paths_that_nothing_would_use_are_dropped():
    kept = command(
        factories.quality_cell("vit-p2"),
        settings={"supervised": {"epochs": 2}, "finetune": {"epochs": 9}, "recipes/supervised": {"lr": 1}},
        data={"digits": "/d", "other": "/o"},
    )
    assert "--data digits=/d" in kept
    assert "--set supervised.epochs=2 --set recipes/supervised.lr=1" in kept
    assert "finetune" not in kept
    assert "other" not in kept


def test_naming_models_and_data_does_not_lose_the_default_suite():
    planned = factories.quality_cell("vit-p2")
    assert command(planned).startswith("vitbench run --suite quick --model")
    assert command(planned, suite="", models=("m",), datasets=("d",)).startswith("vitbench run --model")


def test_a_model_that_the_suite_gives_no_label_is_named_with_its_options():
    # Another run, with another suite, may have called it so.
    assert "--model scratch/vit-b:patch_size=4 --dataset" in command(factories.quality_cell("vit-b"))


def test_a_label_that_looks_like_a_name_with_options_is_not_used():
    suite = '[[models]]\nname = "scratch/vit"\nlabel = "mine:new"\n'
    assert "--model scratch/mine:new:patch_size=4" in command(factories.quality_cell("mine:new"), suite)


def test_speed_alone_keeps_the_runs_datasets():
    found = command(
        factories.speed_cell("vit-p2"),
        seeds=(),
        datasets=("digits",),
        data={"digits": "/d"},
        settings={"supervised": {"epochs": 2}},
    )
    assert found == "vitbench run --suite quick --model vit-p2 --dataset digits --data digits=/d"


PLUGIN = """import vitbench
from vitbench.specs import ModelSpec


@vitbench.hookimpl
def vitbench_models():
    return [ModelSpec(name="net", build="torch.nn:Identity", summary="For a test.")]
"""


@pytest.fixture
def asked(monkeypatch):
    """Return what a run would have been, and the command that asks for it: a function of what starts it."""
    found: dict[str, Any] = {}

    def plan(selection, *, executor, strict_plugins, say):
        plugins = select_plugins(selection.plugins, selection.no_plugins)
        catalog = load_catalog(plugins)
        path = selection.suite if selection.suite.endswith(".toml") else catalog.suite("quick").spec.path
        found.update(plugins=plugins, strict_plugins=strict_plugins, selection=selection)
        found.update(cells=expand(read_suite(Path(path)), catalog, selection))
        raise StoreError("no run here")

    monkeypatch.setattr("vitbench.planning.plan.plan", plan)

    def call(start: Callable[[], object]) -> tuple[dict[str, Any], str]:
        found.clear()
        with pytest.raises(StoreError, match="no run here"):
            start()
        return dict(found), command_line(found["selection"])

    return call


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"suite": "quick"},
        {"suite": Path("mine.toml")},
        {"models": ["scratch/vit:depth=2,patch_size=2", "resnet18-w16"], "datasets": ["digits"]},
        {"models": ["vit-p4"], "datasets": ["mine"], "data": {"mine": Path("a b"), "digits": "/d"}},
        {"device": "cuda:1", "precision": "bfloat16", "threads": 3, "compile": True, "channels_last": True},
        {"seeds": [3, 0], "epochs": 2, "limit": 100},
        {"limit": 0.5},
        {"limit": 1.0},
        {"limit": 1e-05},
        {"batch_size": 64, "largest_batch": True},
        {"settings": {"supervised": {"lr": 1e-05, "augment": False, "epochs": 3}}},
        {"plugins": [Path("my_net.py")], "models": ["my_net/net"], "no_plugins": ["timm"]},
    ],
    ids=lambda arguments: ", ".join(arguments) or "nothing",
)
def test_a_selection_from_python_is_written_as_the_command_that_asks_for_it(arguments, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_net.py").write_text(PLUGIN, encoding="utf-8")
    Path("mine.toml").write_text('datasets = ["digits"]\n' + SUITE, encoding="utf-8")
    from_python, text = asked(lambda: vitbench.run(**arguments))
    words = shlex.split(text)
    assert words[:2] == ["vitbench", "run"]
    from_shell, again = asked(lambda: cli.main(words[1:], standalone_mode=False))
    assert again == text
    assert from_shell["cells"] == from_python["cells"]
    assert from_shell["plugins"] == from_python["plugins"]


def test_a_run_of_a_store_without_selections_is_told_by_its_own_command():
    found = reproduction(factories.quality_cell("vit-p2"), (1,), "", SUITE, "vitbench run --suite quick --seed 1")
    assert found.command == "vitbench run --suite quick --seed 1"
    assert found.note.startswith("The command of the whole run")


@pytest.mark.parametrize(
    ("selection", "suite", "words"),
    [
        ({}, SUITE, "an installed one"),
        ({"suite": "my/own.toml"}, SUITE, "my/own.toml must hold the suite"),
        ({"models": ["a"], "datasets": ["b"]}, "", ""),
    ],
    ids=["installed", "file", "none"],
)
def test_the_note_says_what_the_command_needs(selection, suite, words):
    note = reproduction(factories.quality_cell("vit-p2"), (0,), asked_for(**selection), suite, "").note
    assert words in note
    assert bool(note) == bool(words)


def test_names_of_any_kind_stay_one_word():
    label = 'a b\'; rm -rf "x" $(y)'
    words = shlex.split(command(factories.quality_cell(label)))
    assert words[words.index("--model") + 1] == f"scratch/{label}:patch_size=4"


def test_vitbench_understands_the_command_of_each_model_of_a_suite():
    catalog = load_catalog()
    path = Path(catalog.suite("quick").spec.path)
    suite = read_suite(path)
    whole = expand(suite, catalog, Selection())
    for label in {cell.model.label for cell in whole}:
        mine = [cell for cell in whole if cell.model.label == label]
        planned = factories.quality_cell(label)
        cell = msgspec.structs.replace(planned.cell, model=mine[0].model.name, options=mine[0].model.options)
        text = command(msgspec.structs.replace(planned, cell=cell), path.read_text(encoding="utf-8"))
        # click keeps a command's help option, as this first context has it.
        context = cli.commands["run"].make_context("run", shlex.split(text)[2:], **cli.context_settings)
        given = context.params
        selection = Selection(models=given["models"], datasets=given["datasets"], seeds=given["seeds"])
        assert expand(suite, catalog, selection) == mine
