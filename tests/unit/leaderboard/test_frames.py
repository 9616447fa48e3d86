"""The tidy tables: the same columns and types however much there is, and the leaderboard's own figures."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import factories as f
import pandas as pd
import pytest

from vitbench.leaderboard.frames import (
    MEASUREMENT_COLUMNS,
    METRIC_COLUMNS,
    RATIO_COLUMNS,
    ROW_COLUMNS,
    measurements_frame,
    rows_frame,
)
from vitbench.leaderboard.leaderboard import Condition, Metric, Row, build
from vitbench.records import METHOD
from vitbench.statistics import wilson

PAGE = Path(__file__).parents[3] / "docs" / "leaderboard.md"


def types(table: pd.DataFrame) -> dict[str, str]:
    return {
        str(name): "string[python]" if kind == pd.StringDtype("python") else str(kind)
        for name, kind in table.dtypes.items()
    }


def test_every_field_of_a_row_and_of_a_metric_has_its_column() -> None:
    named = {field.name for kind in (Row, Condition) for field in fields(kind)}
    told_elsewhere = {"apart", "condition", "ids", "label", "metrics", "other_batches", "cudnn", "timing_variables"}
    assert named - set(ROW_COLUMNS) == told_elsewhere
    named = {field.name for field in fields(Metric)} - {"unit", "better", "taken_at", "exact", "machine_bound", "style"}
    named = (named - {"processes", "occasion", "occasion_spread", "relative"}) | {"interval"}
    assert {part.removeprefix("_").replace("sd", "spread") or "value" for part in METRIC_COLUMNS} == named


@pytest.mark.parametrize(
    "records", [[], [f.record(f.quality_cell(), status="failed")], f.speed()], ids=["none", "failed", "speed"]
)
def test_columns_and_types_do_not_depend_on_what_there_is(records):
    table = rows_frame(build(records, [], "top1"))
    of_metric = {"top1" + part: kind for part, kind in METRIC_COLUMNS.items()}
    expected = dict(ROW_COLUMNS) | of_metric
    assert {name: kind for name, kind in types(table).items() if name in expected} == expected
    assert list(table.columns)[: len(expected)] == list(expected)
    assert types(measurements_frame(records)) == dict(MEASUREMENT_COLUMNS)


def test_a_row_has_its_interval_its_verdicts_and_its_fronts():
    records = [
        *(f.quality("a", 340), f.quality("a", 346, seed=1), *f.speed("a", 900, verdict="warn", reason="load")),
        f.quality("knn", 100, baseline=True),
        f.quality("cut", 300, limit=0.5),
    ]
    first, second, third = rows_frame(build(records, [], "top1")).to_dict("records")
    assert (first["model"], first["rank"], first["rank_last"], first["seeds"]) == ("a", 1, 1, (0, 1))
    assert first["top1"] == pytest.approx(343 / 360)
    assert first["top1_low"] == pytest.approx((wilson(340, 360)[0] + wilson(346, 360)[0]) / 2)
    assert first["top1_sd"] == pytest.approx(6 / 360 / 2**0.5)
    assert (first["top1_interval"], first["throughput_interval"]) == ("95%", "range")
    assert (first["top1_n"], first["top1_verdict"], first["top1_reasons"]) == (2, "valid", "")
    assert (first["throughput"], first["throughput_verdict"], first["throughput_reasons"]) == (900, "warn", "load")
    assert (first["pareto_speed"], first["batch_size"], first["method"], first["rank_by"]) == (True, 32, METHOD, "top1")
    assert second["baseline"]
    assert all(pd.isna(second[f"throughput{part}"]) for part in METRIC_COLUMNS)
    assert pd.isna(second["pareto_speed"])
    assert (third["partial"], third["limit"], pd.isna(third["rank"])) == (True, 0.5, True)


def test_a_size_is_the_side_of_a_square_or_height_and_width():
    cells = [f.quality_cell("square"), f.quality_cell("wide", image_size=(32, 64))]
    records = [f.record(cell, [f.top1(340)]) for cell in cells]
    sizes = rows_frame(build(records, [], "top1")).set_index("model")["image_size"]
    assert (sizes["square"], sizes["wide"]) == (8, "32x64")
    shapes = measurements_frame(records).set_index("model")["input_shape"]
    assert (shapes["square"], shapes["wide"]) == ((1, 8, 8), (1, 32, 64))


def test_a_limit_is_a_whole_number_of_images_or_a_share():
    table = rows_frame(build([f.quality("a", limit=200), f.quality("a", limit=0.5), f.quality("a")], [], "top1"))
    assert sorted(map(repr, table["limit"])) == ["0.5", "200", "None"]


def test_the_options_of_a_recipe_are_the_same_text_in_both_tables():
    records = [f.quality("a", recipe_options={"lr": 0.5, "epochs": 3}), *f.speed("b")]
    for table in (rows_frame(build(records, [], "top1")), measurements_frame(records)):
        found = table.drop_duplicates("model").set_index("model")["recipe_options"]
        assert found["a"] == '{"epochs":3,"lr":0.5}'
        assert pd.isna(found["b"])


@pytest.mark.parametrize("name", ["model", "top1_low"])
def test_a_metric_cannot_take_the_place_of_a_column(name):
    measured = [f.top1(340), f.measurement(name, 5.0)]
    [row] = rows_frame(build([f.record(f.quality_cell("vit"), measured)], [], "top1")).to_dict("records")
    assert (row["rank"], row["model"]) == (1, "vit")
    assert row["top1_low"] == (5.0 if name == "top1_low" else wilson(340, 360)[0])


def test_measurements_say_what_they_are_of():
    # Of two attempts the newest is there.
    table = measurements_frame([f.quality("vit", 300, seed=3), f.quality("vit", 340, seed=3), *f.speed("vit", 900)])
    assert table["metric"].tolist()[:3] == ["top1", "nll", "train_seconds"]
    assert table["metric"].tolist().count("top1") == 1
    top1, *_ = table.to_dict("records")
    assert {name: top1[name] for name in ("model", "name", "kind", "dataset", "seed", "value", "n", "verdict")} == {
        "model": "vit",
        "name": "scratch/vit",
        "kind": "quality",
        "dataset": "digits",
        "seed": 3,
        "value": 340 / 360,
        "n": 360,
        "verdict": "valid",
    }
    assert (top1["low"], top1["high"]) == wilson(340, 360)
    assert (top1["options"], top1["recipe_options"], top1["input_shape"]) == ('{"patch_size":4}', "{}", (1, 8, 8))
    speed = table[table["kind"] == "speed"]
    assert set(speed["batch_size"]) == {1, 32}
    assert set(speed["mode"]) == {"inference", "training"}
    assert speed["dataset"].isna().all()
    assert speed["recipe"].isna().all()
    assert table[table["kind"] == "quality"]["mode"].isna().all()


def test_a_measurement_of_training_steps_names_their_recipe():
    table = measurements_frame(f.speed("vit", recipe="zoo/sam", recipe_options={"rho": 0.5}))
    training = table[table["mode"] == "training"]
    assert set(training["recipe"]) == {"zoo/sam"}
    assert set(training["recipe_options"]) == {'{"rho":0.5}'}
    assert table[table["mode"] == "inference"]["recipe_options"].isna().all()


def test_every_column_is_documented():
    columns = [*ROW_COLUMNS, *MEASUREMENT_COLUMNS, *(f"METRIC{part}" for part in (*METRIC_COLUMNS, *RATIO_COLUMNS))]
    page = PAGE.read_text(encoding="utf-8")
    assert not [name for name in columns if f"`{name}`" not in page]


def test_a_ratio_to_the_reference_network_has_columns_where_some_row_has_one():
    records = [
        f.relative_speed("a", (1.9, 2.0, 2.1), (1000.0, 1100.0, 1200.0)),
        f.relative_speed("b", (1.0, 1.0, 1.0), metric="train_throughput", mode="training"),
    ]
    table = rows_frame(build(records, [], "throughput")).set_index("model")
    ratio = records[0].measurements[0].ratio
    row = table.loc["a"]
    assert [row["throughput" + part] for part in RATIO_COLUMNS] == [ratio.value, ratio.low, ratio.high, 2200, 1100]
    assert row["throughput"] == pytest.approx(ratio.value * 1100)
    assert pd.isna(row["throughput_low"])
    assert pd.isna(row["throughput_interval"])
    assert table.loc["b", [f"throughput{part}" for part in RATIO_COLUMNS]].isna().all()
    assert {str(table["throughput" + part].dtype) for part in RATIO_COLUMNS} == set(RATIO_COLUMNS.values())
    measured = measurements_frame(records).set_index("metric").loc["throughput"]
    told = [measured[name] for name in ("value", "ratio", "ratio_low", "ratio_high", "reference")]
    assert told == [2200, ratio.value, ratio.low, ratio.high, 1100]
    assert not {name for name in rows_frame(build(f.speed(), [], "top1")) if name.endswith("_ratio")}
