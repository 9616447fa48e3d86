"""Two models on the same images: intervals that cover, tests that hold their level, and what would resolve more."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import ttest_rel

from vitbench.leaderboard.image_scores import Outcomes, Resampled
from vitbench.leaderboard.paired import images_needed, paired_difference, tango
from vitbench.statistics import mcnemar, mcnemar_gap


def outcomes(*scores: object, images: str = "test", dtype: type = bool) -> list[Outcomes]:
    """Return one seed's outcomes each."""
    return [Outcomes(scores=np.asarray(each, dtype=dtype), images=images) for each in scores]


# Tango's interval


def by_likelihood(difference: float, only_first: int, only_second: int, images: int) -> float:
    """Return the score statistic with the restricted chances found by maximising the likelihood."""

    def loss(first: float) -> float:
        second, neither = first + difference, 1 - 2 * first - difference
        return -(
            only_first * math.log(first)
            + only_second * math.log(second)
            + (images - only_first - only_second) * math.log(neither)
        )

    low, high = max(0.0, -difference), (1 - difference) / 2
    first = minimize_scalar(loss, bounds=(low + 1e-12, high - 1e-12), method="bounded", options={"xatol": 1e-12}).x
    variance = images * (2 * first + difference * (1 - difference))
    return float((only_second - only_first - images * difference) / math.sqrt(variance))


@pytest.mark.parametrize(("b", "c", "n"), [(20, 40, 160), (1, 12, 400), (60, 30, 100)])
def test_the_interval_holds_what_the_score_test_does_not_reject(b: int, c: int, n: int) -> None:
    low, high = tango(b, c, n)
    assert by_likelihood(low, b, c, n) == pytest.approx(1.95996, abs=1e-3)
    assert by_likelihood(high, b, c, n) == pytest.approx(-1.95996, abs=1e-3)


def test_the_interval_turns_round_with_the_models() -> None:
    low, high = tango(5, 11, 100)
    assert tango(11, 5, 100) == pytest.approx((-high, -low))
    assert low < 0.06 < high


def test_the_interval_at_its_ends() -> None:
    z2 = 1.95996**2
    assert tango(0, 0, 360) == pytest.approx((-z2 / (360 + z2), z2 / (360 + z2)), abs=1e-5)
    low, high = tango(0, 10, 10)
    assert 0.3 < low < 0.6
    assert high == 1.0
    assert tango(10, 0, 10) == pytest.approx((-high, -low))
    narrow, wide = tango(5, 11, 100, level=0.2), tango(5, 11, 100, level=0.01)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize(
    ("images", "discordant", "difference"),
    [(50, 0.3, 0.1), (360, 0.03, 0.0), (360, 0.02, 0.02), (1000, 0.1, 0.01)],
)
def test_the_interval_covers_the_true_difference(images: int, discordant: float, difference: float) -> None:
    ends = cache(tango)
    chances = [(discordant - difference) / 2, (discordant + difference) / 2, 1 - discordant]
    drawn = np.random.default_rng(1).multinomial(images, chances, size=4000)
    covered = 0
    for b, c, _ in drawn.tolist():
        low, high = ends(b, c, images)
        covered += low <= difference <= high
    # Nominal 95 %; the score interval is known to dip by two points where counts are small.
    assert covered / len(drawn) > 0.93


# Differences


def test_one_seed_each_is_mcnemars_test() -> None:
    first, second = np.arange(100) < 90, (np.arange(100) >= 5) & (np.arange(100) < 97)
    found = paired_difference(outcomes(first), outcomes(second))
    assert found is not None
    assert found.value == pytest.approx(0.02)
    assert found.p_value == pytest.approx(float(mcnemar(5, 7)))
    assert (found.low, found.high) == tango(5, 7, 100)
    assert found.split is not None
    assert found.split.first == tuple(range(5))
    assert found.split.second == tuple(range(90, 97))
    assert found.split.agreement == pytest.approx(0.88)
    assert found.resolvable == mcnemar_gap(12, 0.05) / 100
    assert found.of_seeds is None
    assert found.needed == images_needed(0.02, 0.12, 0.12 - 0.0004)
    assert not found.alike


def test_models_that_agree_everywhere_are_alike() -> None:
    scores = np.arange(100) < 90
    found = paired_difference(outcomes(scores), outcomes(scores))
    assert found is not None
    assert found.alike
    assert (found.value, found.p_value, found.needed) == (0, 1, None)
    assert found.low is not None
    assert found.low < 0
    several = paired_difference(outcomes(scores, scores), outcomes(scores, scores))
    assert several is not None
    assert several.alike
    assert (several.low, several.resolvable, several.p_value) == (None, None, 1)


