"""What is said of a leaderboard in words, case by case."""

from __future__ import annotations

from collections.abc import Mapping

import factories as f
import numpy as np
import pytest

from vitbench.leaderboard.image_scores import Outcomes
from vitbench.leaderboard.leaderboard import Leaderboard, build
from vitbench.records import Record
from vitbench.report.sentence import closing_sentences
from vitbench.running.attempt import merge_processes

ONE_SEED = " With one seed each, ranks compare sets of weights, not models."


def only(board: Leaderboard) -> str:
    """Return the sentences, less what is said of all rows of one seed."""
    [sentence] = closing_sentences(board)
    return sentence.replace(ONE_SEED, "")


def said(*records: Record, rank_by: str = "top1") -> str:
    return only(build(records, [], rank_by))


def compared(correct: Mapping[str, int], n: int = 360, **fields: object) -> str:
    """Return what is said where all rows have the first so many images right."""

    def outcomes(record: Record) -> Outcomes:
        return Outcomes(scores=np.arange(n) < correct[record.planned.label], images="test")

    records = [f.quality(label, count, n=n, baseline=label == "knn", **fields) for label, count in correct.items()]
    return only(build(records, [], "top1", outcomes))


def test_a_gap_that_is_not_and_what_the_images_resolve():
    assert compared({"a": 340, "b": 338, "c": 337}) == (
        "On digits, a is best with 94.4 % top1, 0.6 points ahead of b; the gap is not resolved, nor is the gap to "
        "1 other model (these 360 images resolve gaps of 2.0 points or more)."
    )


def test_images_that_resolve_nothing():
    assert compared({"a": 5, "b": 3}, n=5).endswith(
        "the gap is not resolved (these 5 images are too few to tell any two apart)."
    )


def test_what_seeds_and_images_resolve_is_said_of_both():
    def outcomes(record: Record) -> Outcomes:
        return Outcomes(scores=np.arange(360) < counts[record.id], images="test")

    # The best has one seed; the seeds of the other widen the gap.
    records = [f.quality("a", 340), *(f.quality("b", 337 + seed, seed=seed) for seed in (0, 1))]
    counts = {record.id: round(record.measurements[0].value * 360) for record in records}
    board = build(records, [], "top1", outcomes)
    assert "(these 360 images and seeds resolve gaps of " in only(board)


def test_a_gap_is_not_called_too_small_where_it_is_larger_than_what_neighbours_resolve():
    def outcomes(record: Record) -> Outcomes:
        # a and b disagree on 220 images, the others on one each.
        right = range(100, 320) if record.planned.label == "a" else range(counts[record.planned.label])
        return Outcomes(scores=np.isin(np.arange(360), list(right)), images="test")

    counts = {"a": 220, "b": 200, "c": 199, "d": 198, "e": 197}
    board = build([f.quality(label, count) for label, count in counts.items()], [], "top1", outcomes)
    [resolution] = board.resolutions.values()
    assert resolution.gap is not None
    assert resolution.gap < 20 / 360
    assert only(board).endswith(
        "5.6 points ahead of b; the gap is not resolved, nor is the gap to 3 other models (a and b disagree on too "
        "many images)."
    )


def test_a_resolved_gap_beside_one_that_is_not():
    wide = f.record(f.quality_cell("c"), [f.top1(8, 10)])
    text = said(f.quality("a", 3400, n=3600), f.quality("b", 3200, n=3600), wide)
    assert text.endswith("5.6 points ahead of b; the gap is resolved, but not the gap to 1 other model.")


def test_seeds_are_said():
    records = [f.quality("a", 340), f.quality("a", 342, seed=1), f.quality("b", 300), f.quality("b", 301, seed=1)]
    assert said(*records).startswith("On digits, a is best with 94.7 % top1 (mean of 2 seeds), 11.2 points ahead of b;")


def test_lower_is_better_and_units():
    records = [
        f.record(f.quality_cell(name), [f.measurement("nll", value, unit="nat", better="lower")])
        for name, value in (("a", 0.25), ("b", 0.281))
    ]
    assert said(*records, *f.speed("a"), *f.speed("b"), rank_by="nll") == (
        "On digits, a is best with 0.25 nat nll, 0.031 nat ahead of b; the gap is not resolved."
    )


@pytest.mark.parametrize(("seeds", "words"), [((0, 1), "mean of 2 of 3 seeds"), ((0,), "1 of 2 seeds")])
def test_seeds_without_a_result_are_said(seeds, words):
    records = [f.quality("a", 340, seed=seed) for seed in seeds]
    failed = f.record(f.quality_cell("a", seed=9), status="oom", reason="9 GiB")
    assert said(*records, failed, f.quality("b", 300)).startswith(
        f"On digits, a is best with 94.4 % top1 ({words}), 11.1 points ahead of b;"
    )


def test_the_same_figure():
    records = [f.quality(name, 340) for name in "edcba"]
    assert said(*records[:2]) == "On digits, d and e are level and best, with 94.4 % top1."
    assert said(*records) == "On digits, a, b, c and 2 more are level and best, with 94.4 % top1."


def test_only_baselines():
    text = said(f.quality("knn", 340, baseline=True), f.quality("majority", 36, baseline=True))
    assert text == "On digits, only baselines are ranked; the best is knn with 94.4 % top1."


