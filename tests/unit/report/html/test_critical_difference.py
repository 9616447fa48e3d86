"""The places of a critical-difference diagram."""

from __future__ import annotations

import pytest

from vitbench.report.html.critical_difference import diagram_of, groups_alike
from vitbench.report.terminal_text import display_width


@pytest.mark.parametrize(
    ("ranks", "difference", "groups"),
    [
        ([1.0, 2.0, 3.0, 4.0], 1.0, [(0, 1), (1, 2), (2, 3)]),
        ([1.0, 1.5, 2.0, 4.0], 1.0, [(0, 2)]),
        ([1.2, 1.9, 3.4, 3.5], 1.6, [(0, 1), (1, 3)]),
        ([1.0, 3.0], 1.0, []),
        ([1.0, 1.1, 1.2], 5.0, [(0, 2)]),
    ],
)
def test_only_the_longest_runs_within_the_difference_are_joined(
    ranks: list[float], difference: float, groups: list[tuple[int, int]]
) -> None:
    assert groups_alike(ranks, difference) == groups


def test_each_model_has_its_place_and_no_two_names_share_one() -> None:
    ranked = [(f"model-{number}", 1.0 + number * 0.9) for number in range(20)]
    drawn = diagram_of(ranked[::-1], 6.0)
    assert [mark.x for mark in drawn.marks if mark.left] == sorted(mark.x for mark in drawn.marks if mark.left)
    assert len({(mark.left, mark.y) for mark in drawn.marks}) == 20
    assert sum(mark.left for mark in drawn.marks) == 10
    assert all(drawn.start <= mark.x <= drawn.end for mark in drawn.marks)
    assert max(line.y for line in drawn.joined) < min(mark.y for mark in drawn.marks)
    assert max(mark.y for mark in drawn.marks) < drawn.height
    one_rank = (drawn.end - drawn.start) / 19
    assert drawn.difference_end - drawn.start == pytest.approx(6 * one_rank, abs=0.1)
    assert next(mark.x for mark in drawn.marks if mark.name == "model-1") == pytest.approx(
        drawn.start + 0.9 * one_rank, abs=0.1
    )


def test_long_names_that_begin_alike_are_told_apart_by_their_ends_and_whole_in_the_title() -> None:
    names = [f"vit_small_patch16_224.augreg_{ending}" for ending in ("in1k", "in21k_ft_in1k")]
    drawn = diagram_of([*zip(names, (1.0, 2.0), strict=True), ("two\nlines" + "\u6a21" * 20, 3.0)], 1.5)
    shown = [mark.name for mark in drawn.marks]
    assert len(set(shown)) == 3
    assert all(display_width(name) <= 30 and name.isprintable() for name in shown)
    assert drawn.marks[0].title == f"{names[0]}: 1.00"
    assert f"Not significantly different: {names[0]}, {names[1]}; {names[1]}, two" in drawn.words
