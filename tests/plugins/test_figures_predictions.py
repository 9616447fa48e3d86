"""Confusion and mistakes, of predictions made by hand."""

from __future__ import annotations

import dataclasses

import factories
import numpy as np
import pytest
import torch
from figures import figure_subject
from torch import nn
from vitbench_figures import confusion, mistakes

from vitbench import Skip
from vitbench.figures import FigureSubject, Grid, Matrix
from vitbench.protocols import Split


def subject(labels: list[int], said: list[int], classes: int, sure: list[float] | None = None) -> FigureSubject:
    """Return a subject whose model said these classes, as surely as is given."""
    logits = torch.zeros(len(labels), classes)
    logits[range(len(labels)), said] = torch.tensor(sure or [5.0] * len(labels))
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 8, 8), np.uint8)
    # The split's images lie in reverse order in the cache.
    split = Split(images=images[::-1], index=np.arange(len(labels))[::-1], labels=np.asarray(labels))
    made = figure_subject(nn.Identity(), images=split, count=0)
    predictions = factories.predictions(logits, labels)
    return dataclasses.replace(made, predictions=predictions, class_names=predictions.class_names)


def matrix(given: FigureSubject) -> Matrix:
    (one,) = confusion.draw(given)
    assert isinstance(one, Matrix)
    return one


def test_rows_are_shares_of_the_true_class() -> None:
    one = matrix(subject([0, 0, 0, 0, 1, 1, 2], [0, 0, 0, 2, 1, 0, 2], classes=3))
    assert np.allclose(one.values, [[0.75, 0, 0.25], [0.5, 0.5, 0], [0, 0, 1]])
    assert one.row_labels == one.column_labels == ("class 0", "class 1", "class 2")


def test_a_class_without_images_has_no_row() -> None:
    one = matrix(subject([0, 2], [0, 1], classes=3))
    assert one.row_labels == ("class 0", "class 2")
    assert np.allclose(one.values, [[1, 0, 0], [0, 1, 0]])
    assert "no row" in one.note


def test_of_many_classes_the_most_confused_are_shown_and_the_others_counted_as_one() -> None:
    labels = [*range(100), 7, 7, 90]
    said = [*range(100), 50, 50, 3]
    one = matrix(subject(labels, said, classes=100))
    assert one.row_labels == ("class 3", "class 7", "class 50", "class 90")
    assert one.column_labels == (*one.row_labels, "others")
    assert np.allclose(one.values.sum(axis=1), 1)
    assert one.values[1, 2] == pytest.approx(2 / 3)
    assert "4 of 100 classes" in one.note


def test_many_classes_without_confusions() -> None:
    one = matrix(subject(list(range(30)), list(range(30)), classes=30))
    assert len(one.row_labels) == confusion.MOST_CLASSES


def test_mistakes_come_surest_first_with_their_own_images() -> None:
    given = subject([0, 1, 2, 3], [0, 2, 1, 1], classes=4, sure=[9.0, 1.0, 3.0, 2.0])
    (grid,) = mistakes.draw(given, images=2)
    assert isinstance(grid, Grid)
    first, second = grid.tiles
    assert first is not None
    assert second is not None
    assert first.title == "class 2, taken for class 1, 87.0%"
    assert first.pixels is not None
    assert second.pixels is not None
    assert (first.pixels[0, 0, 0], second.pixels[0, 0, 0]) == (2, 3)
    assert "2 of 3 mistakes in 4 images" in grid.note


def test_no_mistakes_and_no_predictions_are_skipped() -> None:
    with pytest.raises(Skip, match="no mistakes: all 2 images"):
        list(mistakes.draw(subject([0, 1], [0, 1], classes=2), images=4))
    with pytest.raises(Skip, match="no predictions"):
        list(confusion.draw(figure_subject(nn.Identity())))
