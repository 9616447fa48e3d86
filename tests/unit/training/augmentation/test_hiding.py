"""Cutout and random erasing: how much is hidden, where, and how often."""

from __future__ import annotations

import pytest
import torch

from vitbench.training import Draws
from vitbench.training.augmentation.hiding import box_mask, central_boxes, cutout, erased


def draws(count: int) -> Draws:
    return Draws(0, 0, torch.arange(count))


@pytest.mark.parametrize(("height", "width", "share"), [(6, 10, 0.3), (7, 7, 1.0)])
def test_cutout_hides_one_box_whose_sides_are_a_share_of_the_image(height: int, width: int, share: float) -> None:
    x = torch.rand(300, 2, height, width) + 1
    out = cutout(x, draws(300), share)
    hidden = out == 0
    assert torch.equal(hidden[:, 0], hidden[:, 1])
    assert torch.equal(out[~hidden], x[~hidden])
    rows, columns = hidden[:, 0].any(2), hidden[:, 0].any(1)
    assert torch.equal(hidden[:, 0], rows[:, :, None] & columns[:, None, :])  # a box
    assert rows.sum(1).max() == round(share * height)
    assert columns.sum(1).max() == round(share * width)
    assert rows.sum(1).min() < round(share * height)  # where a part lies outside
    assert (hidden.sum(0)[0] > 0).all()  # every pixel has its turn


def test_boxes_have_their_centres_all_over_the_image() -> None:
    boxes = central_boxes(draws(3000), "any", (5, 3), torch.tensor([1, 1]).expand(3000, 2))
    hits = box_mask(boxes, (5, 3), torch.device("cpu")).sum(0)
    assert hits.sum() == 3000
    assert hits.min() > 140  # 200 expected, standard deviation 14
    assert hits.max() < 260


def test_a_share_of_the_images_has_a_box_of_noise() -> None:
    x = torch.full((2000, 3, 12, 12), 7.0)
    out = erased(x, draws(2000), 0.25)
    changed = out != x
    touched = changed.flatten(1).any(1)
    assert 420 < touched.sum() < 580  # 500 expected, standard deviation 19
    area = changed[touched, 0].float().mean((1, 2))
    assert 0 < area.min() < 0.05
    assert 0.3 < area.max() < 0.4  # whole pixels: a third may be a little more
    noise = out[changed]
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02


def test_an_image_is_erased_in_the_same_way_in_any_batch() -> None:
    x = torch.rand(40, 2, 9, 8)
    some = torch.tensor([30, 2, 17])
    assert torch.equal(erased(x[some], Draws(0, 0, some), 0.6), erased(x, draws(40), 0.6)[some])


def test_what_hides_nothing_and_what_hides_some_of_every_image() -> None:
    x = torch.rand(9, 1, 5, 5) + 1
    assert torch.equal(cutout(x, draws(9), 0.0), x)

    x = torch.rand(50, 1, 8, 8)
    assert erased(x, draws(50), 0.0) is x
    assert (erased(x, draws(50), 1.0) != x).flatten(1).any(1).all()
