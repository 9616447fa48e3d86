"""Cells hash to the same id everywhere, each thing that was asked is in it, and records survive a round trip."""

from __future__ import annotations

import subprocess
import sys

import factories
import msgspec
import pytest

from vitbench.catalog.options import complete_options, parse_model
from vitbench.catalog.provenance import key_of
from vitbench.records import (
    Head,
    Measurement,
    PluginOrigin,
    Provenance,
    QualityCell,
    Record,
    SpeedCell,
    Verdict,
    canonical_name,
    doubt,
    id_of,
    interval_of,
)
from vitbench.specs import Option

QUALITY = QualityCell(
    model="scratch/vit",
    options={"patch_size": 4, "dropout": 0.1},
    recipe="recipes/supervised",
    recipe_options={"epochs": 20},
    dataset="datasets/digits",
    seed=0,
    threads=1,
)
SPEED = SpeedCell(
    model="scratch/vit",
    options={"patch_size": 4},
    num_classes=10,
    input_shape=(1, 8, 8),
    device="cpu",
    threads=1,
    batch_size=32,
    mode="inference",
    machine="a machine",
)
QUALITY_ID = "59a83314dc3a5980"
SPEED_ID = "057f33f1cc3c5aac"


def test_an_id_is_the_same_in_every_version_and_process() -> None:
    """A change here orphans every stored result: it needs a new SCHEMA and a line in the changelog."""
    assert id_of(QUALITY) == QUALITY_ID
    assert id_of(SPEED) == SPEED_ID


