"""What comparisons say of a claim: every verdict, and the edges between them."""

from __future__ import annotations

import numpy as np
import pytest

from vitbench.findings.statements import Claim
from vitbench.findings.verdicts import Sign, outcome_of, sign_of
from vitbench.leaderboard.image_scores import Outcomes
from vitbench.leaderboard.paired import PairedDifference, paired_difference

IMAGES = 1000
BETTER = Claim(name="patch", text="Patch 4 is better", rows=("a",), against=("b",))
EQUAL = Claim(name="depth", text="Both are about equal", rows=("a",), against=("b",), relation="equal", margin=2.0)


def paired(row_alone: int, other_alone: int, *, seeds: int = 1) -> PairedDifference:
    """Return a comparison of two models that differ on so many images, with the same answers from each seed."""
    row, other = np.zeros(IMAGES, bool), np.zeros(IMAGES, bool)
    row[:row_alone] = True
    other[row_alone : row_alone + other_alone] = True
    known = [[Outcomes(scores=each, images="test")] * seeds for each in (other, row)]
    found = paired_difference(*known)
    assert found is not None
    return found


def sign(
    claim: Claim, found: PairedDifference | None, *, margin: float = 0.0, higher: bool = True, tests: int = 1
) -> Sign:
    return sign_of(claim, found, margin=margin, higher=higher, tests=tests)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(
    ("row_alone", "other_alone", "wanted"),
    [(60, 20, "for"), (20, 60, "against"), (40, 40, "open"), (30, 22, "open"), (0, 0, "open")],
)
def test_a_direction_is_told_by_the_paired_test(row_alone: int, other_alone: int, wanted: Sign, seeds: int) -> None:
    found = paired(row_alone, other_alone, seeds=seeds)
    assert sign(BETTER, found) == wanted
    turned = {"for": "against", "against": "for", "open": "open"}[wanted]
    assert sign(BETTER, found, higher=False) == turned


def test_one_of_several_tests_refutes_at_its_share_of_the_level_only() -> None:
    contrary = paired(20, 38)  # p 0.025
    assert 0.05 / 3 < contrary.p_value < 0.05 / 2
    assert [sign(BETTER, contrary, tests=tests) for tests in (1, 2, 3)] == ["against", "against", "open"]
    # To confirm, each comparison has the whole level: all of them must be significant.
    assert sign(BETTER, paired(38, 20), tests=100) == "for"


def test_nothing_is_told_of_what_is_not_known_of_the_same_images() -> None:
    assert sign(BETTER, None) == sign(EQUAL, None, margin=0.5) == "open"
    # Equal answers of several seeds show no spread, and no interval is made from nothing.
    assert paired(0, 0, seeds=2).interval(0.05) is None
    assert sign(EQUAL, paired(0, 0, seeds=2), margin=0.5) == "open"


@pytest.mark.parametrize("seeds", [1, 2])
def test_about_equal_is_told_by_the_whole_interval(seeds: int) -> None:
    found = paired(25, 15, seeds=seeds)
    ends = found.interval(0.05)
    assert ends is not None
    low, high = ends
    assert low < 0 < high
    assert sign(EQUAL, found, margin=high + 1e-9) == "for"
    assert sign(EQUAL, found, margin=high) == "open", "an end on the margin is not inside"
    assert sign(EQUAL, found, margin=found.value) == "open", "the value inside is not enough"


@pytest.mark.parametrize(("row_alone", "other_alone"), [(120, 20), (20, 120)])
def test_about_equal_is_refuted_where_the_whole_interval_lies_outside(row_alone: int, other_alone: int) -> None:
    found = paired(row_alone, other_alone)
    ends = found.interval(0.05)
    assert ends is not None
    nearest = min(map(abs, ends))
    assert sign(EQUAL, found, margin=nearest - 1e-9) == "against"
    assert sign(EQUAL, found, margin=nearest) == "open", "an end on the margin is not outside"
    assert sign(EQUAL, found, margin=nearest - 1e-9, tests=2) == "open", "the interval of a shared level is wider"


@pytest.mark.parametrize(
    ("signs", "tests", "wanted"),
    [
        (["for", "for"], 2, "confirmed"),
        (["for", "open"], 2, "not resolved"),
        (["for", "against"], 2, "refuted"),
        (["for"], 2, "not run"),
        ([], 1, "not run"),
        (["against"], 2, "refuted"),  # whatever the missing comparison would say
    ],
)
def test_a_claim_needs_all_of_its_comparisons(signs: list[Sign], tests: int, wanted: str) -> None:
    assert outcome_of(signs, tests=tests) == wanted
