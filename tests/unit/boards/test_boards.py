"""Boards of results folders with made-up scores: who is on them, what is missing, and whose scores they are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import factories as f
import msgspec
import numpy as np
import pytest
from comparisons import quality, right, write

import vitbench
from vitbench.boards.board import SCORES, Board, Score
from vitbench.boards.boards import make_boards, read_boards
from vitbench.boards.statement import BoardStatement
from vitbench.leaderboard.leaderboard import build
from vitbench.records import DataInfo, Record, newest_by_id

SUITE = 'name = "two"\nsummary = "x"\ndatasets = ["d/a", "b", "c"]\n'


PUBLISHED = {
    # Seven natural tasks, four specialized, eight structured. ViT-B/16 of ImageNet-21k at 224 px: arXiv 2203.12119
    # (VPT) and V-PETL-Bench, table 1.
    "Linear": "63.4 85.0 63.2 97.0 86.3 36.6 51.0 78.5 87.5 68.6 74.0 34.3 30.6 33.2 55.4 12.5 20.0 9.6 19.2",
    "Full": "68.9 87.7 64.3 97.2 86.9 87.4 38.8 79.7 95.7 84.2 73.9 56.3 58.6 41.7 65.5 57.5 46.7 25.7 29.1",
    "BitFit": "72.8 87.0 59.2 97.5 85.3 59.9 51.4 78.7 91.6 72.9 69.8 61.5 55.6 32.4 55.9 66.6 40.0 15.7 25.1",
    "VPT-Deep": "78.8 90.8 65.8 98.0 88.3 78.1 49.6 81.8 96.1 83.4 68.4 68.5 60.0 46.5 72.8 73.6 47.9 32.9 37.8",
    "LoRA": "67.1 91.4 69.4 98.8 90.4 85.3 54.0 84.9 95.3 84.4 73.6 82.9 69.2 49.8 78.5 75.7 47.1 31.0 44.0",
    "ResNet-50, fine-tuned": (
        "57.0 91.0 66.0 88.6 89.9 87.3 34.4 80.6 95.3 80.8 73.2 41.0 56.1 36.3 70.6 85.7 46.0 45.7 35.4"
    ),
    "ResNet-50, from scratch": (
        "13.2 38.2 20.6 40.2 12.1 66.1 5.0 75.6 85.0 42.6 72.6 38.8 55.2 26.6 42.7 78.4 39.2 30.1 37.6"
    ),
}


MEANS = {
    "Linear": (52.94, 57.64, (68.93, 77.15, 26.85)),
    "Full": (65.57, 68.97, (75.89, 83.38, 47.64)),
    "BitFit": (62.05, None, None),
    "VPT-Deep": (69.43, None, None),
    "LoRA": (72.25, None, None),
    "ResNet-50, fine-tuned": (66.37, None, None),
    "ResNet-50, from scratch": (43.14, None, None),
}
"""Of 19 tasks, of groups, and of each group; None where nothing was published."""


def data(name: str, **changes: Any) -> DataInfo:
    return msgspec.structs.replace(f.data_info(name), **changes)


def one(label: str, dataset: str, correct: int, **fields: Any) -> tuple[Record, Any]:
    fields.setdefault("data", data(dataset))
    return quality(label, right(correct, start=fields.pop("start", 0)), **fields)


def only(folder: Path) -> Board:
    (board,) = read_boards(folder)
    return board


def test_a_score_is_the_mean_and_its_interval_has_the_known_variance(tmp_path: Path) -> None:
    """Of two independent shares of 400 images each: the error of their mean is known in closed form."""
    parts = [one("p4", "a", 300), one("p4", "b", 200), one("p8", "a", 200, start=200), one("p8", "b", 180)]
    board = only(write(tmp_path, *parts))
    best, other = board.rows
    assert (best.label, other.label) == ("p4", "p8")
    assert best.score is not None
    assert best.score.low is not None
    assert best.score.high is not None
    assert best.score.value == pytest.approx((0.75 + 0.5) / 2)
    error = math.sqrt((0.75 * 0.25 + 0.5 * 0.5) / 400) / 2
    assert best.score.high - best.score.value == pytest.approx(1.96 * error, rel=0.05)
    assert best.score.value - best.score.low == pytest.approx(1.96 * error, rel=0.05)
    # Of a, p4 alone has 200 images right and p8 alone 100; of b, p4 alone has 20.
    (pair,) = board.pairs
    assert pair.low is not None
    gap = (100 + 20) / 400 / 2
    of_a, of_b = 300 / 400 - (100 / 400) ** 2, 20 / 400 - (20 / 400) ** 2
    assert pair.difference == pytest.approx(gap)
    assert gap - pair.low == pytest.approx(1.96 * math.sqrt((of_a + of_b) / 400) / 2, rel=0.05)
    assert pair.different
    assert [(row.rank, row.rank_last, row.mean_rank) for row in board.rows] == [(1, 1, 1.0), (2, 2, 2.0)]


def test_pairing_shows_what_the_intervals_do_not(tmp_path: Path) -> None:
    """15 images of 400 are all on one side: far inside both intervals."""
    parts = [one("p4", "a", 215), one("p4", "b", 215), one("p8", "a", 200), one("p8", "b", 200)]
    parts += [one("p9", "a", 203), one("p9", "b", 200)]
    board = only(write(tmp_path, *parts))
    found = {(pair.first, pair.second): pair.different for pair in board.pairs}
    assert found == {("p4", "p8"): True, ("p4", "p9"): True, ("p9", "p8"): False}
    assert [(row.label, row.rank, row.rank_last, row.ties) for row in board.rows] == [
        ("p4", 1, 1, ()),
        ("p9", 2, 3, ("p8",)),
        ("p8", 2, 3, ("p9",)),
    ]
    unpaired = only(write(tmp_path / "unpaired", *parts, predictions=False))
    assert not any(pair.different for pair in unpaired.pairs)
    assert all(pair.p_value is None for pair in unpaired.pairs)
    low = unpaired.rows[0].score
    assert low is not None
    assert low.low is not None  # from the intervals of the values
    assert 0.03 < low.value - low.low < 0.04


def test_seeds_widen_the_interval_and_what_is_told_apart(tmp_path: Path) -> None:
    def parts(step: int) -> list[Any]:
        made = [("p4", 230), ("p8", 200)]
        return [
            one(label, name, correct + step * (seed - 1), seed=seed)
            for label, correct in made
            for name in "ab"
            for seed in range(3)
        ]

    steady, unsteady = (only(write(tmp_path / str(step), *parts(step))) for step in (1, 40))
    assert [pair.different for pair in (*steady.pairs, *unsteady.pairs)] == [True, False]
    assert steady.rows[0].values[0] is not None
    assert steady.rows[0].values[0].seeds == (0, 1, 2)
    half = []
    for board in (steady, unsteady):
        score = board.rows[0].score
        assert score is not None
        assert score.low is not None
        half.append(score.value - score.low)
    assert half[1] > 2 * half[0]


def test_a_missing_dataset_is_a_missing_score_with_its_reason(tmp_path: Path) -> None:
    failed = f.record(f.quality_cell("p8", data=data("c")), [], status="failed", reason="out of memory")
    parts: list[Any] = [one("p4", name, 300) for name in "abc"]
    parts += [one("p8", name, 399) for name in "ab"] + [[failed]]
    parts += [one("p9", "a", 390), one("p9", "b", 100, verdict="invalid"), one("p9", "c", 1)]
    groups = '[groups]\nlow = ["c"]\nhigh = ["a", "b"]\n'
    board = only(write(tmp_path, *parts, suite=SUITE + 'score = "mean of groups"\n' + groups))
    assert (board.suite, board.score, board.groups) == ("two", "mean of groups", ("low", "high"))
    assert [(each.name, each.group, each.images) for each in board.datasets] == [
        ("c", "low", 400),
        ("a", "high", 400),
        ("b", "high", 400),
    ]
    rows = {row.label: row for row in board.rows}
    assert [row.label for row in board.rows] == ["p4", "p8", "p9"]  # those without a score last
    assert rows["p8"].score is rows["p9"].score is None
    assert [(each.dataset, each.reason) for each in rows["p8"].missing] == [("c", "failed: out of memory")]
    assert [(each.dataset, each.reason) for each in rows["p9"].missing] == [
        ("b", "invalid: the model is order-dependent")
    ]
    assert [each and round(each.value, 4) for each in rows["p8"].group_scores] == [None, 0.9975]
    assert (rows["p8"].rank, rows["p8"].mean_rank, rows["p4"].rank) == (None, None, 1)


def test_a_suite_that_states_a_score_demands_all_of_its_datasets(tmp_path: Path) -> None:
    parts = [one("p4", "a", 300), one("p4", "b", 200), one("p4", "z", 100)]
    stated = only(write(tmp_path / "stated", *parts, suite=SUITE + 'score = "mean"'))
    assert [each.name for each in stated.datasets] == ["a", "b", "c"]
    assert stated.rows[0].score is None
    assert [(each.dataset, each.reason) for each in stated.rows[0].missing] == [("c", "not asked for")]
    assert stated.left_out == ("not a dataset of the suite two, and not on its board: z",)
    listed = only(write(tmp_path / "listed", *parts, suite=SUITE))
    assert [each.name for each in listed.datasets] == ["a", "b", "z"]
    assert listed.rows[0].score is not None
    assert listed.rows[0].score.value == pytest.approx(0.5)


def test_other_conditions_are_other_boards(tmp_path: Path) -> None:
    """Precision, length, split, recipe and options: none is mixed with another, and a single dataset is no board."""
    parts = [one("p4", name, 300) for name in "ab"]
    parts += [one("p4", name, 310, epochs=1) for name in "ab"]
    parts += [one("p4", name, 320, split="val") for name in "ab"]
    parts += [one("p4", "a", 330, precision="bfloat16")]
    parts += [one("p4", name, 340, recipe_options={"epochs": 5}) for name in "ab"]
    boards = read_boards(write(tmp_path, *parts))
    shown = [
        (b.condition.split, b.condition.epochs, [r.score and round(r.score.value, 3) for r in b.rows]) for b in boards
    ]
    assert shown == [("test", None, [0.85, 0.75]), ("test", 1, [0.775]), ("val", None, [0.8])]
    assert len({row.label for row in boards[0].rows}) == 2
    assert boards[1].rows[0].rank is None  # partial
    assert boards[1].pairs == ()


def test_images_of_another_version_are_not_mixed_in(tmp_path: Path) -> None:
    place = tmp_path / "place"
    other = data("a", fingerprint="other")
    parts = [one("p4", "a", 300), one("p4", "b", 300), one("p8", "a", 200), one("p8", "b", 200)]
    board = only(write(place, *parts, one("p9", "a", 399, data=other), one("p9", "b", 399)))
    assert board.left_out == ("a: 1 row is from different images than most and not on this board",)
    assert {row.label: row.score is None for row in board.rows} == {"p4": False, "p8": False, "p9": True}


def test_lineages_have_boards_of_their_own(tmp_path: Path) -> None:
    """A dataset that comes in one version stands on both; the lineage of each column is said."""
    lined = {name: data("a", fingerprint=name, lineage=name) for name in ("TFDS", "archives")}
    parts = [
        one("p4", "a", 300, data=lined["TFDS"]),
        one("p8", "a", 290, data=lined["TFDS"]),
        one("p9", "a", 310, data=lined["archives"]),
        *(one(label, "b", 200) for label in ("p4", "p8", "p9")),
    ]
    boards = read_boards(write(tmp_path, *parts))
    assert [[(each.name, each.lineage) for each in board.datasets] for board in boards] == [
        [("a", "TFDS"), ("b", "")],
        [("a", "archives"), ("b", "")],
    ]
    first, second = boards
    assert [(row.label, row.score is not None) for row in first.rows] == [("p4", True), ("p8", True), ("p9", False)]
    assert [(each.dataset, each.reason) for each in first.rows[2].missing] == [
        ("a", "only on different images, lineage archives")
    ]
    assert [row.label for row in second.rows if row.score] == ["p9"]


def test_datasets_of_the_same_images_are_resampled_together(tmp_path: Path) -> None:
    """The same scores on the same images twice say no more than once: the error of the mean is that of one."""
    same = [data(name, fingerprint="same") for name in "ab"]
    parts = [one(label, "", correct, data=each) for label, correct in (("p4", 300), ("p8", 280)) for each in same]
    board = only(write(tmp_path, *parts))
    score = board.rows[0].score
    assert score is not None
    assert score.high is not None
    assert score.high - score.value == pytest.approx(1.96 * math.sqrt(0.75 * 0.25 / 400), rel=0.06)


def test_what_a_view_hides_is_on_the_boards_all_the_same(tmp_path: Path) -> None:
    parts = [one(label, name, correct) for label, correct in (("p4", 300), ("p8", 200)) for name in "ab"]
    shown = vitbench.load(write(tmp_path, *parts), models=["scratch/p4"], datasets=["a"])
    assert len(shown.leaderboard.rows) == 1
    [board] = shown.boards()
    assert [(row.label, row.score is not None) for row in board.rows] == [("p4", True), ("p8", True)]
    assert [each.name for each in board.datasets] == ["a", "b"]


def test_damaged_and_older_suites_state_nothing(tmp_path: Path) -> None:
    parts = [one("p4", "a", 300), one("p4", "b", 200)]
    board = only(write(tmp_path, *parts, suite='name = "x"\nscore = "median"'))
    assert (board.suite, board.score, len(board.rows)) == ("", "mean", 1)
    assert board.over_datasets is None
    assert np.isfinite([value.value for value in board.rows[0].values if value]).all()


def test_published_rows_of_vtab_have_their_published_scores() -> None:
    """Within a hundredth: tasks are published to a tenth, and the means are of figures that are not rounded."""
    tasks = [f"task{i}" for i in range(19)]
    groups = {"natural": tuple(tasks[:7]), "specialized": tuple(tasks[7:11]), "structured": tuple(tasks[11:])}
    records = [
        f.record(f.quality_cell(name, data=data(task)), [f.top1(round(10 * float(share)), 1000)])
        for name, shares in PUBLISHED.items()
        for task, share in zip(tasks, shares.split(), strict=True)
    ]

    def board(score: Score, some: list[Record]) -> Board:
        statement = BoardStatement(name="vtab", datasets=tuple(tasks), groups=groups, score=score)
        [found] = make_boards(build(some, [], "top1"), newest_by_id(some), lambda _: None, statement)
        return found

    mean, grouped = (board(score, records) for score in SCORES)
    assert mean.groups == ("natural", "specialized", "structured")
    for row, of_groups in ((row, each) for row in mean.rows for each in grouped.rows if row.label == each.label):
        of_tasks, wanted, own = MEANS[row.label]
        assert row.score is not None
        assert of_groups.score is not None
        assert 100 * row.score.value == pytest.approx(of_tasks, abs=0.01)
        if wanted is not None:
            assert 100 * of_groups.score.value == pytest.approx(wanted, abs=0.01)
            assert [100 * each.value for each in row.group_scores if each] == pytest.approx(own, abs=0.01)
    assert [row.label for row in mean.rows[:2]] == ["LoRA", "VPT-Deep"]
    # Without one of them there is no score, and no mean of 18.
    less = board("mean", records[1:])
    linear = next(row for row in less.rows if row.label == "Linear")
    assert (linear.score, linear.group_scores[0], linear.rank) == (None, None, None)
    assert len(less.pairs) == 15
