"""Options of recipes: a model's own defaults for them, and the models that they name under full names."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from vitbench.catalog import Catalog, Offer, Plugin
from vitbench.catalog.options import complete_model, complete_options, parse_model
from vitbench.errors import UnusableError, UsageError, error_of
from vitbench.planning.suite import AskedCell
from vitbench.records import canonical_name
from vitbench.specs import ModelSpec, OptionValue, RecipeSpec

__all__ = ["own_recipe_options", "recipe_that_a_model_names", "with_full_names", "with_own_recipe_options"]


def own_recipe_options(
    spec: ModelSpec, plugin: Plugin, recipe: Offer[RecipeSpec], catalog: Catalog
) -> dict[str, OptionValue]:
    """Return a model's own defaults for the options of a recipe; none where it names other recipes alone.

    Args:
        spec: of the model; of a family's member as the family completes it.
        plugin: the model's.
        recipe: that the model is to be trained by.
        catalog: what the names mean.

    Raises:
        UsageError: the recipe has no such option, or refuses the value, or is named twice; the plugin is named.
        UnusableError: an option names a model of a plugin that is broken.
    """
    named = [
        (name, options)
        for name, options in spec.recipe_options.items()
        if recipe_that_a_model_names(name, plugin.name, catalog) == recipe
    ]
    owner = f"plugin {plugin.name} ({plugin.owner}), recipe_options"
    if len(named) > 1:
        raise UsageError(f"{owner}: {' and '.join(name for name, _ in named)} are the same recipe; name it once.")
    given = named[0][1] if named else {}
    try:
        complete = complete_options(f"recipe {recipe.name}", recipe.spec.declared, given)
        return with_full_names(recipe, {name: complete[name] for name in given}, catalog, home=plugin.name)
    except (UsageError, UnusableError) as error:
        raise error_of(error.exit_code, f"{owner}: {error}") from error


def recipe_that_a_model_names(name: str, home: str, catalog: Catalog) -> Offer[RecipeSpec] | None:
    """Return the recipe of a key of `ModelSpec.recipe_options`; None where it is not installed.

    A short name is that of the model's plugin or else of vitbench's own, whatever others are installed beside them:
    another recipe of the name must not take a model's defaults away.

    Args:
        name: full or short.
        home: the model's plugin.
        catalog: what the names mean.
    """
    for full in (name, f"{home}/{name}"):
        if full in catalog.recipes:
            return catalog.recipes[full]
    own = (offer for offer in catalog.recipes.values() if offer.plugin.distribution == "vitbench")
    return next((offer for offer in own if offer.spec.name == name), None)


def with_own_recipe_options(cell: AskedCell, own: Mapping[str, OptionValue]) -> AskedCell:
    """Return a cell with a model's own defaults, where neither suite nor user has set the option."""
    changed = {name: value for name, value in own.items() if name not in cell.recipe_settled}
    if not (changed and cell.recipe_options):  # a speed cell that trains nothing has none
        return cell
    return msgspec.structs.replace(cell, recipe_options={**cell.recipe_options, **changed})


def with_full_names(
    recipe: Offer[RecipeSpec], options: Mapping[str, OptionValue], catalog: Catalog, *, home: str
) -> dict[str, OptionValue]:
    """Return a recipe's options with the models that they name, such as a teacher, under their full names.

    Args:
        recipe: whose options they are.
        options: all of them, or some.
        catalog: what the names mean.
        home: the plugin whose models go first.

    Raises:
        UsageError: such a model is unknown, or has other options.
        UnusableError: it belongs to a plugin that is broken.
    """
    full = dict(options)
    for name, option in recipe.spec.declared.items():
        if option.kind != "model" or not options.get(name):
            continue
        try:
            short, given = parse_model(str(options[name]))
            offer = catalog.model(short, home=home)
        except (UsageError, UnusableError) as error:
            raise error_of(error.exit_code, f"option {name} of recipe {recipe.name}: {error}") from error
        asked: Mapping[str, OptionValue] = given
        defaults: Mapping[str, OptionValue] = {}
        if offer.spec.resolve is None:
            asked, defaults = complete_model(f"model {offer.name}", offer.spec, given), offer.spec.defaults
        full[name] = canonical_name(offer.name, dict(asked), dict(defaults))
    return full
