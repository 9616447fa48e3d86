"""The charts: each is a valid Vega-Lite specification, and says in words what it shows."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from importlib.resources import files
from typing import Any

import altair
import factories
import msgspec
import numpy as np
import pages
import pytest
import vl_convert

from vitbench.figures import Points
from vitbench.report.html.charts import (
    calibration_chart,
    confusion_chart,
    confusion_in_words,
    latency_chart,
    number,
)
from vitbench.report.html.curves_chart import curves_chart
from vitbench.report.html.details import Curve, DrawnFigure
from vitbench.report.html.figures import panel_figures
from vitbench.report.html.panels import panel, panel_id
from vitbench.report.html.pareto_chart import pictures
from vitbench.report.html.specs import CONFIG, TEMPLATES
from vitbench.report.pareto_points import MOST_LABELS
from vitbench.report.training_curves import COLOURS, MOST_NAMED


def filled(part: Any, words: dict[str, Any]) -> Any:
    """Put a chart's words into its template, as the page's script does."""
    if isinstance(part, str):
        return words[part[1:]] if part.startswith("@") else part
    if isinstance(part, list):
        return [filled(each, words) for each in part]
    if not isinstance(part, dict):
        return part
    return {key: new for key, value in part.items() if (new := filled(value, words)) is not None}


def specification(chart) -> dict[str, Any]:
    compact = chart.compact()
    data = {
        name: [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        for name, columns in compact["data"].items()
    }
    return filled(TEMPLATES[chart.kind], compact["words"]) | {"datasets": data, "config": CONFIG}


@pytest.fixture
def detailed(tmp_path):
    def make(*records, pending=()):
        board, details = pages.board_of(
            [r for each in records for r in (each if isinstance(each, list) else [each])], pages.FakeStore(tmp_path)
        )
        return board.rows, details.rows

    return make


def drawn(rows, rank_by="top1"):
    return {each.name: each.chart for each in pictures(rows, rank_by, [panel_id(row) for row in rows])}


def points(chart):
    columns = chart.data["points"]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_every_chart_is_a_valid_specification(tmp_path, detailed):
    rows, details = detailed(
        pages.model(tmp_path, "a", 350, 500.0, seeds=(0, 1)),
        pages.model(tmp_path, "b", 340, 50_000.0),
        factories.quality("chance", 335, baseline=True),
    )
    training = curves_chart([(row.model, detail.curves) for row, detail in zip(rows, details, strict=True)])
    assert training is not None
    shown = panel(rows[0], "a", details[0], "1", "top1").charts
    x = np.array([1, 2], dtype=np.float32)
    of_one = Points(title="p", x=x, y=x, x_label="layer", y_label="pixels", lines=True)
    both = DrawnFigure(name="p", key="k", pictures=(of_one, replace(of_one, series=("head 1", "head 2"))))
    inside = [step.chart for step in panel_figures("p", "vit", [both]).figures[0].steps]
    charts = [training, *shown, *inside, *drawn(rows).values()]
    assert {chart.kind for chart in charts} == set(TEMPLATES)
    for chart in charts:
        altair.LayerChart.from_dict(specification(chart), validate=True)


def test_the_front_is_marked_and_named(detailed):
    rows, _ = detailed(
        factories.quality("slow", 350),
        factories.speed("slow", 500.0),
        factories.quality("fast", 340),
        factories.speed("fast", 2000.0),
        factories.quality("beaten", 330),
        factories.speed("beaten", 1000.0),
    )
    chart = drawn(rows)["throughput"]
    assert {point["model"]: point["front"] for point in points(chart)} == {"slow": True, "fast": True, "beaten": False}
    assert "slow (97.2 %, 500 images/s); fast (94.4 %, 2,000 images/s)." in chart.text
    # Latency is better when it is lower: the same models, the other way round.
    assert drawn(rows)["latency"].text.index("fast (") < drawn(rows)["latency"].text.index("slow (")


def test_an_invalid_figure_is_shown_off_the_front(detailed):
    rows, _ = detailed(
        factories.quality("good", 340),
        factories.speed("good", 500.0),
        factories.quality("bad", 350),
        factories.speed("bad", 2000.0, verdict="invalid", reason="r"),
        factories.quality("so-so", 345),
        factories.speed("so-so", 400.0, verdict="warn", reason="r"),
    )
    found = {point["model"]: (point["verdict"], point["front"]) for point in points(drawn(rows)["throughput"])}
    assert found == {"bad": ("invalid", False), "so-so": ("doubtful", True), "good": ("valid", True)}


def test_both_intervals_are_in_the_units_of_the_table(detailed):
    rows, _ = detailed(
        factories.quality("a", 350), factories.speed("a", 500.0), factories.quality("b"), factories.speed("b")
    )
    [point] = [each for each in points(drawn(rows)["throughput"]) if each["model"] == "a"]
    assert (point["x_low"], point["x"], point["x_high"]) == (490, 500, 515)
    assert (point["y_low"], point["y"], point["y_high"]) == pytest.approx((94.96, 97.222, 98.48), abs=0.05)
    [memory] = [each for each in points(drawn(rows)["latency"]) if each["model"] == "a"]
    assert memory["x"] == 4  # milliseconds


def test_bars_of_speed_are_of_the_ratio_and_the_text_says_so(detailed):
    references = (900.0, 1500.0, 900.0)
    records = [factories.relative_speed("a", (1.96, 2.0, 2.04), references)]
    records.append(factories.relative_speed("b", (1.0, 1.0, 1.0), references))
    rows, _ = detailed(factories.quality("a", 350), factories.quality("b"), *records)
    chart = drawn(rows)["throughput"]
    [point] = [each for each in points(chart) if each["model"] == "a"]
    ratio = records[0].measurements[0].ratio
    assert (point["x_low"], point["x_high"]) == pytest.approx((900 * ratio.low, 900 * ratio.high), abs=0.1)
    assert "Bars of speed are intervals of its ratio to the reference network." in chart.text
    raw, _ = detailed(
        factories.quality("a"), factories.speed("a"), factories.quality("b", 330), factories.speed("b", 900)
    )
    assert "reference network" not in drawn(raw)["throughput"].text


def test_a_baseline_is_a_level_where_it_is_near_and_a_word_where_not(detailed):
    rows, _ = detailed(
        factories.quality("a", 350),
        factories.speed("a", 500.0),
        factories.quality("b", 330),
        factories.speed("b", 600.0),
        factories.quality("near", 325, baseline=True),
        factories.quality("chance", 36, baseline=True),
        factories.quality("untimed", 340),
    )
    chart = drawn(rows)["throughput"]
    assert chart.data["levels"]["model"] == ["near"]
    assert chart.text.endswith("Not in the picture: untimed (no throughput), chance (10.0 %).")


def test_an_axis_over_a_wide_range_is_logarithmic(detailed):
    def words(fastest):
        rows, _ = detailed(
            factories.quality("a", 350),
            factories.speed("a", 10.0),
            factories.quality("b"),
            factories.speed("b", fastest),
        )
        return drawn(rows)["throughput"].words

    assert words(200.0)["scale"] == "linear"  # 20 times, and not more
    assert (words(199.0)["scale"], words(199.0)["zero"]) == ("linear", False)
    assert (words(201.0)["scale"], words(201.0)["zero"]) == ("log", None)


def test_of_many_points_only_the_front_is_labelled_and_labels_stay_inside(detailed):
    def labels(count):
        rows, _ = detailed(
            *(
                each
                for i in range(count)
                for each in (factories.quality(f"m{i:02}", 300 + i), factories.speed(f"m{i:02}", 100.0 + i))
            )
        )
        return points(drawn(rows)["throughput"])

    assert all(point["labelled"] for point in labels(MOST_LABELS))
    many = labels(MOST_LABELS + 1)
    assert [point["model"] for point in many if point["labelled"]] == [f"m{MOST_LABELS}"]
    assert {point["model"]: point["leftwards"] for point in many} == {f"m{i:02}": i > 9 for i in range(MOST_LABELS + 1)}


def test_of_a_long_front_some_points_are_labelled_with_its_ends(detailed):
    rows, _ = detailed(
        *(
            each
            for i in range(30)
            for each in (factories.quality(f"m{i:02}", 300 + i), factories.speed(f"m{i:02}", 4000.0 - 100 * i))
        )
    )
    chart = drawn(rows)["throughput"]
    labelled = {point["model"] for point in points(chart) if point["labelled"]}
    assert len(labelled) == MOST_LABELS
    assert {"m00", "m29"} <= labelled
    assert chart.text.endswith("; and 18 more.")


def test_there_is_no_picture_of_one_model_or_of_equal_figures(detailed):
    one, _ = detailed(factories.quality("a"), factories.speed("a"))
    assert drawn(one) == {}
    two, _ = detailed(
        factories.quality("a"), factories.speed("a", 5.0), factories.quality("b", 1), factories.speed("b", 9.0)
    )
    assert set(drawn(two)) == {"throughput", "latency"}  # memory and parameters are the same
    assert "throughput" not in drawn(two, rank_by="throughput")


def test_all_trainings_share_a_chart_with_a_choice_of_what_is_drawn():
    chart = curves_chart(
        [
            ("vit", [Curve(seed=0, points=({"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": math.nan, "lr": 0.1}))]),
            ("knn", []),
            ("cnn", [curve(7, val_top1=0.5, train_seconds=3.0), curve(9, val_top1=0.75, other=1.0)]),
        ]
    )
    assert chart is not None
    assert chart.text == "3 trainings of 2 models. Validation accuracy (%) at the end: cnn 62.5."
    words = {name: chart.words[name] for name in ("quantity", "quantities", "over", "names", "keys")}
    assert words == {
        "quantity": "val_top1",
        "quantities": ["val_top1", "loss", "lr", "other"],
        "over": ["epoch", "train_seconds"],
        "names": ["vit", "cnn"],
        "keys": ["vit", "cnn"],
    }
    points = chart.data["points"]
    assert points["row"] == [1, 1, 0, 0]  # the best lies above
    assert points["seed"] == [9, 7, 0, 0]
    assert points["val_top1"] == [75, 50, None, None]
    assert points["train_seconds"] == [None, 3, None, None]
    assert points["loss"] == [None, None, None, 2]


@pytest.mark.parametrize("epochs", [2, 3, 4, 7])
def test_of_few_epochs_the_axis_shows_whole_ones(epochs):
    points = tuple({"epoch": float(1 + e), "train_seconds": 0.1 * e, "loss": 1.0 / (1 + e)} for e in range(epochs))
    chart = curves_chart([("a", [Curve(seed=0, points=points)])])
    assert chart is not None
    said = re.findall(r">([^<]+)</text>", vl_convert.vegalite_to_svg(specification(chart)))
    assert said[:epochs] == [str(1 + e) for e in range(epochs)]
    assert "." in said[epochs]  # the other axis begins


def test_models_beyond_those_that_can_be_told_apart_are_others():
    two = Curve(seed=1, points=({"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}))
    many = [(f"m{i:02}", [curve(0, loss=1.0), two]) for i in range(MOST_NAMED + 2)]
    assert curves_chart([(name, some[:1]) for name, some in many]) is None, "of one epoch there is no line"
    chart = curves_chart(many)
    assert chart is not None
    words = chart.words
    assert words["keys"][-2:] == [f"m{MOST_NAMED - 1:02}", "2 others"]
    looks = list(zip(words["colours"], map(tuple, words["dashes"]), strict=True))
    assert len(set(looks)) == len(looks) == MOST_NAMED + 1
    assert chart.text.endswith(f", and {MOST_NAMED + 2 - 10} more.")


def test_long_trainings_of_many_models_are_thinned_and_keep_their_ends():
    points = tuple({"epoch": float(e), "loss": 1.0} for e in range(200))
    few = curves_chart([("a", [Curve(seed=0, points=points)])])
    many = curves_chart([(str(i), [Curve(seed=0, points=points)]) for i in range(400)])
    assert few is not None
    assert many is not None
    assert len(few.data["points"]["epoch"]) == 200
    epochs = many.data["points"]["epoch"]
    assert len(epochs) <= 400 * 14
    assert epochs.count(199) == epochs.count(0) == 400
    assert curves_chart([("a", []), ("b", [curve(0)])]) is None


def luminance(colour: str) -> float:
    """Of WCAG 2, 0 to 1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_page_has_the_colours_of_the_picture_and_lighter_ones_for_the_dark():
    style = files("vitbench.report.html").joinpath("templates", "page.css").read_text(encoding="utf-8")
    count = len(COLOURS)
    found = re.findall(r"--line-\d: (#\w{6})", style)
    light, dark, printed = found[:count], found[count : 2 * count], found[2 * count :]
    assert tuple(light) == tuple(printed) == COLOURS
    for colours, paper in ((light, "#ffffff"), (dark, "#11161c")):
        for colour in colours:
            low, high = sorted([luminance(colour), luminance(paper)])
            assert (high + 0.05) / (low + 0.05) > 4.5, colour


