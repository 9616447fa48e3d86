"""What is said under a table of its ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import factories as f
import numpy as np
import pytest

from vitbench.leaderboard.image_scores import Outcomes
from vitbench.leaderboard.leaderboard import build
from vitbench.records import Record
from vitbench.report.metric_styles import style_of, threshold_in_words
from vitbench.report.ranking_notes import ranking_notes, reference_note
from vitbench.statistics import mcnemar_gap

ONE_SEED = "With one seed each, ranks compare sets of weights, not models."
HEAD = "Ranked by top1 (higher is better), on {} test images."


def notes(correct: Mapping[str, int], *, n: int = 360, unknown: str = "") -> list[str]:
    """Return the notes under rows of so many right images, the first ones, but for one row of unknown images."""

    def outcomes(record: Record) -> Outcomes | None:
        label = record.planned.label
        return None if label == unknown else Outcomes(scores=np.arange(n) < correct[label], images="test")

    board = build([f.quality(label, count, n=n) for label, count in correct.items()], [], "top1", outcomes)
    return ranking_notes(board.rows, "top1", board.resolutions.get(board.rows[0].condition))


def said_of_seeds(*records: Record, rank_by: str = "top1") -> list[str]:
    """Return the notes that speak of sets of weights."""
    notes = ranking_notes(build(records, [], rank_by).rows, rank_by, None)
    return [note for note in notes if "weights" in note]


def test_ranks_of_one_seed_are_said_once_to_be_of_weights():
    one, other = f.quality("a", 340), f.quality("b", 300)
    more = [f.quality(m, n, seed=1) for m, n in (("a", 341), ("b", 302))]
    assert said_of_seeds(one, other) == [ONE_SEED]
    assert said_of_seeds(one, other, *more) == []
    assert said_of_seeds(one, other, more[0]) == [
        "Where a row has one seed, its rank is that of one set of weights, not of the model."
    ]
    failed = [f.record(f.quality_cell(m, seed=1), status="failed") for m in "ab"]
    assert said_of_seeds(one, other, *failed) == [ONE_SEED]


def test_baselines_are_no_models_whose_seeds_matter():
    models = [f.quality("a", 340), f.quality("a", 341, seed=1)]
    baselines = [f.quality(name, n, baseline=True) for name, n in (("knn", 300), ("majority", 36))]
    assert said_of_seeds(*models, *baselines) == []
    assert said_of_seeds(*baselines) == []
    assert said_of_seeds(models[0], *baselines) == [ONE_SEED]


def test_an_estimate_of_a_model_that_nothing_trained_is_not_said_to_come_of_weights():
    figure = {
        m: f.measurement("it", v, at=("fixed_batch",), exact=False, machine_bound=False)
        for m, v in (("a", 1.0), ("b", 2.0))
    }
    records = [each for m in figure for each in (f.quality(m), f.record(f.speed_cell(m), [figure[m]]))]
    assert said_of_seeds(*records, rank_by="it") == []


def test_where_nothing_is_ranked_against_another_nothing_is_said_of_seeds():
    assert said_of_seeds(f.quality("a")) == []
    assert said_of_seeds(f.quality("a", limit=9), f.quality("b", limit=9)) == []
    assert said_of_seeds(f.quality("a"), f.quality("b", verdict="invalid")) == []


@pytest.mark.parametrize("rank_by", ["throughput", "params"])
def test_what_does_not_come_of_the_weights_is_not_said_to(rank_by):
    records = [each for m, v in (("a", 1000), ("b", 1040)) for each in (f.quality(m), *f.speed(m, v))]
    assert said_of_seeds(*records, rank_by=rank_by) == []


def test_ranges_and_the_smallest_gap_are_explained():
    assert 0.0190 < mcnemar_gap(2, 0.05 / 3) / 360 < 0.0195  # rounded up: a gap of 1.9 points would not do
    assert notes({"a": 340, "b": 338, "c": 336}) == [
        HEAD.format(360),
        "Ranks are ranges: a row is below the rows that are significantly better and above those that are "
        "significantly worse (paired tests on the same images, 5 % over 3 pairs, Holm).",
        "Smallest gap between neighbouring rows that these images can resolve: 2.0 points of top1.",
        ONE_SEED,
    ]


def test_ranks_that_are_no_ranges_need_no_explanation():
    found = notes({"a": 340, "b": 300})
    assert len(found) == 3
    assert "are ranges" not in "".join(found)
    assert "Smallest gap" in found[1]


def test_rows_that_could_not_be_paired_are_said():
    found = notes({"a": 340, "b": 338, "c": 336}, unknown="c")
    assert "5 % over 1 pair, Holm" in found[1]
    assert found[2] == "Rows without stored scores of the same images differ where their 95 % intervals do not overlap."


def test_a_test_set_too_small_for_any_difference_says_so():
    assert notes({"a": 5, "b": 0}, n=5)[-2] == "Test images: 5, too few to tell any two rows apart."


def test_speeds_say_what_their_ranges_are():
    records = [each for m, v in (("a", 1000), ("b", 1040)) for each in (f.quality(m), *f.speed(m, v))]
    rows = build(records, [], "throughput").rows
    assert ranking_notes(rows, "throughput", None) == [
        "Ranked by throughput (higher is better).",
        "Ranks are ranges; rows differ where the interval of their ratio lies beyond 3 % (Welch's t over "
        "processes, 5 % over 1 pair, Holm).",
    ]


def test_of_two_occasions_it_is_said_what_these_differ_by():
    def said(*occasions: str) -> str:
        figures = {"a": 1.0, "b": 1.001}
        records = [
            f.relative_speed(label, (ratio, 1.01 * ratio, ratio), occasion=occasion)
            for label, ratio in figures.items()
            for occasion in (*occasions, f"last {label}/1")
        ]
        return ranking_notes(build(records, [], "throughput").rows, "throughput", None)[-1]

    assert said().endswith("it is not known how much two occasions differ.")
    assert said("one/1", "two/1").endswith(
        "; those of different occasions beyond the 0.5% that these differ by here "
        "(standard deviation, 2 figures on 4 occasions)."
    )


def test_the_gap_of_a_likelihood_is_in_its_unit():
    random = np.random.RandomState(0)
    found = {m: random.exponential(size=400).astype(np.float32) for m in "ab"}
    records = [
        f.record(f.quality_cell(m), [f.measurement("nll", float(v.mean(dtype=float)), unit="nat", better="lower")])
        for m, v in found.items()
    ]
    board = build(records, [], "nll", lambda record: Outcomes(scores=found[record.planned.label], images="test"))
    [resolution] = board.resolutions.values()
    assert resolution.gap == pytest.approx(1.97 * np.std(found["a"] - found["b"], ddof=1) / 20, rel=0.01)
    assert ranking_notes(board.rows, "nll", resolution)[-2].endswith(
        f"can resolve: {threshold_in_words(style_of('nll', board.rows), resolution.gap)}."
    )


def test_of_several_seeds_the_gap_is_that_of_images_and_seeds():
    correct = {"a": (340, 339), "b": (338, 336)}
    records = [f.quality(m, n, seed=seed) for m, counts in correct.items() for seed, n in enumerate(counts)]
    right = {r.id: n for r, n in zip(records, (n for counts in correct.values() for n in counts), strict=True)}
    board = build(records, [], "top1", lambda r: Outcomes(scores=np.arange(360) < right[r.id], images="test"))
    found = ranking_notes(board.rows, "top1", next(iter(board.resolutions.values())))
    assert [
        note
        for note in found
        if note.startswith("Smallest gap between neighbouring rows that these images and seeds can resolve: ")
    ]


def test_rows_without_an_interval_are_said_to_be_told_apart_from_none():
    rows = build([f.quality("a"), f.quality("b")], [], "train_seconds").rows
    assert ranking_notes(rows, "train_seconds", None)[-1] == (
        "Ranks are ranges; rows cannot be told apart: they have no values of several processes."
    )


def test_speeds_that_took_no_turns_are_said_to_be_told_apart_from_none():
    def said(*occasions: str) -> str:
        cells = [f.speed_cell(f"m{number}") for number in range(len(occasions))]
        measured = next(record for record in f.speed() if record.planned.cell == f.speed_cell("vit").cell)
        pairs = zip(cells, occasions, strict=True)
        records = [f.record(cell, measured.measurements, occasion=occasion) for cell, occasion in pairs]
        return ranking_notes(build(records, [], "throughput").rows, "throughput", None)[-1]

    assert said("one", "one").endswith("5 % over 1 pair, Holm).")
    assert said("one", "other") == (
        "Ranks are ranges; rows cannot be told apart: they were not measured in turn, and it is not "
        "known how much two occasions differ."
    )
    assert said("one", "one", "other").endswith(
        "1 pair, Holm); others cannot be told apart: they were not measured in turn, and it is not "
        "known how much two occasions differ."
    )


def test_ratios_beside_measured_speeds_are_said_not_to_be_compared():
    """As where `vitbench doctor --speeds` chose another form between two runs."""
    values = (99.0, 100.0, 101.0)
    measured = f.measurement("throughput", 100.0, unit="images/s", low=99.0, high=101.0, n=3, processes=values)
    plain = f.record(f.speed_cell("b"), [measured])
    board = build([f.relative_speed("a", (2.0, 2.0, 2.1)), plain], [], "throughput")
    assert [(row.rank, row.rank_last) for row in board.rows] == [(1, 2), (1, 2)]
    assert "cannot be told apart: they are not all ratios to one reference network" in " ".join(
        ranking_notes(board.rows, "throughput", None)
    )


def test_the_reference_is_said_of_what_stands_in_the_table_alone():
    records = [
        f.relative_speed("a", (2.0, 2.0), (1234.0,)),
        f.relative_speed("a", (2.0, 2.0), (0.01,), metric="latency_p50", precision="bfloat16", batch_size=1),
    ]
    board = build(records, [], "throughput")
    told = {row.condition.precision: reference_note(board.references[row.condition], [row]) for row in board.rows}
    assert "throughput 1,234 images/s" in told["float32"][0]
    assert "latency" not in told["float32"][0]
    assert "throughput" not in told["bfloat16"][0]
    assert all(reference_note(each, [replace(board.rows[0], metrics={})]) == [] for each in board.references.values())
