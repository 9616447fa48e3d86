"""vitbench.picking.facts: what labels and sizes say before any model runs."""

from __future__ import annotations

from dataclasses import replace

import factories
import msgspec
import numpy as np
import pytest

from vitbench.data.splits import Splits
from vitbench.picking.facts import DataFacts, data_facts, facts_in_words, resolvable_gap
from vitbench.protocols import Split
from vitbench.statistics import mcnemar


def split(*counts: int) -> Split:
    """Return a split with so many images of each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return Split(images=np.zeros((1, 1, 1, 1), np.uint8), index=np.arange(len(labels)), labels=labels)


def facts(train: tuple[int, ...], val: tuple[int, ...], test: tuple[int, ...], **info: object) -> DataFacts:
    names = tuple(f"class {k}" for k in range(len(test)))
    described = msgspec.structs.replace(factories.data_info("cells"), class_names=names, **info)
    judged = split(*test)
    splits = Splits(train=split(*train), val=split(*val), test=judged, judged=judged, notes=())
    return data_facts(described, splits)


def test_images_are_counted_by_split_and_class() -> None:
    found = facts((45, 9, 9), (5, 1, 1), (20, 5, 0), uniform=(32, 48))
    assert found.images == {"train": 63, "val": 7, "test": 25}
    assert (found.per_class, found.smallest, found.imbalance) == ((10, 10, 50), ("class 1", "class 2"), 5.0)
    assert (found.majority, found.majority_name, found.untested) == (0.8, "class 0", ("class 2",))
    assert facts_in_words(found)[:3] == [
        "cells: 3 classes, 63 training, 7 validation and 25 test images of 32x48 pixels.",
        "A class has 10 to 50 images to learn from, median 10; fewest of 'class 1', 'class 2'.",
        "Without test images: 'class 2'.",
    ]


def test_data_without_images_to_learn_from_have_facts_too() -> None:
    found = facts((0, 0), (0, 0), (50, 50))
    assert found.per_class == (0, 0, 0)
    first, second = facts_in_words(found)
    assert first == "cells: 2 classes, 100 test images."
    assert second.startswith("100 test images resolve gaps of 8 points or more, where")


def test_unequal_classes_are_warned_of() -> None:
    few, many = facts((94, 9), (5, 1), (30, 10)), facts((95, 9), (5, 1), (30, 10))
    assert not any("unequal" in line for line in facts_in_words(few))
    assert (
        "Classes are unequal: always predicting 'class 0' is right on 75 % of the test images; balanced_accuracy "
        "gives each class equal weight." in facts_in_words(many)
    )


def test_doubts_are_told_each_once() -> None:
    both = facts((9, 9), (1, 1), (5, 5), doubts=("a", "b"), val_doubts=("b", "c"), short_side=300)
    assert both.doubts == ("a", "b", "c")
    assert facts_in_words(both)[0].endswith("test images of mixed sizes, median shorter side 300 pixels.")
    assert facts_in_words(both)[-1] == "Interpret scores with care: c."


def test_images_that_are_too_few_say_so() -> None:
    found = replace(facts((9, 9), (1, 1), (2, 2)), gap=resolvable_gap(4))
    assert found.gap.smallest is None
    assert facts_in_words(found)[-1] == (
        "4 test images are too few to tell any two models apart, where only one of two models is right on 10 % of "
        "them; a true gap of 5 points takes about 312 images."
    )


def test_the_gap_says_how_many_candidates_share_the_level() -> None:
    found = facts((9, 9), (1, 1), (25, 25))
    many = replace(found, gap=resolvable_gap(50, models=17))
    assert facts_in_words(found)[-1].startswith("50 test images resolve gaps of 12 points or more, ")
    assert facts_in_words(many)[-1].startswith("With 17 candidates, 50 test images resolve gaps of ")
    assert many.gap.smallest > found.gap.smallest  # type: ignore[operator]


@pytest.mark.parametrize(("images", "models"), [(359, 2), (359, 10), (10_000, 5)])
def test_the_smallest_gap_is_what_the_test_calls_significant(images: int, models: int) -> None:
    gap = resolvable_gap(images, models=models)
    assert gap.smallest is not None
    discordant, difference = round(0.1 * images), round(gap.smallest * images)
    fewer = (discordant - difference) // 2
    assert mcnemar(fewer, fewer + difference) <= gap.level < mcnemar(fewer + 1, fewer + difference - 1)