def curve(seed: int, **values: float) -> Curve:
    return Curve(seed=seed, points=({"epoch": 1.0, **values},))


def test_confusion_in_words_names_the_worst(tmp_path, detailed):
    record = factories.quality("a", seed=0)
    pages.save(tmp_path / f"{record.key}.npz", [0, 0, 0, 1, 2, 2], [0, 1, 1, 1, 0, 2])
    _, [detail] = detailed(record)
    assert (
        confusion_in_words(detail) == "3 of 6 predictions are wrong; most often 0 taken for 1 (2), 2 taken for 0 (1)."
    )
    chart = confusion_chart(detail)
    assert chart is not None
    assert chart.data["points"] == {"true": (0, 0, 1, 2, 2), "predicted": (0, 1, 1, 0, 2), "images": (1, 2, 1, 1, 1)}


def test_of_many_classes_there_is_a_list_in_place_of_the_matrix(tmp_path, detailed):
    data = factories.data_info(num_classes=25)
    record = factories.quality("a", data=data)
    pages.save(tmp_path / f"{record.key}.npz", np.arange(25), np.where(np.arange(25) == 3, 7, np.arange(25)))
    [row], [detail] = detailed(record)
    assert confusion_chart(detail) is None
    shown = panel(row, "a", detail, "1", "top1")
    assert shown.pairs == (("3", "7", 1),)
    assert shown.mistakes.startswith("1 of 25 predictions are wrong")


