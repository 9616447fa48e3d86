"""A leaderboard as CSV: timm's columns, numbers that are read back, and names that nothing computes."""

import csv
import io
from dataclasses import fields

import factories as f
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import COSTLY

from vitbench.leaderboard.leaderboard import Condition, Row, build
from vitbench.printable import plain
from vitbench.records import METHOD
from vitbench.report import render

HOSTILE = ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "'quoted", "'=x", "\t=1", "a,b", 'a"b', "1e5", "007", "\uff1d1+1"]


def rows(text: str) -> list[dict[str, object]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_field_of_a_row_has_its_column():
    [row] = rows(render(build([f.quality("vit", 340)], [], "top1"), "csv"))
    timms = {"image_size": "img_size", "batch_size": "infer_batch_size"}
    named = {timms.get(field.name, field.name) for kind in (Row, Condition) for field in fields(kind)}
    assert named - set(row) == {"condition", "fingerprint", "ids", "label", "metrics", "other_batches", "tied_with"} | {
        "apart",  # with the source
        "cudnn",
        "timing_variables",  # with the other variables
    }


def test_timms_columns_have_timms_units():
    board = build([f.quality("vit", 340), *f.speed("vit", 1234.5)], [], "top1")
    [row] = rows(render(board, "csv"))
    timm = ("model", "img_size", "top1", "top1_err", "param_count", "infer_samples_per_sec", "infer_batch_size")
    assert {name: row[name] for name in (*timm, "infer_gmacs")} == {
        "model": "vit",
        "img_size": "8",
        "top1": "94.4444",
        "top1_err": "5.5556",
        "param_count": "0.053",
        "infer_samples_per_sec": "1234.5",
        "infer_batch_size": "32",
        "infer_gmacs": "0.0015",
    }
    assert (row["top1_low"], row["top1_high"]) == ("91.5752", "96.3752")
    assert row["rank_last"] == "1"
    assert (row["rank"], row["partial"], row["seeds"], row["peak_memory"]) == ("1", "False", "0", str(12 << 20))
    assert (row["train_samples_per_sec"], row["train_batch_size"], row["train_step"]) == ("411.5", "32", "adamw")


def test_top5_is_in_percent_and_other_metrics_keep_their_units():
    record = f.record(f.quality_cell(), [f.measurement("top5", 0.75), f.measurement("ece", 0.031)])
    [row] = rows(render(build([record], [], "top1"), "csv"))
    assert (row["top5"], row["top5_err"], row["ece"], row["top1"]) == ("75.0", "25.0", "0.031", "")


def test_a_metric_without_a_value_is_no_invalid_one():
    absent = f.measurement("top5", None, verdict="invalid", reasons=["it says nothing of 4 classes"])
    [row] = rows(render(build([f.record(f.quality_cell(), [f.top1(300), absent])], [], "top1"), "csv"))
    assert (row["verdict"], row["reasons"]) == ("valid", "top5 has no value: it says nothing of 4 classes")


def test_seeds_without_a_result_are_told():
    failed = [f.record(f.quality_cell("a", seed=seed), status="failed", reason="nan") for seed in (2, 3)]
    [row] = rows(render(build([f.quality("a"), f.quality("a", seed=1), *failed], [], "top1"), "csv"))
    assert (row["rank"], row["seeds"], row["seeds_missing"], row["verdict"]) == ("1", "0 1", "2 3", "warn")
    assert "top1 warn: 2 of 4 seeds have no result" in row["reasons"]


def test_the_options_of_each_rows_recipe_are_told_in_full():
    records = [
        f.quality("a", 340, recipe_options={"lr": 0.001, "epochs": 100}),
        f.quality("b", 200, recipe_options={"lr": 0.5, "epochs": 3}),
        *f.speed("c"),
    ]
    found = {row["model"]: row["recipe_options"] for row in rows(render(build(records, [], "top1"), "csv"))}
    assert found == {"a": '{"epochs":100,"lr":0.001}', "b": '{"epochs":3,"lr":0.5}', "c": ""}


def test_rows_say_by_what_they_are_ranked_and_on_which_fronts_they_stand():
    records = [f.quality("a", 340), *f.speed("a", 500), f.quality("b", 330), *f.speed("b", 400), f.quality("c", 300)]
    found = rows(render(build(records, [], "top1"), "csv"))
    assert [(row["rank_by"], row["method"]) for row in found] == [("top1", str(METHOD))] * 3
    assert [(row["rank"], row["rank_last"]) for row in found] == [("1", "2"), ("1", "2"), ("3", "3")]
    assert [(row["pareto_speed"], row["pareto_speed_memory"]) for row in found] == [
        ("True", "True"),
        ("False", "False"),
        ("", ""),
    ]


@COSTLY
@given(st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1)))
def test_any_name_is_text_that_nothing_computes_and_comes_back(name):
    board = build([f.quality(name, data=f.data_info(title="=data"))], [], "top1")
    [header, row] = csv.reader(io.StringIO(render(board, "csv")), quoting=csv.QUOTE_NONNUMERIC)
    found = row[header.index("model")]
    assert isinstance(found, str)
    assert not found.lstrip().startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
    assert found.removeprefix("'") == plain(name) if found.startswith("'") else found == plain(name)
    assert row[header.index("dataset")] == "'=data"