@pytest.mark.process
def test_an_id_does_not_depend_on_the_hash_seed() -> None:
    script = (
        "from vitbench.records import QualityCell, id_of\n"
        "print(id_of(QualityCell(model='scratch/vit', options={'dropout': 0.1, 'patch_size': 4}, threads=1, seed=0,\n"
        "    recipe='recipes/supervised', recipe_options={'epochs': 20}, dataset='datasets/digits')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert done.stdout.strip() == QUALITY_ID


@pytest.mark.parametrize(
    "change",
    [
        {"model": "scratch/resnet18"},
        {"options": {"patch_size": 2, "dropout": 0.1}},
        {"options": {"patch_size": 4}},
        {"recipe": "recipes/finetune"},
        {"recipe_options": {"epochs": 21}},
        {"dataset": "datasets/cifar10"},
        {"dataset_options": {"fold": 2}},
        {"seed": 1},
        {"precision": "bfloat16"},
        {"threads": 2},
        {"limit": 100},
        {"limit": 0.5},
        {"epochs": 1},
        {"budget": 60.0},
        {"split": "val"},
        {"compile": "default"},
        {"channels_last": True},
        {"variables": {"ATEN_CPU_CAPABILITY": "default"}},
    ],
)
def test_whatever_is_asked_of_a_quality_cell_changes_its_id(change: dict[str, object]) -> None:
    assert id_of(msgspec.structs.replace(QUALITY, **change)) != QUALITY_ID


@pytest.mark.parametrize(
    "change",
    [
        {"model": "scratch/resnet18"},
        {"options": {}},
        {"num_classes": 100},
        {"input_shape": (3, 8, 8)},
        {"device": "cuda:0"},
        {"precision": "bfloat16"},
        {"threads": 2},
        {"batch_size": 1},
        {"mode": "training"},
        {"machine": "another"},
        {"compile": "default"},
        {"channels_last": True},
        {"largest_batch": True},
        {"sustained": 20.0},
        {"recipe": "recipes/supervised"},
        {"recipe_options": {"lr": 0.1}},
        {"variables": {"ATEN_CPU_CAPABILITY": "default"}},
        {"timing_variables": {"OMP_WAIT_POLICY": "passive"}},
    ],
)
def test_whatever_is_asked_of_a_speed_cell_changes_its_id(change: dict[str, object]) -> None:
    assert id_of(msgspec.structs.replace(SPEED, **change)) != SPEED_ID


def test_every_field_of_a_cell_was_tried_above() -> None:
    assert {field.name for field in msgspec.structs.fields(QualityCell)} == {
        *(
            "model",
            "options",
            "recipe",
            "recipe_options",
            "dataset",
            "dataset_options",
            "seed",
            "precision",
            "threads",
            "limit",
        ),
        *("epochs", "budget", "compile", "channels_last", "variables", "split"),
    }
    assert {field.name for field in msgspec.structs.fields(SpeedCell)} == {
        *("model", "options", "num_classes", "input_shape", "device", "precision", "threads", "batch_size", "mode"),
        *("machine", "compile", "channels_last", "largest_batch", "sustained", "recipe"),
        *("recipe_options", "variables", "timing_variables"),
    }


def test_the_order_of_options_does_not_change_an_id() -> None:
    turned = msgspec.structs.replace(QUALITY, options=dict(reversed(QUALITY.options.items())))
    assert list(turned.options) != list(QUALITY.options)
    assert id_of(turned) == QUALITY_ID


@pytest.mark.parametrize(
    "change",
    [
        {"model": PluginOrigin(plugin="scratch", distribution="vitbench", version="0.1.0", code_hash="new")},
        {"recipe": PluginOrigin(plugin="recipes", distribution="vitbench", version="0.1.0", code_hash="new")},
        {"dataset": PluginOrigin(plugin="datasets", distribution="vitbench", version="0.1.0", code_hash="new")},
        {"data_fingerprint": "f"},
        {"files": {"model.checkpoint": "c"}},
        {"others": (PluginOrigin(plugin="p", distribution="d", version="1", code_hash="c"),)},
        {"libraries": {"timm": "1"}},
        {"recipe_libraries": {"transformers": "1"}},
        {"torch": "2.15.0+cu130"},
        {"software": {"pillow": "13.0.1"}},
        {"vitbench": "a hash"},
        {"method": 9},
    ],
)
def test_whatever_a_cell_is_made_of_changes_its_key(change: dict[str, object]) -> None:
    provenance: Provenance = factories.quality_cell().provenance
    changed = msgspec.structs.replace(provenance, **change)
    assert key_of(QUALITY_ID, changed) != key_of(QUALITY_ID, provenance)


def test_every_part_of_what_a_cell_is_made_of_was_tried_above() -> None:
    assert {field.name for field in msgspec.structs.fields(Provenance)} == {
        *("model", "recipe", "dataset", "others", "data_fingerprint", "files", "libraries", "recipe_libraries"),
        *("torch", "software", "vitbench", "method"),
    }


@pytest.mark.parametrize(("limit", "epochs", "partial"), [(None, None, False), (100, None, True), (None, 1, True)])
def test_a_limit_or_an_override_of_epochs_makes_a_cell_partial(
    limit: int | None, epochs: int | None, partial: bool
) -> None:
    assert msgspec.structs.replace(QUALITY, limit=limit, epochs=epochs).partial is partial


def test_records_survive_a_round_trip() -> None:
    for record in [factories.quality(), *factories.speed(), factories.record(factories.speed_cell(), status="oom")]:
        assert msgspec.json.decode(msgspec.json.encode(record), type=Record) == record


@pytest.mark.parametrize(
    "made", [QUALITY, SPEED, factories.data_info(), factories.quality_cell(), factories.quality()], ids=type
)
def test_an_unknown_field_is_refused(made: object) -> None:
    content = {**msgspec.to_builtins(made), "colour": "red"}
    with pytest.raises(msgspec.ValidationError, match="unknown field `colour`"):
        msgspec.convert(content, type(made))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"depth": 6, "patch_size": 4, "frozen": True, "head": ""}, "scratch/vit"),
        ({"depth": 6, "patch_size": 2, "frozen": True, "head": ""}, "scratch/vit:patch_size=2"),
        ({"patch_size": 2, "depth": 8, "frozen": True, "head": ""}, "scratch/vit:depth=8,patch_size=2"),
        ({"depth": 6, "patch_size": 4, "frozen": False, "head": "own"}, "scratch/vit:frozen=false,head=own"),
    ],
)
def test_a_canonical_name_holds_the_changed_options_sorted_and_reads_back(
    options: dict[str, object], name: str
) -> None:
    defaults = {"depth": 6, "patch_size": 4, "frozen": True, "head": ""}
    assert canonical_name("scratch/vit", options, defaults) == name
    read, given = parse_model(name)
    assert read == "scratch/vit"
    assert complete_options("model", {name: Option(value) for name, value in defaults.items()}, given) == options