def test_few_images_resolve_nothing() -> None:
    found = paired_difference(outcomes([1, 1, 1]), outcomes([0, 0, 0]))
    assert found is not None
    assert found.resolvable is None
    assert found.p_value == pytest.approx(0.25)
    single = paired_difference(outcomes([0.5], dtype=np.float32), outcomes([0.7], dtype=np.float32))
    assert single is not None
    assert (single.low, single.p_value) == (None, 1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], outcomes([1, 0])),
        (outcomes([1, 0]), []),
        (outcomes([1, 0]), outcomes([1, 0], images="others")),
        (outcomes([1, 0]), [*outcomes([1, 0]), *outcomes([1, 0], images="others")]),
    ],
)
def test_other_images_are_never_paired(first: list[Outcomes], second: list[Outcomes]) -> None:
    assert paired_difference(first, second) is None


def resampled(value: float, replicates: object, step: float = 0.0) -> Resampled:
    return Resampled(value=value, replicates=np.asarray(replicates), step=step, size=400, images="test")


def test_values_on_resamples_differ_by_the_spread_of_their_differences() -> None:
    noise = np.random.default_rng(0).standard_normal((2, 1000))
    first, second = resampled(0.8, 0.8 + 0.01 * noise[0]), resampled(0.83, 0.83 + 0.01 * noise[1])
    found = paired_difference([first], [second])
    assert found is not None
    error = 0.01 * np.std(noise[1] - noise[0], ddof=1)
    assert found.value == pytest.approx(0.03)
    assert (found.low, found.high) == pytest.approx((0.03 - 1.966 * error, 0.03 + 1.966 * error), rel=1e-3)
    assert 0.01 < found.p_value < 0.05
    assert (found.images, found.seeds, found.alike, found.split) == (400, (1, 1), False, None)
    assert found.needed is not None
    same = paired_difference([first], [first])
    assert same is not None
    assert (same.value, same.alike, same.p_value) == (0, True, 1)
    assert paired_difference([first], outcomes(np.arange(400) < 300)) is None


def test_scores_that_are_no_yes_or_no_take_a_paired_t_test() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 200))
    found = paired_difference(outcomes(first, dtype=np.float32), outcomes(second, dtype=np.float32))
    oracle = ttest_rel(second.astype(np.float32), first.astype(np.float32))
    interval = oracle.confidence_interval(0.95)
    assert found is not None
    assert 100 < found.freedom <= 199, "of normal scores about N - 1"
    assert found.p_value == pytest.approx(oracle.pvalue, rel=2e-3)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-2)
    assert found.split is None


def test_a_difference_that_few_images_make_is_as_sure_as_few_images_are() -> None:
    random = np.random.default_rng(0)
    first, second = np.zeros((2, 200))
    first[:6], second[:6] = random.normal(size=6), random.normal(1.6, size=6)
    found = paired_difference(outcomes(first, dtype=np.float32), outcomes(second, dtype=np.float32))
    assert found is not None
    assert 2 <= found.freedom < 7
    assert ttest_rel(second, first).pvalue < 0.05 < found.p_value


def test_several_seeds_count_their_own_spread() -> None:
    random = np.random.default_rng(0)
    first = [random.random(500) < 0.9 for _ in range(3)]
    second = [random.random(500) < share for share in (0.86, 0.90, 0.94)]
    found = paired_difference(outcomes(*first), outcomes(*second))
    one = paired_difference(outcomes(first[0]), outcomes(second[0]))
    assert found is not None
    assert one is not None
    assert found.seeds == (3, 3)
    assert found.of_seeds is not None
    assert found.resolvable is not None
    assert 0.04 < found.of_seeds < found.resolvable
    assert found.needed is None
    assert found.p_value > 0.05
    assert found.split is not None
    assert found.split.agreement == 1 - (len(found.split.first) + len(found.split.second)) / 500
    ahead = found.split.second[0]
    assert sum(each[ahead] for each in second) > sum(each[ahead] for each in first)


def test_the_p_value_belongs_to_the_interval() -> None:
    random = np.random.default_rng(3)
    first = [random.random(400) < 0.80 for _ in range(3)]
    second = [random.random(400) < share for share in (0.84, 0.85, 0.86)]
    found = paired_difference(outcomes(*first), outcomes(*second))
    assert found is not None
    assert found.low is not None
    assert (found.p_value <= 0.05) == (found.low > 0)
    assert 1e-6 < found.p_value < 1


def test_so_many_images_find_the_difference_in_four_of_five_cases() -> None:
    discordant, difference = 0.10, 0.03
    images = images_needed(difference, discordant, discordant - difference**2)
    chances = [(discordant - difference) / 2, (discordant + difference) / 2, 1 - discordant]
    drawn = np.random.default_rng(2).multinomial(images, chances, size=4000)
    # The exact test is a little more careful than the formula.
    assert np.mean(mcnemar(drawn[:, 0], drawn[:, 1]) <= 0.05) == pytest.approx(0.79, abs=0.03)
