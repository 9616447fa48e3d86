"""Two models side by side, against the paired test and counts by hand."""

from __future__ import annotations

from dataclasses import replace

import factories
import msgspec
import numpy as np

from vitbench.leaderboard.answers import Answers
from vitbench.report.html.album import MOST_BESIDE, Answerer, album
from vitbench.report.html.side_by_side import pairs
from vitbench.statistics import mcnemar

LABELS = np.repeat(np.arange(3), 100)


def model(row, wrong, seeds=1, others=()):
    classes = LABELS.copy()
    classes[wrong] = (classes[wrong] + 1) % 3
    said = Answers(labels=LABELS, classes=classes, confidence=np.full(300, 0.5), index=np.arange(300))
    names = ("a", "b", "c", *others)
    return Answerer(row=row, name=f"m{row}", baseline=False, class_names=names, seeds=(said,) * seeds)


def album_of(*models):
    data = msgspec.structs.replace(factories.data_info(), class_names=("a", "b", "c"))
    found = album(models, [data], "test", images=False, room=10)
    assert found is not None
    return found


def side_by_side(*models):
    return pairs(album_of(*models), [], [])


def test_a_pair_has_its_difference_its_test_and_the_classes_it_differs_on():
    found = side_by_side(model(0, slice(0, 40)), model(1, slice(90, 110)))
    words, classes = found.data["pairs"]["0 1"]
    p = float(mcnemar(20, 40))
    assert words[0].startswith("m1 is 6.67 points ahead of m0 in right answers (95 % interval ")
    assert f"p = {p:.2g}, McNemar's exact test): significant." in words[0]
    assert words[1] == "Of 300 images m0 alone has 20 right, and m1 alone 40."
    # Class, images, right of each, significant: 60 of 100 and 90 of 100 in "a"; 100 and 90 in "b".
    assert classes == [[0, 100, 60, 90, 1], [1, 100, 100, 90, 1]]


def test_equal_answers_and_several_seeds_are_told_as_such():
    alike = side_by_side(model(0, slice(0, 40)), model(1, slice(0, 40)))
    assert alike.data["pairs"]["0 1"] == [["m0 and m1 have the same images right.", ""], []]
    seeds = side_by_side(model(0, slice(0, 40), seeds=2), model(1, slice(0, 10)))
    assert "Student's t over images and seeds" in seeds.data["pairs"]["0 1"][0][0]
    assert "those of each model's first seed" in seeds.note


def test_one_model_has_no_pair_and_of_many_the_best_have():
    assert side_by_side(model(0, slice(0, 4))) is None
    found = side_by_side(*(model(row, slice(0, row)) for row in range(MOST_BESIDE + 2)))
    assert len(found.models) == MOST_BESIDE
    assert len(found.data["pairs"]) == MOST_BESIDE * (MOST_BESIDE - 1) // 2
    assert "`vitbench compare A B` compares the others" in found.note


def test_classes_of_two_heads_that_are_not_those_of_the_data_keep_their_names():
    first, second = model(0, slice(0, 4), others=("x", "y")), model(1, slice(0, 4), others=("z",))
    for one, said in ((first, 4), (second, 3)):
        one.first.classes[0] = said
    beside = pairs(replace(album_of(first, second), places=(0,)), [("t0", 0)], ["image"])
    said = [beside.data["classes"][each["classes"][0]] for each in beside.data["answers"]]
    assert said == ["y", "z"]
