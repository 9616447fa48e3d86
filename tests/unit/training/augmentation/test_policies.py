"""The policies: their tables, how often each operation is drawn, and how strong it is."""

from __future__ import annotations

from collections import Counter
from unittest.mock import patch

import pytest
import torch
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, RandAugment

from vitbench.training import Draws
from vitbench.training.augmentation import policies
from vitbench.training.augmentation.policies import CIFAR10, autoaugment, randaugment

WITHOUT_STRENGTH = {"AutoContrast", "Equalize", "Invert"}


def drawn(policy: object, count: int = 5000, **options: int) -> list[tuple[list[str], list[float]]]:
    """Return what each step of a policy does: the operation of each image, and its strength."""
    steps = []

    def note(images: torch.Tensor, operation: torch.Tensor, names: tuple[str, ...], strength: torch.Tensor) -> object:
        steps.append(([names[number] if number >= 0 else "Identity" for number in operation], strength.tolist()))
        return images

    with patch.object(policies, "apply", note):
        policy(torch.zeros(count, 3, 32, 32, dtype=torch.uint8), Draws(0, 0, torch.arange(count)), **options)
    return steps


def test_the_table_is_the_published_one() -> None:
    theirs = AutoAugment(AutoAugmentPolicy.CIFAR10).policies
    assert len(CIFAR10) == len(theirs) == 25
    for own, other in zip(CIFAR10, theirs, strict=True):
        for (name, probability, magnitude), (their_name, their_probability, their_magnitude) in zip(
            own, other, strict=True
        ):
            assert (name, probability) == (their_name, their_probability)
            assert their_magnitude is None or magnitude == their_magnitude
            assert (their_magnitude is None) == (name in WITHOUT_STRENGTH)


def test_autoaugment_draws_pairs_alike_and_each_operation_as_often_as_the_table_says() -> None:
    for step, (names, strengths) in enumerate(drawn(autoaugment)):
        expected: Counter[str] = Counter()
        for pair in CIFAR10:
            expected[pair[step][0]] += 5000 / 25 * pair[step][1]
        counts = Counter(names)
        for name, number in expected.items():
            assert abs(counts[name] - number) < 4 * number**0.5 + 1, name
        signs = [strength > 0 for name, strength in zip(names, strengths, strict=True) if name == "TranslateY"]
        assert 0.4 < sum(signs) / len(signs) < 0.6


def test_both_operations_come_of_one_pair() -> None:
    (first, _), (second, _) = drawn(autoaugment)
    pairs = {(a[0], b[0]) for a, b in CIFAR10}
    both = {(a, b) for a, b in zip(first, second, strict=True) if "Identity" not in (a, b)}
    assert both <= pairs
    assert len(both) > 15


def test_randaugment_draws_fourteen_operations_alike() -> None:
    steps = drawn(randaugment, operations=3, magnitude=9)
    assert len(steps) == 3
    assert steps[0][0] != steps[1][0]
    for names, _ in steps:
        counts = Counter(names)
        assert len(counts) == 14
        assert min(counts.values()) > 280  # 357 expected, standard deviation 18
        assert max(counts.values()) < 440


@pytest.mark.parametrize("magnitude", [9, 30])
def test_strengths_are_those_of_torchvision(magnitude: int) -> None:
    names, strengths = drawn(randaugment, operations=1, magnitude=magnitude)[0]
    space = RandAugment()._augmentation_space(31, (32, 32))
    for name, strength in set(zip(names, strengths, strict=True)):
        magnitudes, signed = space[name]
        expected = float(magnitudes[magnitude]) if magnitudes.ndim else 0.0
        if name.startswith("Translate"):
            expected, strength = int(expected), abs(int(strength * 32))
        assert abs(strength) == pytest.approx(expected, abs=1e-4)
        assert signed or strength >= 0


def test_no_operations_change_nothing() -> None:
    x = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(randaugment(x, Draws(0, 0, torch.arange(4)), operations=0, magnitude=9), x)
