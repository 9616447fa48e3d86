"""Options of metrics: what a suite and the user set of them, and the measurement that a suite ranks by under them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vitbench.catalog import Catalog
from vitbench.catalog.options import complete_options
from vitbench.errors import did_you_mean
from vitbench.measurements import name_under
from vitbench.specs import OptionValue

__all__ = ["metric_options", "of_recipes", "ranked_by"]

Options = Mapping[str, Mapping[str, OptionValue]]


def metric_options(
    catalog: Catalog, suite: Options, user: Options, *, home: str = ""
) -> dict[str, dict[str, OptionValue]]:
    """Return the complete options of each metric that has some, by its full name.

    Args:
        catalog: what the names mean.
        suite: what the suite sets, by the metric's name.
        user: what the user sets over that, by the name of a metric or of a recipe, which is left out.
        home: the plugin that ships the suite.

    Raises:
        UsageError: an unknown metric, an option that it does not have, or a value that it refuses.
    """
    found = {name: offer.spec.defaults for name, offer in catalog.metrics.items() if offer.spec.options}
    recipes = of_recipes(catalog, user)
    of_user = {name: options for name, options in user.items() if name not in recipes or _is_near(name, catalog)}
    for source, given, where in (("[metrics] of the suite", suite, home), ("--set", of_user, "")):
        for name, options in given.items():
            offer = catalog.metric(name, home=where)
            owner = f"{source}: metric {offer.name}"
            complete = complete_options(owner, offer.spec.declared, options, over=found.get(offer.name, {}))
            found |= {offer.name: complete} if complete else {}
    return found


def of_recipes(catalog: Catalog, user: Options) -> dict[str, Mapping[str, OptionValue]]:
    """Return what a user set that no metric alone can mean: a recipe takes precedence over a metric of its name."""

    def named(name: str, offers: Mapping[str, object]) -> bool:
        return any(name in (full, full.partition("/")[2]) for full in offers)

    return {
        name: options
        for name, options in user.items()
        if named(name, catalog.recipes) or not named(name, catalog.metrics)
    }


def _is_near(name: str, catalog: Catalog) -> bool:
    """Whether an unknown name is that of a metric, misspelt, rather than of a recipe."""

    def near(offers: Iterable[str]) -> str:
        names = [name for full in offers for name in (full, full.partition("/")[2])]
        return "" if name in names else did_you_mean(name, names)

    with_options = (full for full, offer in catalog.metrics.items() if offer.spec.options)
    return bool(near(with_options)) and not near(catalog.recipes)


def ranked_by(rank_by: str, catalog: Catalog, options: Options) -> str:
    """Return the measurement that a suite ranks by, as records name it: with the options of its metric."""
    owner = next((one for one in catalog.metrics.values() if any(g.name == rank_by for g in one.spec.gives)), None)
    return name_under(rank_by, options.get(owner.name, {}) if owner else {})