@pytest.mark.parametrize(
    ("correct", "words"),
    [
        (355, "The baseline knn, with 98.6 % top1, is better than any model by 4.2 points."),
        (
            345,
            "The baseline knn, with 95.8 % top1, is better than any model by 1.4 points, but the gap is not resolved.",
        ),
        (340, "The baseline knn, with 94.4 % top1, is as good."),
        (338, "The baseline knn, with 93.9 % top1, cannot be told apart from a."),
        (300, ""),
    ],
)
def test_a_baseline_that_is_not_beaten_is_named(correct, words):
    text = said(f.quality("a", 340), f.quality("b", 36), f.quality("knn", correct, baseline=True))
    assert text.partition("resolved. ")[2] == words or (not words and text.endswith("the gap is resolved."))


def test_the_fastest_within_a_point_of_the_best():
    records = [
        *(f.quality("best", 350), *f.speed("best", 1000)),
        *(f.quality("near", 347), *f.speed("near", 2500)),
        *(f.quality("far", 340), *f.speed("far", 9000)),
    ]
    assert said(*records).endswith(
        " Fastest within a point of the best: near, 2,500 images/s, 2.50 times as fast as best."
    )


def test_exactly_a_point_is_within():
    records = [f.quality("a", 986, n=1000), *f.speed("a", 10), f.quality("b", 976, n=1000), *f.speed("b", 20)]
    assert "Fastest within a point of the best: b, 20.0 images/s, 2.00 times as fast as a." in said(*records)


def test_the_best_may_be_the_fastest():
    records = [f.quality("a", 350), *f.speed("a", 1000), f.quality("b", 349), *f.speed("b", 500)]
    assert said(*records).endswith("Fastest within a point of the best: a, 1,000 images/s.")


def test_doubt_and_what_is_not_resolved_of_speeds_are_said():
    records = [
        *(f.quality("a", 350), *f.speed("a", 1000)),
        *(f.quality("b", 349), *f.speed("b", 1040, verdict="warn", reason="load")),
    ]
    assert said(*records).endswith(
        "the best: b, 1,040 images/s, 1.04 times as fast as a (doubtful; the gap is not resolved)."
    )


def test_an_invalid_speed_is_left_out_and_said():
    records = [
        *(f.quality("a", 350), *f.speed("a", 1000)),
        *(f.quality("b", 349), *f.speed("b", 9000, verdict="invalid", reason="quota")),
    ]
    assert said(*records).endswith("the best: a, 1,000 images/s; 1 invalid throughput is left out.")


def test_speeds_that_are_all_invalid_or_missing():
    pair = [f.quality("a", 350), f.quality("b", 349)]
    assert said(*pair).endswith("the gap is not resolved.")
    invalid = f.speed("a", 1000, verdict="invalid", reason="quota")
    assert said(*pair, *invalid).endswith("No throughput within a point of the best is valid.")


def test_disjoint_ranges_do_not_resolve_a_gap_of_speed():
    def speed(label: str, *processes: float) -> Record:
        given = [(f.measurement("throughput", value, unit="images/s"),) for value in processes]
        return f.record(f.speed_cell(label), merge_processes(given))

    records = [f.quality("a", 350), speed("a", 1000, 1003, 1006), f.quality("b", 349)]
    assert said(*records, speed("b", 1007, 1010, 1013)).endswith("1.01 times as fast as a (the gap is not resolved).")
    assert said(*records, speed("b", 1207, 1210, 1213)).endswith("1.21 times as fast as a.")
    # What two models resolve three do not, of which any might have been the fastest.
    records = [f.quality("a", 350), speed("a", 975, 1000, 1025), f.quality("b", 349), speed("b", 1073, 1100, 1128)]
    assert said(*records).endswith("1.10 times as fast as a.")
    third = [f.quality("c", 349), speed("c", 975, 1000, 1025)]
    assert said(*records, *third).endswith("1.10 times as fast as a (the gap is not resolved).")


def test_partial_results_are_not_ranked():
    assert said(f.quality("a", limit=100), f.quality("b", limit=100)) == (
        "Partial results are never ranked: digits, partial: limit 100. "
        "top1 so far: a 94.4 %, b 94.4 %; run without --limit and --epochs to rank them."
    )


def test_no_valid_figure():
    assert said(f.quality("a", verdict="invalid")) == "On digits, nothing is ranked: no row has a valid top1."


def test_speed_alone_is_not_spoken_of_unless_it_is_ranked():
    assert closing_sentences(build(f.speed("a"), [], "top1")) == []
    assert closing_sentences(build(f.speed("a"), [], "throughput")) == [
        "On speed alone, the only model is a, with 1,000 images/s throughput."
    ]


def test_nothing_is_said_of_nothing():
    assert closing_sentences(build([], [f.quality_cell()], "top1")) == []


def test_conditions_of_one_data_set_are_told_apart():
    records = [f.quality("a", 340), f.quality("a", 330, precision="bfloat16")]
    assert closing_sentences(build(records, [], "top1")) == [
        "On digits (bfloat16), the only model is a, with 91.7 % top1.",
        "On digits (float32), the only model is a, with 94.4 % top1.",
    ]


def test_conditions_after_a_place_end_with_a_comma():
    board = build([f.quality("a", 340), f.quality("a", 340, split="val")], [], "top1")
    assert any(one.startswith("On digits, judged on validation images, the only") for one in closing_sentences(board))
