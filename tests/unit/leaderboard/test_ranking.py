"""Ranks as ranges: which pairs are tested and how, what follows for ranks, and how often chance alone makes one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import t

from vitbench.leaderboard.image_scores import Known, Outcomes, Resampled
from vitbench.leaderboard.ranking import CHUNK, Entry, Ranking, rank
from vitbench.statistics import RESAMPLES, draws, mcnemar, mcnemar_gap

Scores = NDArray[np.bool_] | NDArray[np.float32]


def exact(value: float) -> Entry:
    return Entry(value=value, low=value, high=value)


def between(low: float, high: float) -> Entry:
    return Entry(value=(low + high) / 2, low=low, high=high)


def entry(*seeds: Scores, images: str = "test", width: float = 1.0) -> Entry:
    """Return an entry whose interval alone would tell nothing."""
    value = float(np.mean([scores.mean() for scores in seeds]))
    outcomes = tuple(Outcomes(scores=scores, images=images) for scores in seeds)
    return Entry(value=value, low=value - width, high=value + width, outcomes=outcomes)


def ranges(ranking: Ranking) -> list[tuple[int, int]]:
    return [(standing.rank, standing.rank_last) for standing in ranking.standings]


def right(correct: Sequence[int], images: int) -> NDArray[np.bool_]:
    scores = np.zeros(images, dtype=bool)
    scores[list(correct)] = True
    return scores


def test_without_scores_intervals_decide():
    ranking = rank([between(0.95, 0.97), between(0.93, 0.955), between(0.90, 0.94), between(0.5, 0.6)], "higher")
    assert ranges(ranking) == [(1, 2), (1, 3), (2, 3), (4, 4)]
    assert [standing.ties for standing in ranking.standings] == [(1,), (0, 2), (1,), ()]
    assert ranking.resolution is None


def test_lower_may_be_better():
    assert ranges(rank([between(1, 2), between(3, 4), between(3.5, 5)], "lower")) == [(1, 1), (2, 3), (2, 3)]
    assert ranges(rank([between(1, 2), between(3, 4), between(3.5, 5)], "higher")) == [(3, 3), (1, 2), (1, 2)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted), max_size=10))
def test_ranges_follow_from_the_overlaps(intervals):
    ranking = rank([Entry(value=low, low=low, high=high) for low, high in intervals], "higher")
    for i, (low, high) in enumerate(intervals):
        others = [each for j, each in enumerate(intervals) if j != i]
        above, below = sum(a > high for a, _ in others), sum(b < low for _, b in others)
        assert ranges(ranking)[i] == (1 + above, len(intervals) - below)
        assert len(ranking.standings[i].ties) == len(others) - above - below


def test_a_paired_test_tells_apart_what_intervals_cannot():
    better, worse = entry(right(range(60), 100)), entry(right(range(50), 100))  # ten images, all on one side
    assert ranges(rank([worse, better], "higher")) == [(2, 2), (1, 1)]
    assert ranges(rank([worse, better], "lower")) == [(1, 1), (2, 2)]


def test_and_keeps_together_what_intervals_would_not():
    """Five images on one side have p = 0.06; the intervals are made disjoint to see that they do not count."""
    ranking = rank([entry(right(range(n), 100), width=0.0) for n in (55, 50)], "higher")
    assert ranges(ranking) == [(1, 2), (1, 2)]


def test_the_last_images_count_as_the_first():
    """Images are multiplied chunk by chunk; here all that two models disagree on is beyond the last whole one."""
    beyond = 300
    images = 2 * CHUNK + beyond
    both = np.arange(images - beyond) % 3 > 0
    first = np.concatenate([both, np.arange(beyond) % 5 > 1])
    second = np.concatenate([both, np.arange(beyond) % 5 < 2])
    ranking = rank([entry(first), entry(second)], "higher")
    assert ranking.resolution is not None
    assert ranking.resolution.images == images
    assert ranking.resolution.gap == mcnemar_gap(beyond, 0.05) / images
    assert ranges(ranking) == [(1, 1), (2, 2)]


def test_the_noise_of_the_last_images_counts_as_that_of_the_first():
    """Likelihoods that differ on the last 200 images alone, there nearly as much up as down."""
    same = np.random.default_rng(0).random(CHUNK).astype(np.float32)
    noise = np.tile(np.float32([1.0, -0.9]), 100)
    first, second = np.concatenate([same, np.zeros(200, np.float32)]), np.concatenate([same, noise])
    assert ranges(rank([entry(first), entry(second)], "lower")) == [(1, 2), (1, 2)]
    assert ranges(rank([entry(first), entry(np.concatenate([same, np.abs(noise)]))], "lower")) == [(1, 1), (2, 2)]


def test_holm_runs_over_all_pairs():
    """Six images on one side are 3 %: enough for one pair, too little among three."""
    one, other = right(range(56), 100), right(range(50), 100)
    third = right(range(53), 100)
    assert ranges(rank([entry(one), entry(other)], "higher")) == [(1, 1), (2, 2)]
    assert ranges(rank([entry(one), entry(other), entry(third)], "higher")) == [(1, 3)] * 3
    # A hopeless third leaves its two pairs rejected first, and the last pair its whole 5 %.
    hopeless = entry(right([], 100))
    assert ranges(rank([entry(one), entry(other), hopeless], "higher")) == [(1, 1), (2, 2), (3, 3)]


@given(st.integers(0, 2**30), st.integers(2, 5), st.integers(1, 40))
def test_pairs_are_tested_as_by_hand(seed, models, images):
    random = np.random.RandomState(seed)
    scores = [random.rand(images) < share for share in random.rand(models)]
    ranking = rank([entry(each) for each in scores], "higher")
    pairs = {
        (i, j): float(mcnemar((a & ~b).sum(), (b & ~a).sum()))
        for i, a in enumerate(scores)
        for j, b in enumerate(scores)
        if i < j
    }
    for i, standing in enumerate(ranking.standings):
        surely = {j for pair, p in pairs.items() if i in pair and p <= 0.05 / len(pairs) for j in pair if j != i}
        hardly = {j for pair, p in pairs.items() if i in pair and p > 0.05 for j in pair if j != i}
        assert surely.isdisjoint(standing.ties)
        assert hardly <= set(standing.ties)


def test_the_commonest_images_are_paired_and_the_others_compared_by_intervals():
    first, second = entry(right(range(60), 100)), entry(right(range(50), 100))
    stranger = entry(right(range(90), 100), images="others", width=0.01)
    unknown = between(0.1, 0.2)
    ranking = rank([stranger, first, second, unknown], "higher")
    assert ranking.resolution is not None
    assert ranking.resolution.models == 2
    assert [ranges(ranking)[i] for i in (1, 2)] == [(1, 3), (2, 4)]


def test_seeds_on_different_images_are_not_paired():
    torn = Entry(
        value=0.5,
        low=0.0,
        high=1.0,
        outcomes=tuple(Outcomes(scores=right(range(50), 100), images=name) for name in ("test", "others")),
    )
    assert rank([torn, entry(right(range(60), 100))], "higher").resolution is None


def test_the_same_predictions_are_never_different():
    scores = right(range(20), 50)
    assert ranges(rank([entry(scores)] * 3, "higher")) == [(1, 3)] * 3
    assert ranges(rank([entry(scores, scores)] * 3, "higher")) == [(1, 3)] * 3
    assert ranges(rank([entry(scores.astype(np.float32))] * 3, "higher")) == [(1, 3)] * 3


def test_all_right_and_all_wrong_are_different():
    for seeds in (1, 2, 3):
        entries = [entry(*[right(range(n), 50)] * seeds) for n in (0, 50)]
        assert ranges(rank(entries, "higher")) == [(2, 2), (1, 1)]


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_image_shows_nothing(seeds):
    ranking = rank([entry(*[right(chosen, 1)] * seeds) for chosen in ([], [0])], "higher")
    assert ranges(ranking) == [(1, 2), (1, 2)]
    assert ranking.resolution is not None
    assert ranking.resolution.gap is None


def test_a_model_of_one_seed_is_taken_to_vary_as_the_other_does():
    """Three seeds at 65, 70 and 75 %: their own error resolves 12 points, with that of another seed 25."""
    several = [right(range(count), 400) for count in (260, 280, 300)]
    for correct, found in ((350, [(1, 2), (1, 2)]), (390, [(1, 1), (2, 2)])):
        assert ranges(rank([entry(right(range(correct), 400)), entry(*several)], "higher")) == found


def test_few_seeds_that_vary_say_less_than_seeds_that_agree():
    alike = [entry(*[right(range(n), 400)] * 2) for n in (300, 330)]
    varied = [entry(right(range(n - 40), 400), right(range(n + 40), 400)) for n in (300, 330)]
    assert ranges(rank(alike, "higher")) == [(2, 2), (1, 1)]
    assert ranges(rank(varied, "higher")) == [(1, 2), (1, 2)]


def test_of_two_models_the_variance_is_known_as_badly_as_that_of_the_worse_known():
    """Two images of fifty make all of the first one's variance: 4.5 degrees of freedom, and not 49."""
    rare = np.zeros(50)
    rare[:2] = 1.0
    for other, found in ((-0.025, [(1, 2), (1, 2)]), (-0.045, [(1, 1), (2, 2)])):
        assert ranges(rank([entry(rare), entry(np.full(50, other))], "higher")) == found


