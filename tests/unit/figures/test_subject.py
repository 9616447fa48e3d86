"""A subject's model is watched in a block, and what cannot be watched is a reason to skip."""

from __future__ import annotations

import dataclasses

import pytest
from torch import nn

from vitbench.attention import patch_grid
from vitbench.errors import Skip
from vitbench.figures import FigureSubject
from vitbench.testing.figure_subjects import KINDS, subject_of

TRANSFORMER, _, CONVOLUTIONAL, _ = KINDS


def called(subject: FigureSubject) -> None:
    subject.model(subject.inputs([subject.pictures[0].pixels]))


def test_the_maps_of_a_model_are_watched_in_the_block() -> None:
    subject = subject_of(TRANSFORMER)
    with subject.maps(gradients=True) as seen:
        called(subject)
    assert [one.module for one in seen.maps] == ["blocks.0.attn", "blocks.1.attn"]
    assert all(one.weights.requires_grad for one in seen.maps)
    assert subject.num_classes == 10


def test_a_model_that_cannot_be_watched_is_a_reason_to_skip() -> None:
    subject = subject_of(CONVOLUTIONAL)
    with pytest.raises(Skip, match="this model has no attention that can be recorded"), subject.maps():
        called(subject)
    net = nn.Linear(2, 2)
    net._orig_mod = nn.Linear(2, 2)  # as what torch.compile gives
    compiled = dataclasses.replace(subject, model=net)
    with pytest.raises(Skip, match="a compiled model cannot be recorded"), compiled.maps():
        pytest.fail("it is refused before the block")


def test_what_is_raised_in_the_block_comes_out_of_it() -> None:
    subject = subject_of(CONVOLUTIONAL)
    with pytest.raises(ZeroDivisionError), subject.maps():
        1 / 0  # noqa: B018
    with pytest.raises(Skip, match="7 tokens are not a grid"), subject.maps():
        patch_grid(7, (32, 32), 1)
