"""A model's own defaults for recipes: whose name is whose, what goes before what, and what a mistake costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from vitbench.catalog import Catalog, Offer, Plugin
from vitbench.errors import UsageError
from vitbench.planning.expand import expand
from vitbench.planning.recipe_options import own_recipe_options, with_own_recipe_options
from vitbench.planning.resolve import resolve_model
from vitbench.planning.suite import AskedCell, ModelEntry, Selection, SpeedPlan, Suite
from vitbench.specs import DatasetSpec, ModelSpec, Option, OptionValue, RecipeSpec

Given = Mapping[str, Mapping[str, OptionValue]]


def offer(name: str, spec: Any, *, distribution: str = "d") -> Offer[Any]:
    plugin = Plugin(name=name.partition("/")[0], distribution=distribution, version="1", module="m")
    return Offer(name=name, plugin=plugin, spec=spec)


def recipe(name: str, *, distribution: str = "d") -> Offer[Any]:
    options = {
        "lr": Option(0.001, minimum=0),
        "betas": (0.9, 0.999),
        "epochs": 100,
        "teacher": Option("", kind="model"),
    }
    spec = RecipeSpec(name=name.partition("/")[2], fit="a:b", summary="x", options=options)
    return offer(name, spec, distribution=distribution)


def net(name: str, recipe_options: Given) -> ModelSpec:
    return ModelSpec(name=name, build="a:b", summary="x", recipe_options=recipe_options)


def catalog_of(recipe_options: Given, *others: str) -> Catalog:
    family = ModelSpec(name="*", build="a:b", summary="x", resolve=lambda name: net(name, recipe_options))
    models = [
        offer("zoo/net", net("net", recipe_options)),
        offer("zoo/teacher", net("teacher", {})),
        offer("open/*", family),
    ]
    recipes = [recipe("recipes/supervised", distribution="vitbench"), *map(recipe, others)]
    digits = offer("d/digits", DatasetSpec(name="digits", open="a:b", summary="x"))
    return Catalog(
        models={one.name: one for one in models},
        recipes={one.name: one for one in recipes},
        datasets={"d/digits": digits},
    )


def cells_of(
    catalog: Catalog, entry: ModelEntry, *, suite: Mapping[str, OptionValue], user: Mapping[str, OptionValue]
) -> list[AskedCell]:
    """Return the cells of a model as they are keyed."""
    found = Suite(
        name="s",
        summary="x",
        datasets=("digits",),
        models=(entry,),
        recipe="recipes/supervised",
        recipes={"recipes/supervised": dict(suite)},
        speed=SpeedPlan(batch_sizes=(8,)),
    )
    cells = expand(found, catalog, Selection(settings={"recipes/supervised": dict(user)} if user else {}))
    return [
        with_own_recipe_options(cell, resolve_model(cell.model, cell.recipe, catalog).recipe_options) for cell in cells
    ]


@pytest.mark.parametrize("model", ["zoo/net", "open/any"])
@pytest.mark.parametrize(
    ("suite", "entry", "user", "lr"),
    [
        ({}, {}, {}, 0.1),
        ({"lr": 0.2}, {}, {}, 0.2),
        ({"lr": 0.2}, {"lr": 0.3}, {}, 0.3),
        ({"lr": 0.2}, {"lr": 0.3}, {"lr": "0.001"}, 0.001),
        ({}, {}, {"lr": "0.001"}, 0.001),  # the recipe's default, said by the user
    ],
)
def test_the_user_goes_before_the_suite_and_that_before_the_model(
    model: str, suite: dict[str, OptionValue], entry: dict[str, OptionValue], user: dict[str, OptionValue], lr: float
) -> None:
    catalog = catalog_of({"supervised": {"lr": 0.1, "betas": [0.8, 0.9]}})
    cells = cells_of(catalog, ModelEntry(name=model, recipe_options=entry), suite=suite, user=user)
    used = {(cell.kind, cell.mode): cell.recipe_options for cell in cells}
    wanted = {"lr": lr, "betas": (0.8, 0.9), "epochs": 100, "teacher": ""}
    assert used == {("quality", "inference"): wanted, ("speed", "inference"): {}, ("speed", "training"): wanted}


def own(catalog: Catalog, name: str = "recipes/supervised") -> dict[str, OptionValue]:
    model = catalog.models["zoo/net"]
    return own_recipe_options(model.spec, model.plugin, catalog.recipes[name], catalog)


def test_a_short_name_is_that_of_the_plugin_or_of_vitbench_whatever_else_is_installed() -> None:
    mine = {"supervised": {"lr": 0.1}}
    assert own(catalog_of(mine)) == own(catalog_of(mine, "other/supervised")) == {"lr": 0.1}
    assert own(catalog_of(mine, "other/supervised"), "other/supervised") == {}
    of_its_own = catalog_of(mine, "zoo/supervised")
    assert (own(of_its_own), own(of_its_own, "zoo/supervised")) == ({}, {"lr": 0.1})
    full = catalog_of({"other/supervised": {"lr": 0.2}, "gone/recipe": {"any": 1}}, "other/supervised")
    assert (own(full), own(full, "other/supervised")) == ({}, {"lr": 0.2})


def test_a_model_that_an_option_names_is_the_plugins_own_first() -> None:
    assert own(catalog_of({"supervised": {"teacher": "teacher"}})) == {"teacher": "zoo/teacher"}


WRONG = [
    ({"supervised": {"lrr": 0.1}}, 'recipe recipes/supervised has no option "lrr". Did you mean "lr"?'),
    ({"supervised": {"lr": "fast"}}, "recipe recipes/supervised: option lr must be a number, not 'fast'."),
    ({"supervised": {"lr": -1.0}}, "recipe recipes/supervised: option lr must be at least 0, not -1.0."),
    ({"supervised": {"teacher": "nobody"}}, 'option teacher of recipe recipes/supervised: unknown model "nobody".'),
    (
        {"supervised": {"lr": 0.1}, "recipes/supervised": {"lr": 0.2}},
        "supervised and recipes/supervised are the same recipe; name it once.",
    ),
]


@pytest.mark.parametrize(("given", "words"), WRONG)
def test_what_a_recipe_refuses_costs_the_models_own_cells_and_names_its_plugin(given: Given, words: str) -> None:
    catalog = catalog_of(given)
    with pytest.raises(UsageError) as caught:
        own(catalog)
    assert str(caught.value).startswith(f"plugin zoo (d 1), recipe_options: {words}")
    (cell, *_) = cells_of(catalog, ModelEntry(name="zoo/net"), suite={}, user={})
    model = resolve_model(cell.model, cell.recipe, catalog)
    assert model.fault is not None
    assert (model.fault.reason, model.fault.exit_code) == (str(caught.value), 2)
