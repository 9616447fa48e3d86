"""Ids and keys of given cells are what they have always been: a new one would measure everything again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import factories
import msgspec
import pytest

from vitbench import environment
from vitbench.catalog import Plugin
from vitbench.planning.keying import Keyer
from vitbench.planning.resolve import ResolvedModel
from vitbench.planning.suite import AskedCell, AskedModel, Conditions
from vitbench.records import PluginOrigin, SpeedCell, digest
from vitbench.specs import ModelSpec, Preprocess

ZOO, COOK, IMAGES = (
    Plugin(name=name, distribution=name, version="1", module=name) for name in ("zoo", "cook", "images")
)
MODEL = ResolvedModel(
    name="zoo/net",
    plugin=ZOO,
    spec=ModelSpec(name="net", build="a:b", summary="x"),
    options={"depth": 2},
    label="net:depth=2",
    checkpoint_sha256="5ha",
)


COLOUR = Preprocess(mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.2))


def origin(plugin: Plugin) -> PluginOrigin:
    return PluginOrigin(
        plugin=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        code_hash=f"c0de of {plugin.name}",
    )


KEYER = Keyer(
    conditions=Conditions(precision="bfloat16", compile=True, epochs=3),
    device="cuda:1",
    machine="A machine",
    threads=2,
    torch="2.9",
    origin=origin,
)


def test_the_id_and_the_key_of_a_speed_cell_are_unchanged() -> None:
    keyed = KEYER.speed(MODEL, num_classes=10, data_shape=(1, 8, 8), batch_size=4, mode="training")
    assert (keyed.id, keyed.key) == ("087d7b8d1662af1f", "6c832ed27b249167")
    assert keyed.id == digest(keyed.cell)
    assert (keyed.label, keyed.image_size, keyed.in_channels, keyed.data) == ("net:depth=2", (8, 8), 1, None)


def test_the_id_and_the_key_of_a_quality_cell_are_unchanged() -> None:
    asked = AskedCell(
        kind="quality",
        model=AskedModel(name="zoo/net"),
        dataset="images/digits",
        recipe="cook/slow",
        recipe_options={"lr": 0.1},
        seed=3,
    )
    data = msgspec.structs.replace(factories.data_info(), plugin="images")
    keyed = KEYER.quality(asked, MODEL, data, recipe=COOK, dataset=IMAGES)
    assert (keyed.id, keyed.key) == ("8cafd6b68654ad35", "4fb76cb4f5f36ccc")
    assert keyed.data == data
    assert keyed.provenance.recipe == origin(COOK)


@pytest.mark.parametrize(
    ("fixed", "data", "shape"),
    [
        ({}, (3, 32, 64), (3, 32, 64)),
        ({}, (5, 9, 7), (5, 9, 7)),
        ({"image_size": 48}, (3, 32, 32), (3, 48, 48)),
        ({"image_size": (16, 48)}, (3, 32, 32), (3, 16, 48)),
        ({"in_channels": 1}, (3, 32, 32), (1, 32, 32)),
        ({"preprocess": COLOUR}, (1, 32, 32), (3, 32, 32)),
        ({"preprocess": COLOUR}, (4, 32, 32), (4, 32, 32)),
        ({"preprocess": COLOUR, "in_channels": 1}, (1, 32, 32), (1, 32, 32)),
    ],
)
def test_a_model_follows_the_data_where_it_fixes_nothing(
    fixed: dict[str, Any], data: tuple[int, int, int], shape: tuple[int, int, int]
) -> None:
    model = replace(MODEL, spec=ModelSpec(name="net", build="a:b", summary="x", **fixed))
    keyed = KEYER.speed(model, num_classes=10, data_shape=data, batch_size=1, mode="inference")
    assert isinstance(keyed.cell, SpeedCell)
    assert keyed.cell.input_shape == shape
    assert (keyed.in_channels, *keyed.image_size) == shape


def test_threads_are_those_asked_for_else_all_cores() -> None:
    described = environment.describe("cpu")
    assert Keyer.of(Conditions(threads=3), device="cpu", described=described).threads == 3
    made = Keyer.of(Conditions(), device="cpu", described=described)
    assert (made.threads, made.machine) == (described.cores, described.machine)
    assert made.torch == described.versions["torch"]