def test_log_likelihoods_are_compared_image_by_image():
    random = np.random.RandomState(0)
    hard = random.exponential(size=500).astype(np.float32)
    entries = [entry(hard), entry(hard + np.float32(0.02) + 0.05 * random.randn(500).astype(np.float32))]
    ranking = rank(entries, "lower")
    assert ranges(ranking) == [(1, 1), (2, 2)]
    assert ranking.resolution is not None
    assert ranking.resolution.gap == pytest.approx(1.96 * 0.05 / math.sqrt(500), rel=0.1)
    shuffled = entry(random.permutation(entries[1].outcomes[0].scores))
    assert ranges(rank([entries[0], shuffled], "lower")) == [(1, 2), (1, 2)], "the same values of other images"


def test_models_that_differ_by_rounding_are_not_told_apart():
    random = np.random.RandomState(0)
    for images in (300, 1000, 3000):
        hard = 1 + random.exponential(size=images)
        scores = [(hard + 3e-8 * hard * random.randn(images)).astype(np.float32) for _ in range(6)]
        assert ranges(rank([entry(each.astype(float)) for each in scores], "lower")) == [(1, 6)] * 6


@pytest.mark.parametrize("kind", ["right or wrong", "numbers"])
def test_the_gap_has_the_level_of_holms_first_step_over_all_pairs(kind):
    """Six models: a fifteenth of the level, at which more is needed than for one pair."""
    random = np.random.default_rng(0)
    if kind == "numbers":
        scores = [random.normal(size=400) for _ in range(6)]
    else:
        scores = [random.permutation(400) < 300 for _ in range(6)]
    found = rank([entry(each) for each in scores], "higher").resolution
    order = np.argsort([each.mean() for each in scores], kind="stable")
    neighbours = [(scores[i], scores[j]) for i, j in itertools.pairwise(order)]
    assert found is not None
    assert found.pairs == 15
    if kind == "numbers":
        errors = sorted(np.std(one - other, ddof=1) for one, other in neighbours)
        assert found.gap == pytest.approx(t.isf(0.05 / 15 / 2, 399) * errors[2] / 20, rel=0.03)
        assert found.gap > 1.2 * t.isf(0.05 / 2, 399) * errors[2] / 20
    else:
        discordant = sorted(int((one != other).sum()) for one, other in neighbours)[2]
        assert found.gap == mcnemar_gap(discordant, 0.05 / 15) / 400
        assert found.gap > 1.2 * mcnemar_gap(discordant, 0.05) / 400