def test_calibration_tells_of_the_fullest_bin(tmp_path, detailed):
    record = factories.quality("a")
    pages.save(tmp_path / f"{record.key}.npz", [0] * 5, [0, 0, 0, 1, 0], [0.95, 0.95, 0.95, 0.95, 0.4])
    _, [detail] = detailed(record)
    chart = calibration_chart(detail)
    assert chart is not None
    assert "93% to 100%, holds 4 predictions: mean confidence 95.0%, accuracy 75.0%" in chart.text
    assert chart.data["points"]["accuracy"] == [1, 0.75]


def test_latency_says_what_it_leaves_out(tmp_path, detailed):
    [row], [detail] = detailed(pages.model(tmp_path, "a", 340, 1000.0))
    chart = latency_chart(detail, row)
    assert chart is not None
    assert chart.text.startswith("1,800 timed calls of 3 processes: p50 2 ms, p95 3 ms. The bars reach from ")
    assert "99% of the calls; 18 took longer, up to " in chart.text
    assert sum(chart.data["points"]["samples"]) == 1782


def test_what_is_not_measured_has_no_chart(detailed):
    [row], [detail] = detailed(factories.quality("b"))
    assert panel(row, "b", detail, "1", "top1").charts == ()


def test_a_panel_gives_every_figure_with_its_reasons(detailed):
    [row], [detail] = detailed(
        factories.quality("a"), factories.speed("a", verdict="invalid", reason="IQR 40% of the median")
    )
    shown = panel(row, "a", detail, "1", "top1")
    assert shown.summary == "top1 94.4 %, rank 1"
    lines = {line.metric: line for line in shown.metrics}
    assert shown.metrics[0].metric == "top1"
    assert set(lines) == set(row.metrics)
    assert lines["throughput"].verdict == "! invalid: IQR 40% of the median"
    assert lines["throughput"].value == "1,000 images/s"
    assert lines["throughput"].interval == "980 to 1,030 (range)"
    assert lines["top1"].verdict == "valid"


