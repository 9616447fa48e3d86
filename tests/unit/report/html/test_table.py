"""The page's table: text for readers, raw numbers to sort by, marks, and the interval to scale."""

from __future__ import annotations

import factories
import pytest

from vitbench.leaderboard.leaderboard import build
from vitbench.report.html.table import columns


def rows_of(*records):
    return build([r for each in records for r in (each if isinstance(each, list) else [each])], [], "top1").rows


def column(rows, key):
    [found] = [each for each in columns(rows, "top1") if each.key == key]
    return found


def test_the_ranking_metric_comes_first_with_its_interval():
    rows = rows_of(factories.quality(), factories.speed())
    assert [each.key for each in columns(rows, "top1")][:3] == ["top1", "top1_interval", "throughput"]
    assert [each.key for each in columns(rows, "throughput")][:2] == ["throughput", "throughput_interval"]


def test_several_seeds_have_their_spread():
    rows = rows_of(*(factories.quality(correct=340 + seed, seed=seed) for seed in range(2)))
    assert [each.key for each in columns(rows, "top1")][:3] == ["top1", "top1_interval", "top1_sd"]
    [cell] = column(rows, "top1_sd").cells
    assert float(cell.order) == pytest.approx(0.5**0.5 / 360)


def test_a_metric_without_interval_has_no_column_for_it():
    rows = rows_of(factories.quality())
    assert [each.key for each in columns(rows, "train_seconds")][:2] == ["train_seconds", "top1"]


def test_a_metric_without_interval_keeps_its_spread_over_seeds():
    rows = rows_of(*(factories.quality(seed=seed) for seed in range(2)))
    assert [each.key for each in columns(rows, "train_seconds")][:3] == ["train_seconds", "train_seconds_sd", "top1"]


def test_a_metric_that_no_row_has_gives_no_column():
    rows = rows_of(factories.quality())
    assert "ece" not in [each.key for each in columns(rows, "ece")]


def test_a_phone_shows_what_is_ranked_by_and_the_speeds():
    rows = rows_of(factories.quality(), factories.speed())
    assert {each.key for each in columns(rows, "top1") if each.narrow} == {"top1", "throughput", "latency_p50"}
    assert {each.key for each in columns(rows, "params") if each.narrow} == {"params", "throughput", "latency_p50"}


def test_what_the_other_formats_leave_out_is_hidden_at_first():
    rows = rows_of(factories.quality(), factories.speed())
    hidden = {each.key for each in columns(rows, "top1") if each.detail}
    assert {"latency_p95", "train_seconds", "nll"} <= hidden
    assert not hidden & {"top1", "top1_interval", "throughput", "params"}


def test_text_is_rounded_and_order_is_not():
    rows = rows_of(factories.quality(correct=341), factories.speed(images_per_second=1234.5678))
    [top1], [throughput] = column(rows, "top1").cells, column(rows, "throughput").cells
    assert (top1.text, float(top1.order)) == ("94.7", pytest.approx(341 / 360))
    assert (throughput.text, float(throughput.order)) == ("1,235", pytest.approx(1234.5678))


def test_a_figure_that_is_missing_or_could_not_be_had_has_no_order():
    broken = factories.record(
        factories.speed_cell("b"), [factories.measurement("throughput", None, unit="images/s", verdict="invalid")]
    )
    rows = rows_of(
        factories.quality("a"), factories.speed("a"), factories.quality("b", 330), broken, factories.quality("c", 320)
    )
    cells = column(rows, "throughput").cells
    assert [(cell.text, cell.order) for cell in cells] == [("1,000", "1000"), ("!–", ""), ("", "")]  # noqa: RUF001
    assert [cell.verdict for cell in cells[:2]] == ["valid", "invalid"]


def test_intervals_are_drawn_to_the_scale_of_the_models():
    rows = rows_of(
        factories.quality("best", 350), factories.quality("worst", 330), factories.quality("chance", 36, baseline=True)
    )
    best, worst, chance = (cell.strip for cell in column(rows, "top1_interval").cells)
    assert best[2] == pytest.approx(100)
    assert worst[0] == pytest.approx(0)
    assert best[0] < best[1] < best[2]
    assert chance is None  # a baseline so far below would press the others together


def test_a_baseline_among_the_models_widens_the_scale():
    rows = rows_of(
        factories.quality("a", 340), factories.quality("b", 335), factories.quality("knn", 341, baseline=True)
    )
    knn, best, _ = (cell.strip for cell in column(rows, "top1_interval").cells)
    assert knn[2] == pytest.approx(100)
    assert best[2] < 100


def test_a_ratio_to_the_reference_network_has_half_its_interval_and_a_strip():
    rows = build(
        [factories.relative_speed("a", (1.98, 2.0, 2.02)), factories.relative_speed("b", (1.0, 1.0, 1.0))],
        [],
        "throughput",
    ).rows
    [found] = [each for each in columns(rows, "throughput") if each.key == "throughput_interval"]
    half = rows[0].metrics["throughput"].relative.ratio.half_width
    assert [cell.text for cell in found.cells] == [f"± {half:.1%}", "± 0.0%"]
    assert (found.title, found.unit) == ("ratio", "± 95 %")
    assert all(cell.strip for cell in found.cells)
    assert [float(cell.order) for cell in found.cells] == pytest.approx([half, 0.0]), "it is sorted by what it shows"
    assert found.better == "lower"


def test_a_measured_range_does_not_stand_among_intervals_of_ratios():
    values = (99.0, 100.0, 101.0)
    plain = factories.measurement("throughput", 100.0, unit="images/s", low=99.0, high=101.0, n=3, processes=values)
    records = [factories.relative_speed("a", (1.98, 2.0, 2.02)), factories.record(factories.speed_cell("b"), [plain])]
    rows = build(records, [], "throughput").rows
    [found] = [each for each in columns(rows, "throughput") if each.key == "throughput_interval"]
    assert [bool(cell.text) for cell in found.cells] == [True, False]