def test_a_difference_of_the_gap_is_resolved_and_a_smaller_one_is_not():
    ranking = rank([entry(right(range(n), 1000)) for n in (900, 880)], "higher")
    assert ranking.resolution is not None
    least = mcnemar_gap(20, 0.05)
    assert ranking.resolution.gap == least / 1000
    b = (20 + least) // 2
    first, second = right(range(b), 1000), right(range(b, 20), 1000)
    assert ranges(rank([entry(first), entry(second)], "higher")) == [(1, 1), (2, 2)]
    first, second = right(range(b - 1), 1000), right(range(b - 1, 20), 1000)
    assert ranges(rank([entry(first), entry(second)], "higher")) == [(1, 2), (1, 2)]


def share_of_false_alarms(
    models: int, seeds: Sequence[int], seed_error: float, *, runs: int, score: Callable[[NDArray[np.float64]], Scores]
) -> float:
    """Return how often models that differ by chance only are ranked; images are hard or easy for all of them."""
    random = np.random.RandomState(sum(seeds))
    alarms = 0
    for _ in range(runs):
        easy = random.normal(1.3, 1.5, 300)
        entries = [
            entry(*(score(easy + seed_error * random.randn() + random.randn(300)) for _ in range(seeds[model])))
            for model in range(models)
        ]
        alarms += any(found != (1, models) for found in ranges(rank(entries, "higher")))
    return alarms / runs


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("seeds", "seed_error"),
    [
        ([1] * 4, 0.0),
        ([2] * 4, 0.6),
        ([1, 3, 3, 3], 0.2),
    ],
)
def test_equal_models_are_called_different_in_five_percent_of_runs_at_most(seeds, seed_error):
    """Four models, so six pairs; 300 runs at 5 % would exceed 8 % once in a hundred times."""
    assert share_of_false_alarms(4, seeds, seed_error, runs=300, score=lambda margin: margin > 0) <= 0.08


