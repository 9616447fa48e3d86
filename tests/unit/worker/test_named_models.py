"""A recipe builds a model that its options name, and no other; it takes the inputs of the model in training."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitbench.catalog import Catalog, Offer, Plugin
from vitbench.errors import UnusableError, UsageError
from vitbench.specs import ModelSpec, Option, Preprocess, RecipeSpec
from vitbench.training import preprocess
from vitbench.training.card import Card, save_weights
from vitbench.worker.named_models import builder

PLUGIN = Plugin(name="zoo", distribution="d", version="1", module="m")
OWN = Preprocess(mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
GRAY = Preprocess(mean=(0.3,), std=(0.2,))
OTHER = Preprocess(mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.5), interpolation="bilinear")
RECIPE = RecipeSpec(name="distil", fit="a:b", summary="x", options={"teacher": Option("", kind="model"), "note": ""})


class Sees(nn.Module):
    """Gives its inputs back, and remembers what it was built with."""

    def __init__(self, **given: Any) -> None:
        super().__init__()
        self.given = given

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs


def refuses() -> nn.Module:
    raise UsageError("width is odd")


def offer(name: str, **fields: Any) -> tuple[str, Offer[ModelSpec]]:
    spec = ModelSpec(name=name, summary="x", **{"build": lambda **own: Sees(**own), **fields})
    return f"zoo/{name}", Offer(name=f"zoo/{name}", plugin=PLUGIN, spec=spec)


CATALOG = Catalog(
    models=dict(
        [
            offer("plain", options={"sizes": (1, 2), "checkpoint": ""}, arguments={"variant": "s"}),
            offer("large", image_size=16, preprocess=OTHER),
            offer("gray", in_channels=1, preprocess=GRAY),
            offer("colour", in_channels=3, preprocess=OTHER),
            offer("odd", build=refuses),
        ]
    )
)


def built(
    text: str,
    *,
    in_channels: int = 3,
    how: Preprocess = OWN,
    statistics: Preprocess = OWN,
    options: dict[str, Any] | None = None,
) -> nn.Module:
    build = builder(
        CATALOG,
        RECIPE,
        {"teacher": text, "note": "zoo/gray"} if options is None else options,
        num_classes=7,
        image_size=(8, 8),
        in_channels=in_channels,
        preprocess=how,
        statistics=lambda: statistics,
    )
    return build(text)


def test_a_model_that_takes_the_same_inputs_is_given_as_it_is() -> None:
    model = built("zoo/plain:sizes=3,4,checkpoint=a.pt")
    assert isinstance(model, Sees)
    assert model.given == {
        "num_classes": 7,
        "image_size": (8, 8),
        "in_channels": 3,
        "variant": "s",
        "sizes": (3, 4),
        "checkpoint": "a.pt",
    }


def test_what_no_option_names_is_not_built() -> None:
    for options in ({"teacher": "zoo/large", "note": "zoo/plain"}, {"teacher": "", "note": ""}):
        with pytest.raises(UsageError, match='recipe distil builds "zoo/plain", which none of its options of kind'):
            built("zoo/plain", options=options)


IMAGES = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "how", "size", "channels"),
    [
        ("large", OTHER, (16, 16), 3),
        ("gray", GRAY, (8, 8), 1),
        ("colour", OTHER, (8, 8), 3),
        ("plain", GRAY, (8, 8), 3),
    ],
)
def test_inputs_are_converted_as_if_they_had_been_made_for_it(
    name: str, how: Preprocess, size: tuple[int, int], channels: int
) -> None:
    inputs = preprocess(IMAGES, OWN, image_size=(8, 8), in_channels=3)
    model = built(f"zoo/{name}", statistics=GRAY)
    wanted = preprocess(IMAGES, how, image_size=size, in_channels=channels)
    # Inputs are no longer whole numbers that Pillow could resize: two gray levels, over the least deviation.
    tolerance = 2 / 255 / 0.25 if size != (8, 8) else 1e-5
    torch.testing.assert_close(model(inputs), wanted, atol=tolerance, rtol=1e-5)
    assert list(model.parameters()) == []
    assert not model.state_dict()


def test_a_teachers_own_card_says_its_inputs_and_the_order_of_its_outputs(tmp_path: Path) -> None:
    card = Card(mean=GRAY.mean, std=GRAY.std, class_names=("a", "c", "b"))
    save_weights(nn.Linear(1, 1), tmp_path / "t.safetensors", card)
    text = f"zoo/plain:checkpoint={tmp_path}/t.safetensors"
    build = partial(
        builder,
        CATALOG,
        RECIPE,
        {"teacher": text, "note": ""},
        num_classes=3,
        image_size=(8, 8),
        in_channels=3,
        preprocess=OWN,
        statistics=lambda: OWN,
    )
    inputs = preprocess(IMAGES, OWN, image_size=(8, 8), in_channels=3)
    wanted = preprocess(IMAGES, GRAY, image_size=(8, 8), in_channels=3)
    seen = build(class_names=("a", "b", "c"))(text)(inputs)
    torch.testing.assert_close(seen, wanted[:, [0, 2, 1]], atol=1e-5, rtol=1e-5)
    other = build(class_names=("x", "y", "z"))(text)(inputs)
    torch.testing.assert_close(other, wanted, atol=1e-5, rtol=1e-5)


def test_gray_inputs_are_repeated_for_a_model_of_colours() -> None:
    images = IMAGES[:, :1]
    model = built("zoo/colour", in_channels=1, how=GRAY)
    wanted = preprocess(images, OTHER, image_size=(8, 8), in_channels=3)
    inputs = preprocess(images, GRAY, image_size=(8, 8), in_channels=1)
    torch.testing.assert_close(model(inputs), wanted, atol=1e-5, rtol=1e-5)


def test_channels_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(UnusableError, match="model zoo/colour takes 3 channels, and the inputs have 4"):
        built("zoo/colour", in_channels=4)


def test_what_a_teacher_refuses_names_it_and_the_recipe() -> None:
    with pytest.raises(UsageError, match=r"^model zoo/odd, which recipe distil builds: width is odd$"):
        built("zoo/odd")
