"""Ids and keys of given cells are what they have always been: a new one would measure everything again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import factories
import msgspec
import pytest

from vitbench import environment
from vitbench.catalog import Plugin
from vitbench.catalog.provenance import core_hash
from vitbench.planning.datasets import ResolvedDataset
from vitbench.planning.keying import Keyer
from vitbench.planning.resolve import Fault, ResolvedModel, ResolvedRecipe
from vitbench.planning.suite import AskedCell, AskedModel, Conditions
from vitbench.records import KeyedCell, PluginOrigin, SpeedCell, id_of
from vitbench.specs import ModelSpec, Preprocess, RecipeSpec
from vitbench.variables import Variables

ZOO, COOK, IMAGES = (
    Plugin(name=name, distribution=name, version="1", module=name) for name in ("zoo", "cook", "images")
)
MODEL = ResolvedModel(
    name="zoo/net",
    plugin=ZOO,
    spec=ModelSpec(name="net", build="a:b", summary="x"),
    options={"depth": 2},
    label="net:depth=2",
    files={"checkpoint": "5ha"},
)
RECIPE = ResolvedRecipe(
    name="cook/slow",
    plugin=COOK,
    spec=RecipeSpec(name="slow", fit="a:b", summary="x", options={"lr": 1.0}),
    options={"lr": 0.1},
)
DIGITS = ResolvedDataset(name="images/digits", plugin=IMAGES)
ASKED = AskedCell(
    kind="quality",
    model=AskedModel(name="zoo/net"),
    dataset="images/digits",
    recipe="cook/slow",
    recipe_options={"lr": 0.1},
    seed=3,
)
DATA = msgspec.structs.replace(factories.data_info(), plugin="images")


COLOUR = Preprocess(mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.2))


def origin(plugin: Plugin) -> PluginOrigin:
    return PluginOrigin(
        plugin=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        code_hash=f"c0de of {plugin.name}",
    )


KEYER = Keyer(
    conditions=Conditions(precision="bfloat16", compile="default", epochs=3),
    device="cuda:1",
    machine="A machine",
    threads=2,
    torch="2.9",
    origin=origin,
)


def test_the_id_and_the_key_of_a_speed_cell_are_unchanged() -> None:
    keyed = KEYER.speed(MODEL, num_classes=10, data_shape=(1, 8, 8), batch_size=4, mode="training")
    assert (keyed.id, keyed.key) == ("ad9d0848249e5211", "7885528604e0799c")
    assert keyed.id == id_of(keyed.cell)
    assert (keyed.label, keyed.image_size, keyed.in_channels, keyed.data) == ("net:depth=2", (8, 8), 1, None)


def test_a_recipes_step_belongs_to_the_id_and_its_code_to_the_key() -> None:
    ask = partial(KEYER.speed, MODEL, num_classes=10, data_shape=(1, 8, 8), batch_size=4, mode="training")
    recipe = RECIPE
    keyed = ask(step_of=recipe)
    assert isinstance(keyed.cell, SpeedCell)
    assert (keyed.cell.recipe, keyed.cell.recipe_options) == ("cook/slow", {"lr": 0.1})
    assert keyed.provenance.recipe == origin(COOK)
    assert ask().provenance.recipe is None
    taught = ask(step_of=replace(recipe, files={"teacher.checkpoint": "7"}, models=(replace(MODEL, plugin=IMAGES),)))
    assert taught.provenance.files == {"model.checkpoint": "5ha", "recipe.teacher.checkpoint": "7"}
    assert taught.provenance.others == (origin(IMAGES),)
    assert (taught.id == keyed.id, taught.key == keyed.key) == (True, False)
    others = [ask(), ask(step_of=replace(recipe, options={"lr": 0.2})), ask(step_of=replace(recipe, name="cook/fast"))]
    assert keyed.id not in {other.id for other in others}
    changed = replace(KEYER, origin=lambda plugin: msgspec.structs.replace(origin(plugin), code_hash="new"))
    again = changed.speed(MODEL, num_classes=10, data_shape=(1, 8, 8), batch_size=4, mode="training", step_of=recipe)
    assert again.id == keyed.id
    assert again.key != keyed.key


def test_the_id_and_the_key_of_a_quality_cell_are_unchanged() -> None:
    keyed = KEYER.quality(ASKED, MODEL, DATA, recipe=RECIPE, dataset=DIGITS)
    assert (keyed.id, keyed.key) == ("2cd1d6a0a2921b24", "6eb1702c84a7dc55")
    assert keyed.data == DATA
    assert keyed.provenance.recipe == origin(COOK)
    assert keyed.provenance.files == {"model.checkpoint": "5ha"}


def test_all_files_that_options_name_and_the_code_of_other_models_are_in_the_key() -> None:
    def keyed(model: ResolvedModel = MODEL, recipe: ResolvedRecipe = RECIPE, **fields: object) -> KeyedCell:
        return KEYER.quality(ASKED, model, DATA, recipe=recipe, dataset=replace(DIGITS, **fields))

    teacher = replace(MODEL, plugin=COOK)
    cells = [
        keyed(),
        keyed(files={"index": "1d"}),
        keyed(recipe=replace(RECIPE, files={"teacher.checkpoint": "one"})),
        keyed(recipe=replace(RECIPE, files={"teacher.checkpoint": "two"})),
        keyed(recipe=replace(RECIPE, models=(teacher,))),
        keyed(model=replace(MODEL, files={})),
    ]
    assert len({cell.id for cell in cells}) == 1
    assert len({cell.key for cell in cells}) == len(cells)
    assert cells[1].provenance.files == {"model.checkpoint": "5ha", "dataset.index": "1d"}
    assert cells[2].provenance.files == {"model.checkpoint": "5ha", "recipe.teacher.checkpoint": "one"}
    assert cells[4].provenance.others == (origin(COOK),)
    twice = keyed(recipe=replace(RECIPE, models=(teacher, replace(teacher, name="cook/other"))))
    assert twice.key == cells[4].key


@pytest.mark.parametrize("part", [RECIPE, DIGITS, MODEL], ids=["recipe", "dataset", "model"])
def test_the_code_of_each_part_is_in_the_key(part: Any) -> None:
    def keyed(code: str) -> KeyedCell:
        def changed(plugin: Plugin) -> PluginOrigin:
            return msgspec.structs.replace(origin(plugin), code_hash=code) if plugin == part.plugin else origin(plugin)

        return replace(KEYER, origin=changed).quality(ASKED, MODEL, DATA, recipe=RECIPE, dataset=DIGITS)

    assert keyed("old").id == keyed("new").id
    assert keyed("old").key != keyed("new").key


def test_versions_of_libraries_builds_and_decoders_and_our_own_code_are_in_the_key_and_not_in_the_id() -> None:
    model = replace(MODEL, spec=ModelSpec(name="net", build="a:b", summary="x", requires=("timm",)))
    recipe = replace(RECIPE, spec=RecipeSpec(name="slow", fit="a:b", summary="x", requires=("oven",)))
    versions = {"timm": "1", "oven": "1"}

    def keyed(*, decoders: dict[str, str] = MappingProxyType({}), **fields: Any) -> list[KeyedCell]:
        known = versions | fields.pop("versions", {})
        keyer = replace(KEYER, versions=lambda modules: {name: known[name] for name in modules}, **fields)
        dataset = replace(DIGITS, decoders=decoders)
        timed = keyer.speed(model, num_classes=10, data_shape=(1, 8, 8), batch_size=4, mode="training", step_of=recipe)
        return [keyer.quality(ASKED, model, DATA, recipe=recipe, dataset=dataset), timed]

    changes: list[dict[str, Any]] = [
        {},
        {"versions": {"timm": "2"}},
        {"versions": {"oven": "2"}},
        {"torch": "2.9+cpu"},
        {"software": {"cuDNN": "92400"}},
        {"vitbench": "another hash"},
    ]
    of_quality, of_speed = zip(*(keyed(**change) for change in changes), strict=True)
    for cells in (of_quality, of_speed):
        assert len({cell.id for cell in cells}) == 1
        assert len({cell.key for cell in cells}) == len(changes)
    assert of_quality[0].provenance.libraries == of_speed[0].provenance.libraries == {"timm": "1"}
    assert of_quality[0].provenance.recipe_libraries == {"oven": "1"}
    decoded, timed = keyed(decoders={"pillow": "14"})
    assert (decoded.key == of_quality[0].key, timed.key == of_speed[0].key) == (False, True)
    assert decoded.provenance.software == {"pillow": "14"}


def test_variables_are_in_the_id_of_the_cells_whose_numbers_they_change() -> None:
    def ids(**fields: dict[str, str]) -> tuple[str, str]:
        keyer = replace(KEYER, variables=Variables(**fields))
        timed = keyer.speed(MODEL, num_classes=10, data_shape=(1, 8, 8), batch_size=4, mode="inference")
        judged = keyer.quality(ASKED, MODEL, DATA, recipe=RECIPE, dataset=DIGITS)
        assert timed.timing_variables == judged.timing_variables == fields.get("timing", {})
        return judged.id, timed.id

    plain, spinning, rounding = ids(), ids(timing={"OMP_WAIT_POLICY": "active"}), ids(arithmetic={"MKL_CBWR": "AVX"})
    assert (plain[0] == spinning[0], plain[1] == spinning[1]) == (True, False)
    assert (plain[0] == rounding[0], plain[1] == rounding[1]) == (False, False)


def test_a_keyer_knows_the_builds_the_variables_and_vitbenchs_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    described = msgspec.structs.replace(
        environment.describe("cpu"), versions={"torch": "2.9+cpu", "torchvision": "0.9+cpu", "cuDNN": "9", "numpy": "2"}
    )
    made = Keyer.of(Conditions(), device="cpu", described=described)
    assert made.software == {"torchvision": "0.9+cpu", "cuDNN": "9"}
    assert made.variables.arithmetic["ATEN_CPU_CAPABILITY"] == "default"
    assert made.vitbench == core_hash()


def test_options_of_a_dataset_are_in_the_id() -> None:
    folds = [
        KEYER.quality(ASKED, MODEL, DATA, recipe=RECIPE, dataset=replace(DIGITS, options={"fold": fold}))
        for fold in (1, 2)
    ]
    assert folds[0].id != folds[1].id
    assert [each.cell.dataset_options for each in folds] == [{"fold": 1}, {"fold": 2}]


def test_what_a_recipe_lacks_stops_the_training_and_not_the_timing() -> None:
    lacking = replace(RECIPE, fault=Fault(reason="recipe cook/slow needs the module oven, which is not installed"))
    keyed = KEYER.quality(ASKED, MODEL, DATA, recipe=lacking, dataset=DIGITS)
    assert keyed.unavailable == "recipe cook/slow needs the module oven, which is not installed"
    broken = replace(MODEL, fault=Fault(reason="it is broken"))
    assert KEYER.quality(ASKED, broken, DATA, recipe=lacking, dataset=DIGITS).unavailable == "it is broken"


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
