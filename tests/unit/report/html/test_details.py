"""What is behind the rows, read from a store and from fake records."""

from __future__ import annotations

import factories
import msgspec
import pages
import pytest

from vitbench.leaderboard.leaderboard import build
from vitbench.records import PluginOrigin, SpeedCell
from vitbench.report.html.details import MOST_POINTS, read_details
from vitbench.store import Store


@pytest.fixture
def store(tmp_path):
    return pages.FakeStore(tmp_path)


def only(records, store):
    _, details = pages.board_of(records, store)
    [row] = details.rows
    return row


def test_each_row_has_its_own_details_in_the_boards_order(tmp_path, store):
    records = [
        *pages.model(tmp_path, "slow", 350, 500.0),
        *pages.model(tmp_path, "fast", 300, 2000.0),
        factories.quality("plain", 320, options={"k": 1}),
    ]
    board, details = pages.board_of(records, store)
    assert [row.model for row in board.rows] == ["slow", "plain", "fast"]
    assert [row.main.planned.cell.model for row in details.rows] == ["scratch/slow", "scratch/plain", "scratch/fast"]
    assert [row.confusion and row.confusion.wrong for row in details.rows] == [10, None, 60]
    assert [bool(row.latency) for row in details.rows] == [True, False, True]
    assert details.rows[1].main.planned.cell.options == {"k": 1}
    assert details.rows[1].calibration == ()


def test_seeds_are_one_row_with_a_curve_each_and_summed_predictions(tmp_path, store):
    row = only(pages.model(tmp_path, "vit", 340, 900.0, seeds=(0, 3), epochs=5), store)
    assert [curve.seed for curve in row.curves] == [0, 3]
    assert [point["epoch"] for point in row.curves[0].points] == [1, 2, 3, 4, 5]
    assert [point["loss"] for point in row.curves[0].points] == pytest.approx([2.3 / e for e in range(1, 6)])
    assert row.confusion is not None
    assert (row.confusion.images, row.confusion.wrong) == (720, 40)
    assert [cell.name for cell in row.cells[:2]] == ["seed 0", "seed 3"]
    assert "--seed 0 --seed 3" in row.reproduction.command


def test_a_row_of_a_training_that_names_no_epoch_is_that_of_its_place(store):
    curve = ({"loss": 2.0}, {"epoch": 7.0, "loss": 1.0})
    [found] = only([msgspec.structs.replace(factories.quality(), curve=curve)], store).curves
    assert found.points == ({"epoch": 1.0, "loss": 2.0}, curve[1])


def test_a_long_curve_is_thinned_but_keeps_its_ends(tmp_path, store):
    row = only(pages.model(tmp_path, "vit", 340, 900.0, epochs=1001), store)
    epochs = [point["epoch"] for point in row.curves[0].points]
    assert (epochs[0], epochs[-1]) == (1, 1001)
    assert MOST_POINTS / 2 < len(epochs) <= MOST_POINTS + 1


def test_latencies_are_milliseconds_of_all_processes(tmp_path, store):
    row = only(pages.model(tmp_path, "vit", 340, 1000.0), store)
    assert row.latency is not None
    assert row.latency.samples == 1800
    assert 1 < row.latency.edges[0] < 2 < row.latency.edges[-1] < 4  # the median is 2 ms


def test_evidence_is_a_range_over_processes(store):
    record = msgspec.structs.replace(
        factories.speed()[0],
        evidence=({"load": 1.0}, {"load": 3.0, "clock_mhz": 2000.0}, {"load": 2.0}),
        faults=("a fault",),
        warnings=("a warning",),
    )
    [cell] = only([record], store).cells
    assert cell.evidence == {"load": (1.0, 3.0), "clock_mhz": (2000.0, 2000.0)}
    assert cell.processes == 3
    assert cell.faults == ("a fault", "a warning")
    assert cell.name == "inference, batch 1"


def test_cells_of_different_code_are_rows_of_their_own_that_tell_it(store):
    records = [factories.quality(code="aaaa", seed=0), factories.quality(code="bbbb", seed=1)]
    _, details = pages.board_of(records, store)
    origins = [row.origins["model"] for row in details.rows]
    assert [[origin.code_hash for origin in each] for each in origins] == [["aaaa"], ["bbbb"]]
    assert all(isinstance(origin, PluginOrigin) for each in origins for origin in each)