@pytest.mark.parametrize("name", ["model", "rank", "=cmd"])
def test_a_metric_cannot_take_the_place_of_a_column(name):
    board = build([f.record(f.quality_cell("vit"), [f.top1(340), f.measurement(name, 5.0)])], [], "top1")
    [header, row] = csv.reader(io.StringIO(render(board, "csv")))
    assert header.count(name) == (0 if name == "=cmd" else 1)
    assert ("'=cmd" in header) == (name == "=cmd")
    assert (row[header.index("rank")], row[header.index("model")]) == ("1", "vit")


@pytest.mark.parametrize(("rank_by", "kind"), [("top1", "95%"), ("throughput", "range"), ("nll", "")])
def test_the_interval_of_the_ranking_metric_says_what_it_is(rank_by, kind):
    board = build([f.quality("a", 340), *f.speed("a", 1000)], [], rank_by)
    [row] = csv.DictReader(io.StringIO(render(board, "csv")))
    assert row["rank_by_interval"] == kind
    metric = board.rows[0].metrics[rank_by]
    ends = [row["rank_by_low"], row["rank_by_high"]]
    assert ends == (["", ""] if not kind else [str(metric.low), str(metric.high)])


def test_an_empty_leaderboard_is_a_header():
    text = render(build([], [], "top1"), "csv")
    assert text.startswith('"rank","rank_last","model",')
    assert text.count("\n") == 1


def test_a_ratio_to_the_reference_network_has_columns_where_some_row_has_one():
    records = [f.relative_speed("a", (1.9, 2.0, 2.1), (1000.0, 1100.0, 1200.0)), *f.foreign("b", 2.0)]
    table = {row["model"]: row for row in rows(render(build(records, [], "throughput"), "csv"))}
    ratio = records[0].measurements[0].ratio
    columns = ("ratio", "ratio_low", "ratio_high", "measured", "reference")
    told = [float(table["a"][f"throughput_{name}"]) for name in columns]
    assert told == [ratio.value, ratio.low, ratio.high, 2200, 1100]
    assert float(table["a"]["infer_samples_per_sec"]) == pytest.approx(ratio.value * 1100)
    assert [table["a"][f"rank_by_{name}"] for name in ("low", "high", "interval")] == ["", "", ""]
    assert [table["b"][f"throughput_{name}"] for name in columns] == [""] * 5
    [plain_row] = rows(render(build(f.speed(), [], "top1"), "csv"))
    assert not [name for name in plain_row if name.endswith("_ratio")]
