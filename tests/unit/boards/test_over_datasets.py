"""Whether an order holds over datasets: textbook figures, and what few datasets cannot decide."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wilcoxon

from vitbench.boards.over_datasets import (
    critical_difference,
    holm_p_values,
    mean_ranks,
    over_datasets,
    signed_rank_p,
)


@pytest.mark.parametrize(("models", "datasets", "wanted"), [(4, 14, 1.25), (2, 10, 0.62), (10, 20, 3.03)])
def test_nemenyis_critical_difference(models: int, datasets: int, wanted: float) -> None:
    """Demsar (2006) has 1.25 for its example of 4 classifiers on 14 datasets, and q of 1.960 and 3.164 for 2 and 10."""
    assert critical_difference(models, datasets) == pytest.approx(wanted, abs=0.006)


def test_the_signed_rank_test_is_exact() -> None:
    random = np.random.default_rng(0)
    for size in (4, 9, 19):
        differences = random.standard_normal(size) + 0.3
        assert signed_rank_p(differences) == pytest.approx(wilcoxon(differences, method="exact").pvalue)
    # By hand: |1|, |1|, |2| have the ranks 1.5, 1.5, 3; of 8 signs one sums to 6 and two to 4.5.
    assert signed_rank_p(np.array([1.0, 1.0, 2.0])) == pytest.approx(2 / 8)
    assert signed_rank_p(np.array([-1.0, 1.0, 2.0])) == pytest.approx(2 * 3 / 8)
    assert signed_rank_p(np.array([0.0, 1.0, 1.0, 2.0])) == pytest.approx(2 / 8)  # a tie says nothing
    assert signed_rank_p(np.zeros(5)) == 1.0


def test_holms_p_values() -> None:
    assert holm_p_values([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm_p_values([]) == []


def test_five_datasets_cannot_decide_and_six_can_for_one_pair() -> None:
    for datasets, least, can in ((5, 1 / 16, False), (6, 1 / 32, True)):
        merits = np.array([np.linspace(0.5, 0.9, datasets) + 0.05, np.linspace(0.5, 0.9, datasets)])
        names = [str(d) for d in range(datasets)]
        over = over_datasets(merits, ["a", "b"], names, [""] * datasets, "mean")
        assert over is not None
        assert (over.least_p, over.can_decide, over.friedman_p) == (least, can, None)
        [pair] = over.pairs
        assert (pair.first, pair.wins, pair.losses, pair.p_value) == ("a", datasets, 0, least)
    # With three models there are three pairs, and 1/32 passes none of Holm's first steps.
    three = over_datasets(np.vstack([merits, merits[:1] - 0.2]), list("abc"), names, [""] * 6, "mean")
    assert three is not None
    assert not three.can_decide
    assert three.friedman_p == pytest.approx(np.exp(-6))  # chi-square of 12 with 2 degrees: all agree


def test_a_single_dataset_may_decide_an_order() -> None:
    merits = np.array([[0.9, 0.5, 0.5], [0.5, 0.55, 0.6], [0.1, 0.1, 0.1]])
    over = over_datasets(merits, ["a", "b", "c"], ["x", "y", "z"], ["", "", ""], "mean")
    assert over is not None
    assert [(each.dataset, each.first, each.second) for each in over.decides] == [("x", "a", "b")]
    assert mean_ranks(merits).tolist() == pytest.approx([5 / 3, 4 / 3, 3.0])
    # Of groups, leaving x out leaves its group out.
    grouped = over_datasets(merits, ["a", "b", "c"], ["x", "y", "z"], ["one", "two", "two"], "mean of groups")
    assert grouped is not None
    assert [each.dataset for each in grouped.decides] == ["x"]


def test_rounding_neither_wins_nor_breaks_ties() -> None:
    """0.62 - 0.60 and 0.52 - 0.50 differ in the last bits, and so do means over seeds in another order."""
    first, second = [0.62, 0.50, 0.72, 0.1 + 0.2], [0.60, 0.52, 0.70, 0.3]
    over = over_datasets(np.array([first, second]), ["a", "b"], list("wxyz"), [""] * 4, "mean")
    assert over is not None
    [pair] = over.pairs
    assert (pair.wins, pair.losses) == (2, 1)
    assert pair.p_value == 1.0  # signs of three equal differences: two of three are as likely as not
    assert mean_ranks(np.array([first, second])).tolist() == [1.375, 1.625]