def test_so_are_models_of_equal_likelihood():
    found = share_of_false_alarms(4, [1] * 4, 0.0, runs=300, score=lambda margin: np.log1p(np.exp(-margin)))
    assert 0.01 <= found <= 0.08, "the tests of means are nearly exact, so that some alarms must come"


# Values on resamples of the images ------------------------------------------------------------------------------------


def resampled(*seeds: Known) -> Entry:
    value = float(np.mean([each.value for each in seeds]))
    return Entry(value=value, low=-math.inf, high=math.inf, outcomes=seeds)


def spread(value: float, error: float, *, seed: int = 0, images: int = 400, step: float = 0.0) -> Resampled:
    """Return a value with this standard error; models of other seeds err independently."""
    replicates = value + error * np.random.default_rng(seed).standard_normal(RESAMPLES)
    return Resampled(value=value, replicates=replicates, step=step, size=images, images="test")


def test_values_on_resamples_are_told_apart_by_the_spread_of_their_differences():
    independent = [resampled(spread(value, 0.01, seed=seed)) for seed, value in enumerate((0.80, 0.82))]
    assert ranges(rank(independent, "higher")) == [(1, 2), (1, 2)], "0.02 is 1.4 standard errors"
    together = [resampled(spread(value, 0.01)) for value in (0.80, 0.82)]
    assert ranges(rank(together, "higher")) == [(2, 2), (1, 1)], "both rise and fall with the images"
    ranking = rank(independent, "higher")
    assert ranking.resolution is not None
    assert ranking.resolution.gap == pytest.approx(1.966 * 0.01 * math.sqrt(2), rel=0.05)


@pytest.mark.parametrize("images", [5, 400])
def test_without_any_spread_few_images_show_nothing(images):
    perfect, constant = (resampled(spread(value, 0.0, images=images)) for value in (1.0, 0.0))
    expected = [(1, 1), (2, 2)] if images == 400 else [(1, 2), (1, 2)]
    assert ranges(rank([perfect, constant], "higher")) == expected
    assert ranges(rank([perfect, perfect, constant], "higher"))[:2] in ([(1, 2)] * 2, [(1, 3)] * 2)


