"""Rows that fit patterns are ranked among themselves; what is left out is counted, and nothing fits by mistake."""

from __future__ import annotations

import factories as f
import msgspec
import pytest

from vitbench.errors import UsageError
from vitbench.leaderboard.leaderboard import Leaderboard, build
from vitbench.leaderboard.selecting import Patterns

CIFAR = msgspec.structs.replace(
    f.data_info("cifar10", title="CIFAR-10"), name="datasets/cifar10", fingerprint="ab" * 32
)
BROKEN = f.record(f.speed_cell("broken"), status="oom", reason="9 GiB")
RECORDS = [
    *(f.quality("vit-a", 340), *f.speed("vit-a"), f.quality("vit-b", 330), f.quality("net", 300)),
    *(f.quality("vit-a", 300, data=CIFAR), f.quality("other", 310, data=CIFAR), BROKEN),
]


def shown(*models: str, datasets: tuple[str, ...] = ()) -> Leaderboard:
    return build(RECORDS, [], "top1", patterns=Patterns(models=models, datasets=datasets))


def names(board: Leaderboard) -> list[str]:
    return [f"{row.model} {row.condition.dataset}" for row in board.rows]


@pytest.mark.parametrize(
    ("models", "datasets", "found"),
    [
        (("vit-*",), (), ["vit-a CIFAR-10", "vit-a digits", "vit-b digits"]),
        (("scratch/net",), (), ["net digits"]),
        (("net [recipes/supervised]",), (), ["net digits"]),
        (("!vit-*",), (), ["other CIFAR-10", "net digits"]),
        (("vit-*", "!vit-b"), ("digits",), ["vit-a digits"]),
        ((), ("CIFAR-10",), ["other CIFAR-10", "vit-a CIFAR-10"]),
        ((), ("datasets/cifar10",), ["other CIFAR-10", "vit-a CIFAR-10"]),
        ((), ("cifar10",), ["other CIFAR-10", "vit-a CIFAR-10"]),
        ((), ("!digits",), ["other CIFAR-10", "vit-a CIFAR-10"]),
    ],
)
def test_rows_are_found_by_what_they_may_be_called(
    models: tuple[str, ...], datasets: tuple[str, ...], found: list[str]
) -> None:
    assert names(shown(*models, datasets=datasets)) == found


def test_ranks_are_among_what_is_shown() -> None:
    digits = [row for row in build(RECORDS, [], "top1").rows if row.condition.dataset == "digits"]
    assert [(row.model, row.rank, row.rank_last) for row in digits] == [("vit-a", 1, 2), ("vit-b", 1, 2), ("net", 3, 3)]
    assert [(row.model, row.rank, row.rank_last) for row in shown("vit-b", "net", datasets=("digits",)).rows] == [
        ("vit-b", 1, 1),
        ("net", 2, 2),
    ]


def test_names_stay_those_of_the_whole_folder() -> None:
    wide = f.quality("vit", 340, options={"patch_size": 4}), f.quality("vit", 330, options={"patch_size": 2})
    board = build(wide, [], "top1", patterns=Patterns(models=("vit:patch_size=2",)))
    assert [row.model for row in board.rows] == ["vit:patch_size=2"]


def test_what_is_left_out_is_counted() -> None:
    words = "Left out: 4 of 5 rows and 1 of 1 cells without a result. Shown, and ranked among themselves: models net."
    board = shown("net")
    assert (board.hidden, board.failed) == (words, ())
    assert build(RECORDS, [], "top1").hidden == ""


def test_a_cell_without_a_result_is_shown_with_its_model() -> None:
    assert [failure.model for failure in shown("broken").failed] == ["broken"]
    # A speed is of no dataset, and its model has no row here.
    assert shown(datasets=("digits",)).failed == ()


@pytest.mark.parametrize(
    ("models", "datasets", "words"),
    [
        (("vit-c",), (), 'no model of this leaderboard matches "vit-c". Did you mean "vit-b"'),
        (("net", "!zzz"), (), r'matches "zzz"\. There are: vit-a, vit-b, net, other, broken\.'),
        ((), ("cifar",), 'no dataset of this leaderboard matches "cifar". Did you mean "cifar10"'),
        (("net",), ("CIFAR-10",), "nothing matches models net and datasets CIFAR-10 at once"),
    ],
)
def test_a_pattern_that_fits_nothing_is_refused(models: tuple[str, ...], datasets: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        shown(*models, datasets=datasets)


def test_a_folder_without_results_says_so_and_lists_nothing() -> None:
    with pytest.raises(UsageError, match=r'matches "x"\. There are no results yet\.$'):
        build([], [], "top1", patterns=Patterns(models=("x",)))