@pytest.mark.parametrize(
    ("distribution", "version", "words"),
    [
        ("vitbench-mine", "1.2", "plugin mine of vitbench-mine 1.2, code 0123456789ab"),
        ("mine.py", "", "plugin mine of mine.py, code 0123456789ab"),
    ],
)
def test_an_origin_in_words_has_no_gap_where_there_is_no_version(distribution: str, version: str, words: str) -> None:
    origin = PluginOrigin(plugin="mine", distribution=distribution, version=version, code_hash="0123456789abcdef")
    assert origin.in_words == words


def test_a_cell_in_words() -> None:
    assert factories.quality_cell("vit", seed=3).in_words == "vit on digits, supervised, seed 3"
    single = factories.speed_cell("vit", batch_size=1, mode="training")
    assert single.in_words == "vit, training, batch 1 of 1x8x8"
    by_recipe = factories.speed_cell("vit", mode="training", recipe="recipes/finetune")
    assert by_recipe.in_words == "vit, training (finetune), batch 32 of 1x8x8"
    searched = factories.speed_cell("vit", batch_size=8, largest_batch=True)
    assert searched.in_words == "vit, inference, largest batch of 1x8x8"


@pytest.mark.parametrize(
    ("head", "words", "groups"),
    [
        (Head(outputs=4), "", ()),
        (Head(outputs=2, of_classes=((1,), (0,))), "", ((1,), (0,))),
        (Head(outputs=4000, of_classes=((1,), (0,))), "2 of the head's 4,000 classes", ((1,), (0,))),
        (Head(outputs=4, of_classes=((1, 2), (0,))), "3 of the head's 4 classes, merged into 2", ((1, 2), (0,))),
        (Head(outputs=3, of_classes=((1, 2), (0,))), "3 of the head's 3 classes, merged into 2", ((1, 2), (0,))),
        (Head(outputs=3, of_classes=((1,),), others=("a", "b")), "all of the head's 3 classes", ((1,), (0,), (2,))),
        (
            Head(outputs=3, of_classes=((1, 2),), others=("a",)),
            "all of the head's 3 classes, 2 of them merged into 1",
            ((1, 2), (0,)),
        ),
    ],
)
def test_a_head_says_what_a_model_is_scored_on(head: Head, words: str, groups: tuple[tuple[int, ...], ...]) -> None:
    assert (head.in_words, head.groups) == (words, groups)
    planned = factories.quality_cell("vit", head=head)
    assert planned.outputs == head.outputs
    assert planned.class_names == (*factories.data_info().class_names, *head.others)


@pytest.mark.parametrize(
    ("mode", "recipe", "step"),
    [("training", "zoo/sam", "zoo/sam"), ("training", "", "adamw"), ("inference", "", None)],
)
def test_a_speed_cell_says_whose_training_step_it_times(mode: str, recipe: str, step: str | None) -> None:
    cell = factories.speed_cell(mode=mode, recipe=recipe).cell
    assert isinstance(cell, SpeedCell)
    assert cell.train_step == step


def test_doubts_lower_a_verdict_and_leave_what_is_exact() -> None:
    given = [
        Measurement(name="speed", value=1.0, verdict=Verdict(level="warn", reasons=("noise",))),
        Measurement(name="broken", value=1.0, verdict=Verdict(level="invalid")),
        Measurement(name="parameters", value=1.0, exact=True),
    ]
    assert doubt(given, "invalid", []) == tuple(given)
    speed, broken, parameters = doubt(given, "warn", ["it keeps results", "noise"])
    assert speed.verdict == Verdict(level="warn", reasons=("noise", "it keeps results"))
    assert broken.verdict.level == "invalid"
    assert parameters == given[2]
    assert doubt(given, "invalid", ["it keeps results"])[0].verdict.level == "invalid"


@pytest.mark.parametrize(
    ("low", "high", "processes", "kind"),
    [
        (1.0, 3.0, (3.0, 1.0, 2.0), "range"),
        (0.5, 3.0, (3.0, 1.0, 2.0), "95%"),
        (1.0, 1.0, (1.0, 1.0), "range"),
        (1.0, 3.0, (), "95%"),
        (None, None, (1.0, 1.0), None),
        (1.0, None, (), None),
    ],
)
def test_an_interval_is_the_range_of_the_processes_or_of_95_percent(low, high, processes, kind):
    assert interval_of(low, high, processes) == kind
    assert Measurement(name="x", value=1.0, low=low, high=high, processes=processes).interval == kind