def test_no_error_is_less_than_what_one_image_changes():
    """Five images of a class that are all missed have no spread, and neither have three in four of them right."""
    for step, expected in ((0.0, [(2, 2), (1, 1)]), (0.2, [(1, 2), (1, 2)])):
        entries = [resampled(spread(value, 0.001, step=step)) for value in (0.0, 0.38)]
        assert ranges(rank(entries, "higher")) == expected


def test_resamples_without_a_value_are_left_out_and_too_many_say_nothing():
    def torn(value: float, share: float) -> Resampled:
        whole = spread(value, 0.01)
        replicates = np.where(np.arange(RESAMPLES) < share * RESAMPLES, np.nan, whole.replicates)
        return Resampled(value=value, replicates=replicates, step=0.0, size=400, images="test")

    some = [resampled(torn(0.80, 0.04)), resampled(torn(0.85, 0.02))]
    assert ranges(rank(some, "higher")) == [(2, 2), (1, 1)]
    none = [resampled(torn(0.80, 0.6)), resampled(torn(0.85, 0.0))]
    assert ranges(rank(none, "higher")) == [(1, 2), (1, 2)]


def test_fewer_resamples_pair_with_the_first_of_more():
    few = spread(0.85, 0.01)
    few = Resampled(value=few.value, replicates=few.replicates[:200], step=0.0, size=400, images="test")
    assert ranges(rank([resampled(spread(0.80, 0.01)), resampled(few)], "higher")) == [(2, 2), (1, 1)]


def test_seeds_count_as_for_scores():
    steady = [resampled(*[spread(value, 0.01)] * 3) for value in (0.80, 0.85)]
    varied = [resampled(spread(value - 0.1, 0.01), spread(value + 0.1, 0.01)) for value in (0.80, 0.85)]
    assert ranges(rank(steady, "higher")) == [(2, 2), (1, 1)]
    assert ranges(rank(varied, "higher")) == [(1, 2), (1, 2)]


def test_scores_and_resamples_of_the_same_images_are_not_paired():
    scores = Outcomes(scores=right(range(300), 400), images="test")
    ranking = rank([resampled(scores), resampled(scores), resampled(spread(0.1, 0.01))], "higher")
    assert ranking.resolution is not None
    assert ranking.resolution.models == 2
    assert ranges(ranking) == [(1, 3)] * 3


WEIGHTS = {n: np.array([np.bincount(drawn, minlength=n) for drawn in draws(n)], dtype=float) for n in (500,)}


def worst_class(labels: NDArray[np.int64], correct: NDArray[np.bool_]) -> Resampled:
    """Return the smallest of the classes' accuracies, with its resamples."""
    of_class = np.eye(10)[labels]
    weights = WEIGHTS[len(labels)]
    counts, hits = of_class.sum(0), (of_class * correct[:, None]).sum(0)
    shares = weights @ (of_class * correct[:, None]) / np.maximum(weights @ of_class, 1)
    return Resampled(
        value=float((hits / counts).min()),
        replicates=shares.min(axis=1),
        step=float(1 / counts.min()),
        size=len(labels),
        images="test",
    )


def drawn_models(random: np.random.Generator, hardness: Sequence[float]) -> list[Entry]:
    """Return models that find class 0 harder than the others, by so much each."""
    labels = random.integers(10, size=500)
    easy = random.normal(1.3, 1.0, 500)
    return [
        resampled(worst_class(labels, easy - hard * (labels == 0) + random.standard_normal(500) > 0))
        for hard in hardness
    ]


@pytest.mark.simulation
def test_equal_models_have_one_rank_by_their_worst_class():
    """120 tables at 5 % would exceed 10 % once in a hundred times."""
    random = np.random.default_rng(1)
    tables = [ranges(rank(drawn_models(random, [1.0] * 4), "higher")) for _ in range(120)]
    assert sum(found != [(1, 4)] * 4 for found in tables) <= 12


@pytest.mark.simulation
def test_models_of_unlike_worst_classes_are_told_apart():
    random = np.random.default_rng(2)
    tables = [ranges(rank(drawn_models(random, [0.0, 2.5]), "higher")) for _ in range(20)]
    assert sum(found == [(1, 1), (2, 2)] for found in tables) >= 18
