"""Rows that were ranked are hidden, sorted and told in columns; ranks and tests stay those among all."""

from __future__ import annotations

import factories as f
import pytest

from vitbench.errors import UsageError
from vitbench.leaderboard.leaderboard import Leaderboard, build
from vitbench.leaderboard.view import View, viewed
from vitbench.report import render
from vitbench.report.sentence import closing_sentences

RECORDS = [
    *(f.quality("a", 340), *f.speed("a", 100), f.quality("b", 338), *f.speed("b", 900)),
    *(f.quality("c", 336), *f.speed("c", 500, verdict="invalid", reason="load"), f.quality("d", 200)),
    f.quality("a", 300, recipe="recipes/finetune"),
]


def board(**asked: object) -> Leaderboard:
    return viewed(build(RECORDS, [], "top1"), View(**asked))  # type: ignore[arg-type]


def labels(found: Leaderboard) -> list[str]:
    return [row.label for row in found.rows]


ALL = ["a [recipes/supervised]", "b", "c", "a [recipes/finetune]", "d"]


def test_rows_are_hidden_and_ranks_stay() -> None:
    found = board(where="throughput > 50 and params < 1M")
    assert labels(found) == ["a [recipes/supervised]", "b", "a [recipes/finetune]"]
    whole = {row.label: (row.rank, row.rank_last, row.tied_with) for row in board().rows}
    assert {row.label: (row.rank, row.rank_last, row.tied_with) for row in found.rows}.items() <= whole.items()
    assert found.hidden.startswith(f"Shown: {len(found.rows)} of 5 rows, where throughput > 50 and params < 1 M; ")
    assert "1 row has no throughput and 1 row has an invalid throughput;" in found.hidden
    assert found.hidden.endswith("Ranks and their tests are among all 5.")


def test_a_row_that_is_tied_with_a_hidden_one_of_its_name_stays_tied() -> None:
    """Whether a gap is resolved is looked up by names, which must not depend on what is shown."""
    found = board(where="top1 > 93.5%")
    assert labels(found) == ["a [recipes/supervised]", "b"]
    [said, _] = closing_sentences(found)
    assert said.startswith("On digits, among the rows shown, a [recipes/supervised] is best")
    assert "the gap is not resolved" in said


def test_the_best_is_the_best_however_rows_are_sorted() -> None:
    assert closing_sentences(board(sort="-top1")) == closing_sentences(board())


@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [
        ("throughput", "b", "d"),
        ("-throughput", "a [recipes/supervised]", "d"),
        ("nll", "a [recipes/supervised]", "d"),
        ("-top1", "d", "a [recipes/supervised]"),
        ("recipe", "a [recipes/finetune]", "d"),
    ],
)
def test_rows_are_sorted_the_best_first_and_those_without_a_value_last(sort: str, first: str, last: str) -> None:
    found = labels(board(sort=sort))
    assert (found[0], found[-1]) == (first, last)
    assert sorted(found) == sorted(ALL)


def test_columns_are_those_that_are_asked_for_in_their_order() -> None:
    found = board(columns=("recipe", "Params", "image-size", "top1", "model"))
    assert found.columns == ("recipe", "params", "image_size", "top1")
    heads = next(line for line in render(found, "md").splitlines() if "model" in line)
    assert [head.strip() for head in heads.strip("| ").split("|")] == [
        *("rank", "model", "recipe", "params M", "input", "top1 %", "95 % interval")
    ]
    assert render(found, "csv").splitlines()[0] == (
        '"rank","rank_last","model","dataset","recipe","param_count","img_size","top1"'
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"where": "top1 > 99%"}, r"no row meets top1 > 99%; the nearest: a \[recipes/supervised\] \(top1 94.4%\), b"),
        ({"where": "throughput > 1e6"}, "and 1 row has an invalid throughput.$"),
        ({"where": "speed > 1"}, 'there is no metric "speed"'),
        ({"sort": "troughput"}, 'no column "troughput". Did you mean "throughput"'),
        (
            {"columns": ("licence", "x")},
            'no column "x". There are: image_size, pretrained_on, licence',
        ),
        ({"columns": ("rank", "model")}, "name a metric or another column"),
    ],
)
def test_what_cannot_be_shown_is_refused(asked: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        board(**asked)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"where": "throughput > 5"}, "no row has throughput: speeds were not measured."),
        ({"where": "throughptu > 5"}, "there is no metric"),
        ({"sort": "-train-throughput"}, "no row has train_throughput: speeds were not measured."),
    ],
)
def test_speeds_that_were_not_measured_are_no_slip(asked: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        viewed(build([f.quality("a", 340)], [], "top1"), View(**asked))  # type: ignore[arg-type]