def test_metrics_that_are_not_vitbenchs_own_are_told(store):
    own, foreign = (
        PluginOrigin(plugin=name, distribution=name, version="1", code_hash="c0de") for name in ("vitbench", "other")
    )
    record = factories.quality()
    assert "metrics" not in only([msgspec.structs.replace(record, measured_by=(own,))], store).origins
    assert only([msgspec.structs.replace(record, measured_by=(own, foreign))], store).origins["metrics"] == (foreign,)


def test_the_code_of_a_teacher_is_told(store):
    teacher = PluginOrigin(plugin="zoo", distribution="zoo", version="1", code_hash="c0de")
    record = factories.quality()
    assert "other models" not in only([record], store).origins
    made_of = msgspec.structs.replace(record.planned.provenance, others=(teacher,))
    planned = msgspec.structs.replace(record.planned, provenance=made_of)
    assert only([msgspec.structs.replace(record, planned=planned)], store).origins["other models"] == (teacher,)


def test_settings_are_those_of_the_newest_cell(store):
    old = msgspec.structs.replace(factories.quality(seed=0), started=1.0, splits={"test": 1})
    new = msgspec.structs.replace(factories.quality(seed=1), started=2.0, splits={"test": 2})
    assert only([new, old], store).main.splits == {"test": 2}


def test_speed_without_a_data_set_has_a_row_of_its_own(store):
    row = only(factories.speed(), store)
    assert (row.curves, row.confusion, row.class_names) == ((), None, ())
    assert isinstance(row.main.planned.cell, SpeedCell)
    assert "--dataset" not in row.reproduction.command


def test_runs_data_and_suites_come_from_the_store(tmp_path):
    with Store.open(tmp_path, create=True) as store:
        runs = [
            store.begin_run(
                command=f"vitbench run --seed {i}",
                version=f"0.{i}",
                suite=pages.SUITE,
                environment=factories.environment(),
                rank_by="top1",
            )
            for i in range(3)
        ]
        record = msgspec.structs.replace(factories.quality(), run=runs[0])
        pages.save(store.predictions_path(record.key), [0, 1], [0, 0])
        store.append(record)
        records = store.records()
        details = read_details(store, build(records, [], "top1"), records)
    # The second run made none of the rows, the third is the newest.
    assert [run.begun.id for run in details.runs] == [runs[0], runs[2]]
    assert [run.begun.version for run in details.runs] == ["0.0", "0.2"]
    assert details.runs[0].environment == factories.environment()
    assert details.runs[0].suite == pages.SUITE
    assert [data.title for data in details.data] == ["digits"]
    assert details.rows[0].confusion is not None
    assert details.rows[0].confusion.wrong == 1


def test_without_rows_the_newest_run_is_told(tmp_path, store):
    _, details = pages.board_of([factories.record(factories.quality_cell(), status="failed", reason="no")], store)
    assert details.rows == ()
    assert [run.begun.id for run in details.runs] == ["run-1"]


def test_figures_are_those_of_the_first_seed_that_has_any(tmp_path, store):
    none, one, two = (factories.quality("vit", 300, seed=seed) for seed in (0, 1, 2))
    figures = [
        pages.figure_record(two, "rollout", folder=tmp_path),
        pages.figure_record(one, "rollout", folder=tmp_path, started=2.0),
        pages.figure_record(one, "attention", folder=tmp_path, pictures=3, started=1.0),
        pages.figure_record(one, "attention", folder=tmp_path, figure_options={"layer": 2}, started=3.0),
        pages.figure_record(one, "positions", folder=tmp_path, images={"mine.png": "5ha"}),
        pages.figure_record(one, "damaged"),
        pages.figure_record(one, "skipped", pictures=0),
        pages.figure_record(one, "outdated", folder=tmp_path, started=-1.0),  # the training ran again since
    ]
    found = only([none, one, two, *figures], store).figures
    assert [(each.name, len(each.pictures)) for each in found] == [("attention", 3), ("rollout", 1)]
    assert {picture.title for each in found for picture in each.pictures} == {
        "attention of seed 1",
        "rollout of seed 1",
    }
    assert found[1].key == figures[1].key
