"""The figure of masked images and reconstructions: what pretraining predicted, of patches that were masked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from figures import figure_subject
from torch import nn
from vitbench_recipes.masked_figure import GRAY, Pretrained, draw
from vitbench_recipes.masking import colour_codes, image_of, patches_of
from vitbench_recipes.reconstruction import COLOURS, COUNT, ENCODER, KEPT, Reconstruction
from vitbench_scratch.vit import build

from vitbench.errors import Skip
from vitbench.figures import FigureSubject, Grid
from vitbench.records import Measurement
from vitbench.training import token_layout

pytestmark = pytest.mark.compute

GRID = (4, 4)
COLOUR, PIXEL = {"colours": True, "visible": False, "count": 8}, {"colours": False, "visible": True, "count": 12}
WAYS = pytest.mark.parametrize("way", [COLOUR, PIXEL], ids=("colours", "mae"))


def vit(seed: int, channels: int) -> nn.Module:
    torch.manual_seed(seed)
    sizes = {"patch_size": 2, "depth": 1, "width": 16, "heads": 2, "mlp_ratio": 2.0, "dropout": 0.0, "drop_path": 0.0}
    return build(num_classes=10, image_size=(8, 8), in_channels=channels, checkpoint="", head="own", **sizes).eval()


def pretrained(way: Mapping[str, Any], *, channels: int = 1) -> tuple[Reconstruction, FigureSubject]:
    """A network with random weights, and the subject of one whose encoder has been trained further since."""
    model = vit(0, channels)
    layout = token_layout(model, image_size=(8, 8), in_channels=channels)
    outputs = 8**channels if way["colours"] else channels * 4
    net = Reconstruction(
        model, layout, outputs=outputs, visible=way["visible"], decoder_width=8, decoder_depth=2
    ).eval()
    nn.init.normal_(net.head.weight)
    about = {COUNT: torch.tensor(way["count"]), COLOURS: torch.tensor(way["colours"])}
    kept = {KEPT: {**net.beside(), **about}, ENCODER: model.state_dict()}
    subject = figure_subject(vit(1, channels), in_channels=channels, fresh=lambda seed: vit(2 + seed, channels))
    return net, dataclasses.replace(subject, kept=kept)


@WAYS
def test_predictions_are_those_of_the_encoder_that_pretraining_left(way: Mapping[str, Any]) -> None:
    net, subject = pretrained(way)
    images = [picture.pixels for picture in subject.pictures]
    look = Pretrained.of(subject).look(images)
    assert look.hidden.masked.shape == (4, way["count"])
    with torch.no_grad():
        torch.testing.assert_close(look.predicted, net(subject.inputs(images), *look.hidden))


@WAYS
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_not_masked_is_shown_as_it_is(way: Mapping[str, Any], channels: int) -> None:
    _, subject = pretrained(way, channels=channels)
    look = Pretrained.of(subject).look([picture.pixels for picture in subject.pictures])
    [grid] = [one for one in draw(subject, images=8) if isinstance(one, Grid)]
    assert grid.columns == 4
    rows = {
        label: patches_of(torch.from_numpy(np.stack([tile.pixels for tile in tiles if tile])), GRID)
        for label, tiles in zip(grid.row_labels, (grid.tiles[i : i + 4] for i in range(0, 16, 4)), strict=True)
    }
    assert [*rows] == ["image", "masked", "predicted", "mean colours" if way["colours"] else "mean alone"]
    is_masked = torch.zeros(4, 16, dtype=torch.bool).scatter(1, look.hidden.masked, True)
    for label in ("masked", "predicted"):
        assert torch.equal(rows[label][~is_masked], rows["image"][~is_masked])
    assert (rows["masked"][look.hidden.token if way["colours"] else is_masked] == GRAY).all()
    if way["colours"]:
        said = colour_codes(image_of(rows["predicted"], GRID, (8, 8)), GRID)
        assert torch.equal(said.take_along_dim(look.hidden.masked, dim=1), look.predicted.argmax(2))
        shown = colour_codes(image_of(rows["mean colours"], GRID, (8, 8)), GRID)
        assert torch.equal(shown, colour_codes(look.pixels, GRID))
    else:
        mean = rows["image"].float().mean((2, 3)).round()
        assert (rows["mean alone"][is_masked].flatten(1) == mean[is_masked][:, None]).all()


@WAYS
def test_how_good_it_is_stands_beside_what_knowing_nothing_gives(way: Mapping[str, Any]) -> None:
    net, subject = pretrained(way)
    nn.init.zeros_(net.head.weight)
    kept = {**subject.kept, KEPT: {**subject.kept[KEPT], **net.beside()}}
    given = list(draw(dataclasses.replace(subject, kept=kept), images=50))
    found = {one.name: one for one in given if isinstance(one, Measurement)}
    assert {one.n for one in found.values()} == {50}
    assert found["masked_loss"].value == pytest.approx(found["masked_guess_loss"].value, rel=1e-6)
    if way["colours"]:
        assert found["masked_loss"].value == pytest.approx(math.log(8), rel=1e-6)
        assert found["masked_accuracy"].value == found["masked_majority"].value  # class 0, black, is the commonest
    assert "50 unseen images" in given[-1].note
    [alone] = draw(subject, images=0)
    assert "unseen images" not in alone.note


@pytest.mark.parametrize("kept", [{}, {"decoder": {"weight": torch.ones(2)}}, {KEPT: {"mask_token": torch.ones(2)}}])
def test_a_model_that_was_pretrained_otherwise_is_skipped(kept: Any) -> None:
    subject = dataclasses.replace(figure_subject(nn.Flatten()), kept=kept)
    with pytest.raises(Skip, match="it was not pretrained by masked-patches"):
        next(iter(draw(subject, images=0)))
