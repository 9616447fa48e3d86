"""The command that makes a row again, and that vitbench understands it as it is meant."""

from __future__ import annotations

import shlex
from pathlib import Path

import factories
import msgspec
import pytest

from vitbench.catalog import load_catalog
from vitbench.cli import cli
from vitbench.planning.expand import expand
from vitbench.planning.suite import Selection
from vitbench.planning.suite_file import read_suite
from vitbench.records import Allotted
from vitbench.report.reproduction import reproduction

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


def test_naming_models_and_data_does_not_lose_the_default_suite():
    planned = factories.quality_cell("vit-p2")
    assert command(planned).startswith("vitbench run --suite quick --model")
    assert command(planned, suite="", models=("m",), datasets=("d",)).startswith("vitbench run --model")


def test_speed_alone_keeps_the_runs_datasets():
    found = command(
        factories.speed_cell("vit-p2"),
        seeds=(),
        datasets=("digits",),
        data={"digits": "/d"},
        settings={"supervised": {"epochs": 2}},
    )
    assert found == "vitbench run --suite quick --model vit-p2 --dataset digits --data digits=/d"


def test_what_changes_numbers_is_kept():
    conditions = {"device": "cpu", "epochs": 3, "limit": 0.5, "compile": "default", "threads": 2}
    kept = command(factories.quality_cell("vit-p2"), batch_size=64, conditions=conditions)
    assert kept == (
        "vitbench run --suite quick --model vit-p2 --dataset digits --seed 0 --batch-size 64 "
        "--device cpu --threads 2 --limit 0.5 --epochs 3 --compile"
    )


def test_options_of_the_data_are_said():
    cell = factories.quality_cell("vit-p2")
    options = {"fold": 2, "grays": (0, 255), "index": ""}
    planned = msgspec.structs.replace(cell, cell=msgspec.structs.replace(cell.cell, dataset_options=options))
    found = shlex.split(command(planned, datasets=["a", "b"], data={"digits": "/d"}))
    assert found[found.index("--dataset") + 1] == "digits:fold=2,grays=0,255,index="
    assert found[found.index("--data") + 1] == "digits=/d"


def test_of_a_budget_the_steps_are_kept_that_it_gave_where_the_recipe_takes_steps():
    given = Allotted(steps=123, planned_steps=130, step_seconds=0.1, seconds=13.0)
    planned = msgspec.structs.replace(factories.quality_cell("vit-p2", recipe_options={"steps": 0}), allotted=given)
    asked = {"settings": {"supervised": {"epochs": 9}}, "conditions": {"budget": 90.0}}
    found = reproduction(planned, (0,), asked_for(**asked), SUITE, "")
    assert found.command.endswith("--seed 0 --set supervised.epochs=9 --set supervised.steps=123")
    assert found.note.endswith("gave it 123 steps, which this command takes.")
    several = reproduction(planned, (0, 1), asked_for(**asked), SUITE, "")
    assert several.command.endswith("--budget 90s --set supervised.epochs=9")
    assert several.note.endswith("gave it 123 steps; alone it would get others.")


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


def test_options_of_metrics_that_the_row_has_are_kept():
    settings = {name: {"level": 0.5} for name in ("time", "m/time", "other")}
    stored = asked_for(settings=settings)
    kept = reproduction(factories.quality_cell("vit-p2"), (0,), stored, SUITE, "", metrics={"time"}).command
    assert kept.endswith("--set time.level=0.5 --set m/time.level=0.5")


def test_a_model_that_the_suite_gives_no_label_is_named_with_its_options():
    """Another run, with another suite, may have called it so."""
    assert "--model scratch/vit-b:patch_size=4 --dataset" in command(factories.quality_cell("vit-b"))


def test_a_label_that_looks_like_a_name_with_options_is_not_used():
    suite = '[[models]]\nname = "scratch/vit"\nlabel = "mine:new"\n'
    assert "--model scratch/mine:new:patch_size=4" in command(factories.quality_cell("mine:new"), suite)


def test_a_label_that_needs_something_is_given_it():
    suite = SUITE + 'needs = ["checkpoint"]\n'
    planned = factories.quality_cell("vit-p2", options={"patch_size": 2, "checkpoint": "/my weights.pt"})
    found = shlex.split(command(planned, suite))
    assert found[found.index("--model") + 1] == "vit-p2:checkpoint=/my weights.pt"


def test_a_run_of_a_store_without_selections_is_told_by_its_own_command():
    found = reproduction(factories.quality_cell("vit-p2"), (1,), "", SUITE, "vitbench run --suite quick --seed 1")
    assert found.command == "vitbench run --suite quick --seed 1"
    assert found.note.startswith("The command of the whole run")


@pytest.mark.parametrize(
    ("selection", "suite", "words"),
    [
        ({}, SUITE, "an installed one"),
        ({"suite": "my/own.toml"}, SUITE, "my/own.toml must contain the suite"),
        ({"models": ["a"], "datasets": ["b"]}, "", ""),
    ],
    ids=["installed", "file", "none"],
)
def test_the_note_says_what_the_command_needs(selection, suite, words):
    note = reproduction(factories.quality_cell("vit-p2"), (0,), asked_for(**selection), suite, "").suite_note
    assert words in note
    assert bool(note) == bool(words)


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
        vitbench = cli.make_context("vitbench", ["run"])
        given = cli.commands["run"].make_context("run", shlex.split(text)[2:], parent=vitbench).params
        selection = Selection(models=given["models"], datasets=given["datasets"], seeds=given["seeds"])
        assert expand(suite, catalog, selection) == mine
