"""A leaderboard as JSON: the whole schema, with every field of a row, and text that is harmless ASCII."""

import json
from dataclasses import fields

import factories as f
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import COSTLY

from vitbench.leaderboard.leaderboard import Condition, Row, build
from vitbench.records import METHOD
from vitbench.report import render


def test_the_schema():
    records = [f.quality("vit", 340), *f.speed("vit"), f.record(f.quality_cell("b"), status="oom", reason="9 GiB")]
    board = json.loads(render(build(records, [f.speed_cell("c")], "top1"), "json"))
    assert list(board) == ["schema", "rank_by", "boards", "rows", "failed", "elsewhere", "sentences"]
    assert (board["schema"], board["rank_by"]) == (4, "top1")
    assert board["sentences"] == ["On digits, the only model is vit, with 94.4 % top1."]
    [row] = board["rows"]
    metrics = row.pop("metrics")
    assert row == {
        "rank": 1,
        "rank_last": 1,
        "tied_with": [],
        "model": "vit",
        "source": None,
        "dataset": "digits",
        "recipe": "recipes/supervised",
        "recipe_options": {},
        "image_size": 8,
        "pretrained_on": None,
        "licence": None,
        "normalisation": None,
        "passes": None,
        "device": "cpu",
        "precision": "float32",
        "machine": f.MACHINE,
        "conditions": {
            "threads": 1,
            "batch_size": 32,
            "train_batch_size": 32,
            "train_step": "adamw",
            "compile": "",
            "channels_last": False,
            "steady_allocator": False,
            "method": METHOD,
            "torch": "2.15.0",
            "cudnn": "",
            "variables": {},
            "limit": None,
            "epochs": None,
            "budget": None,
            "split": "test",
            "other_classes": 0,
            "head": "",
            "lineage": "",
            "fingerprint": f.data_info("digits").fingerprint,
        },
        "seeds": [0],
        "seeds_missing": [],
        "seed_devices": {"cpu": [0]},
        "seed_steps": [],
        "out_of_fold": False,
        "partial": False,
        "baseline": False,
        "pareto": {"speed": True, "speed_memory": True},
    }
    assert list(metrics["top1"]) == [
        *("value", "unit", "better", "low", "high", "interval", "spread", "n", "verdict", "reasons")
    ]
    assert [metrics[name]["interval"] for name in ("top1", "throughput", "nll")] == ["95%", "range", None]
    assert metrics["top1"]["spread"] is None
    assert metrics["peak_memory"]["value"] == 12 << 20
    assert metrics["top1"]["value"] == 340 / 360
    assert board["failed"] == [
        {"model": "b", "dataset": "digits", "kind": "quality", "status": "oom", "reason": "9 GiB"},
        {"model": "c", "dataset": "", "kind": "speed", "status": "pending", "reason": "not started"},
    ]


def test_every_field_of_a_row_is_told():
    [row] = json.loads(render(build([f.quality("vit", 340)], [], "top1"), "json"))["rows"]
    named = {field.name for kind in (Row, Condition) for field in fields(kind)}
    assert named - {*row, *row["conditions"]} == {
        *("apart", "condition", "ids", "label", "other_batches", "timing_variables")
    }
    keys = ["value", "unit", "better", "low", "high", "interval", "spread", "n", "verdict", "reasons"]
    assert list(row["metrics"]["top1"]) == keys  # programs read them


def test_options_ties_and_seeds_of_each_row_are_told():
    options = {"a": {"epochs": 100, "widths": (2, 3), "teacher": None}, "b": {"epochs": 3, "augment": True}}
    records = [f.quality(label, recipe_options=each) for label, each in options.items()]
    records += [f.quality("a", 346, seed=1, recipe_options=options["a"]), *f.speed("a")]
    lost = [f.quality_cell("a", seed=5, recipe_options=options["a"])]
    rows = json.loads(render(build(records, lost, "top1"), "json"))["rows"]
    assert {row["model"]: row["recipe_options"] for row in rows} == {
        "a": {"epochs": 100, "widths": [2, 3], "teacher": None},
        "b": {"epochs": 3, "augment": True},
    }
    first, second = rows
    assert [(row["rank"], row["rank_last"], row["tied_with"]) for row in rows] == [(1, 2, ["b"]), (1, 2, ["a"])]
    assert (first["seeds"], first["seeds_missing"], second["seeds_missing"]) == ([0, 1], [5], [])
    top1 = first["metrics"]["top1"]
    assert (top1["n"], top1["verdict"], top1["reasons"]) == (2, "warn", ["1 of 3 seeds has no result"])
    assert top1["spread"] == pytest.approx(6 / 360 / 2**0.5)
    assert [row["conditions"]["train_step"] for row in rows] == ["adamw", None]


def test_a_number_that_json_lacks_is_null():
    record = f.record(f.quality_cell(), [f.measurement("nll", float("nan"), verdict="invalid", reasons=["diverged"])])
    [row] = json.loads(render(build([record], [], "top1"), "json"))["rows"]
    assert (row["rank"], row["metrics"]["nll"]["value"], row["metrics"]["nll"]["reasons"]) == (None, None, ["diverged"])


@COSTLY
@given(st.text(min_size=1))
def test_any_name_comes_back_and_the_text_is_harmless_ascii(name):
    text = render(build([f.quality(name)], [], "top1"), "json")
    assert json.loads(text)["rows"][0]["model"] == name
    assert text.isascii()
    assert not [c for c in text if (ord(c) < 32 and c != "\n") or c == "\x7f"]
