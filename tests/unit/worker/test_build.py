"""A keyed cell's model is built with its sizes and options; for its shapes alone, without weights."""

from __future__ import annotations

from typing import Any

import factories
import msgspec
import pytest
from torch import nn

from vitbench.records import KeyedCell
from vitbench.specs import ModelSpec
from vitbench.worker.build import ModelBuildError, build_model, facts_of, meta_architecture


class Net(nn.Module):
    """Keeps what it was built with."""

    def __init__(self, **given: Any) -> None:
        super().__init__()
        self.given = given
        self.conv = nn.Conv2d(given["in_channels"], given["num_classes"], given["image_size"])


def spec(**fields: Any) -> ModelSpec:
    return ModelSpec(**{"name": "net", "build": Net, "summary": "For a test.", **fields})


def planned(**options: Any) -> KeyedCell:
    return factories.speed_cell(options=options, in_channels=3, image_size=(16, 16))


def test_a_model_gets_the_cells_sizes_its_options_and_the_specs_arguments() -> None:
    model = build_model(planned(depth=2), spec(arguments={"variant": "s"}), 7)
    assert isinstance(model, Net)
    assert model.given == {"num_classes": 7, "image_size": (16, 16), "in_channels": 3, "variant": "s", "depth": 2}


def test_what_is_no_module_is_refused_with_the_models_name() -> None:
    words = "^scratch/vit: build returned list, not a torch.nn.Module$"
    with pytest.raises(ModelBuildError, match=words):
        build_model(planned(), spec(build=lambda **_: []), 10)


def test_facts_are_text_and_a_model_may_have_none() -> None:
    model = nn.Identity()
    assert facts_of(model) == {}
    model.facts = {"tokens": 17}  # type: ignore[assignment]
    assert facts_of(model) == {"tokens": "17"}


def test_a_model_whose_weights_are_away_is_built_with_random_ones() -> None:
    cell = msgspec.structs.replace(planned(pretrained=True, depth=2), hub="away")
    model = build_model(cell, spec(), 10)
    assert isinstance(model, Net)
    assert (model.given["pretrained"], model.given["depth"], model.conv.weight.is_meta) == (False, 2, False)


def test_an_architecture_has_shapes_and_no_weights_fetches_none_and_is_given_no_option_that_it_lacks() -> None:
    cell = planned(pretrained=True, checkpoint="weights.safetensors", depth=2)
    model = meta_architecture(cell, spec(), 10)()
    assert isinstance(model, Net)
    assert {name: model.given[name] for name in ("pretrained", "checkpoint", "depth")} == {
        "pretrained": False,
        "checkpoint": "",
        "depth": 2,
    }
    assert model.conv.weight.is_meta
    assert model.conv.weight.shape == (10, 3, 16, 16)
    assert not model.training

    model = meta_architecture(planned(depth=2), spec(), 10)()
    assert isinstance(model, Net)
    assert {"pretrained", "checkpoint"}.isdisjoint(model.given)
