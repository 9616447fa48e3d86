"""Which quads count, and what they say of two sides."""

from __future__ import annotations

import math

import pytest

from vitbench.measuring.quads import DISTURBED, Quad, is_sharp, median_log_ratio, undisturbed

CALM = DISTURBED / 2


def quad(disturbance: float = 0.0, *, log_ratio: float = 0.0) -> Quad:
    """Return a quad whose second side is faster by some factor, in which the machine slowed down evenly by a fifth."""
    second = math.exp(-log_ratio)
    return Quad(first=(1.0, 1.2), second=(1.0 * second, 1.2 * second), images=(8, 8), disturbance=disturbance)


def test_the_ratio_is_of_images_per_second_of_the_second_to_the_first() -> None:
    found = Quad(first=(2.0, 2.0), second=(1.0, 1.0), images=(8, 32))
    assert found.log_ratio == pytest.approx(math.log(8))


def test_an_even_drift_divides_out() -> None:
    drifting = Quad(first=(1.0, 8.0), second=(2.0, 4.0), images=(1, 1))
    assert drifting.log_ratio == pytest.approx(0)


@pytest.mark.parametrize(
    ("taken", "kept"),
    [
        ((), ()),
        ((0.0,), (0,)),
        ((1.0,), (0,)),
        ((CALM, CALM, CALM, CALM), (0, 1, 2, 3)),
        ((0.9, CALM, CALM, CALM), (1, 2, 3)),
        ((0.9, CALM, 0.4, 0.0), (1, 3)),
        # More than half: the least disturbed half stays, in its order, and of an odd number one more.
        ((0.9, 0.4, 0.3, 0.5), (1, 2)),
        ((0.9, 0.4, 0.0, 0.3, 0.5), (1, 2, 3)),
        ((1.0, 1.0, 1.0, 1.0), (0, 1)),
        ((DISTURBED, 0.9), (0,)),
    ],
)
def test_the_disturbed_are_left_out_whole_and_never_more_than_half(
    taken: tuple[float, ...], kept: tuple[int, ...]
) -> None:
    quads = [quad(each, log_ratio=i) for i, each in enumerate(taken)]
    assert undisturbed(quads) == [quads[i] for i in kept]


def test_their_median_counts() -> None:
    assert median_log_ratio([quad(log_ratio=each) for each in (0.1, 5.0, 0.2)]) == pytest.approx(0.2)
    assert median_log_ratio([quad(log_ratio=each) for each in (0.1, 0.2)]) == pytest.approx(0.15)


def test_more_quads_and_steadier_ones_are_sharper() -> None:
    def standard_error(spread: float, times: int) -> float:
        """Return it by bisection on the answers."""
        quads = [quad(log_ratio=spread * each) for each in (-1.0, -0.5, 0.0, 0.5, 1.0)] * times
        low, high = 0.0, 10.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if is_sharp(quads, middle) else (middle, high)
        return high

    assert standard_error(0.02, 20) == pytest.approx(2 * standard_error(0.01, 20))
    assert standard_error(0.01, 20) == pytest.approx(2 * standard_error(0.01, 80), rel=0.05)
    assert standard_error(0.01, 20) == pytest.approx(math.sqrt(math.pi / 200) * 0.01 / 1.349, rel=0.05)
