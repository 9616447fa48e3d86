"""The command that makes a row again, and that vitbench understands it as it is meant."""

from __future__ import annotations

import shlex
from pathlib import Path

import factories
import msgspec
import pytest

from vitbench.catalog import load_catalog
from vitbench.cli import cli
from vitbench.reproduce import reproduction
from vitbench.suite import Selection, expand
from vitbench.suite_file import read_suite

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


def test_a_run_from_python_is_told_by_its_settings():
    planned = factories.quality_cell(
        "vit-p2", limit=100, epochs=2, recipe_options={"epochs": 2, "augment": False, "init": ""}, threads=2
    )
    found = reproduction(planned, (1,), "vitbench.run()", SUITE)
    assert found.command == (
        "vitbench run --suite suite.toml --model vit-p2 --dataset digits --seed 1 --device cpu --precision float32 "
        "--threads 2 --limit 100 --epochs 2 --set recipes/supervised.augment=false --set recipes/supervised.epochs=2"
    )
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