def test_a_panel_gives_the_ratio_with_its_interval_and_what_was_measured(detailed):
    record = factories.relative_speed("a", (1.96, 2.0, 2.04), (900.0, 1000.0, 1100.0))
    [row], [detail] = detailed(record)
    ratio = record.measurements[0].ratio
    [line] = [line for line in panel(row, "a", detail, "1", "throughput").metrics if line.metric == "throughput"]
    assert line.value == "2,000 images/s"
    assert line.interval == (
        f"2 of the reference's 1,000 images/s, {ratio.low:.3g} to {ratio.high:.3g} (95 %), 3 of 24 quads left out; "
        "measured 2,000 images/s, 1,764 to 2,244 (range)"
    )


def test_a_panel_keeps_its_address_and_no_two_share_one(detailed):
    rows, _ = detailed(
        factories.quality("a"),
        factories.quality("b"),
        factories.quality("a", recipe="recipes/other"),
        factories.speed("c"),
    )
    assert len({panel_id(row) for row in rows}) == 4
    other = msgspec.structs.replace(factories.quality("a", correct=100), started=9.0)
    again, _ = detailed(factories.quality("a"), other, factories.quality("a", recipe="recipes/other"))
    assert {panel_id(row) for row in again} <= {panel_id(row) for row in rows}


@pytest.mark.parametrize(
    ("value", "short"), [(1.0, 1), (1 / 3, 0.33333), (123456.0, 123460), (float("nan"), None), (float("inf"), None)]
)
def test_numbers_are_short(value, short):
    assert number(value) == short
    assert type(number(value)) is type(short)
