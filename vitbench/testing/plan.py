"""Which checks a plugin gets: from its name to a list of checks. Imports nothing heavy, and runs none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import Any

from vitbench.catalog import ALLOW_LIST, Catalog, Offer, PluginSelection, load_catalog, select_plugins
from vitbench.catalog.options import complete_model, parse_model
from vitbench.catalog.provenance import first_missing
from vitbench.errors import UnusableError, UsageError, did_you_mean
from vitbench.records import canonical_name
from vitbench.specs import ModelSpec, RecipeSpec
from vitbench.testing.cases import (
    Case,
    DatasetCase,
    ExporterCase,
    FamilyCase,
    FigureCase,
    MetricCase,
    ModelCase,
    PluginCase,
    RecipeCase,
    SuiteCase,
)
from vitbench.testing.checks import Check

__all__ = ["CHECKS", "checks_for", "checks_of", "select"]

_LOADED = ("check_plugin_loads",)
_OFFERED = ("check_plugin_offers",)
_BUILT = ("check_model_builds",)
_CALLED = (*_BUILT, "check_model_declared_size", "check_model_logits")
_KNOWN = ("check_family_refuses_unknown_names",)
_OPENED = ("check_dataset_opens",)
_READ = (*_OPENED, "check_dataset_images")
_FITTED = ("check_recipe_returns_model",)
_AT_HOME = (*_FITTED, "check_recipe_device")
_TRAINED = (*_AT_HOME, "check_recipe_trains")
_MEASURED = ("check_metric_measurements",)
_SCORED = (*_MEASURED, "check_metric_scores")
_VALUED = (*_SCORED, "check_metric_values")
_ALONE = ("check_figure_offline",)
_DRAWN = (*_ALONE, "check_figure_draws")
_WRITTEN = ("check_exporter_writes",)
_PARSED = ("check_suite_parses",)

CHECKS: Mapping[type, tuple[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType(
    {
        PluginCase: (
            "vitbench.testing.plugins",
            {
                "check_plugin_loads": (),
                "check_plugin_lists_lightly": _LOADED,
                "check_plugin_loads_quietly": _LOADED,
                "check_plugin_imports_quietly": _LOADED,
                "check_plugin_offers": (),
                "check_plugin_recipes_known": _OFFERED,
            },
        ),
        ModelCase: (
            "vitbench.testing.models",
            {
                "check_model_builds": (),
                "check_model_declared_size": _BUILT,
                "check_model_class_names": (),
                "check_model_logits": _CALLED[:2],
                "check_model_features": _CALLED,
                "check_model_follows_data": _CALLED,
                "check_model_options": _CALLED,
                "check_model_builds_on_meta": _CALLED,
                "check_model_eval_deterministic": _CALLED,
                "check_model_batch_independent": _CALLED,
                "check_model_leaves_inputs": _CALLED,
                "check_model_gradients": _CALLED,
                "check_model_state_dict": _CALLED,
                "check_model_same_seed": _BUILT,
                "check_model_builds_share_nothing": _CALLED,
                "check_model_leaves_random_state": _CALLED,
                "check_model_leaves_flags": _CALLED,
            },
        ),
        FamilyCase: (
            "vitbench.testing.families",
            {"check_family_refuses_unknown_names": (), "check_family_members": _KNOWN},
        ),
        DatasetCase: (
            "vitbench.testing.datasets",
            {
                "check_dataset_opens": (),
                "check_dataset_missing": _OPENED,
                "check_dataset_images": _OPENED,
                "check_dataset_sizes": _READ,
                "check_dataset_labels": _OPENED,
                "check_dataset_class_names": _OPENED,
                "check_dataset_every_class": (*_OPENED, "check_dataset_labels"),
                "check_dataset_splits_disjoint": _READ,
                "check_dataset_order_stable": _READ,
                "check_dataset_batches_agree": _READ,
                "check_dataset_threads_agree": _READ,
            },
        ),
        RecipeCase: (
            "vitbench.testing.recipes",
            {
                "check_recipe_returns_model": (),
                "check_recipe_device": _FITTED,
                "check_recipe_trains": _AT_HOME,
                "check_recipe_loss_falls": _TRAINED,
                "check_recipe_seed": _TRAINED,
                "check_recipe_budget": _FITTED,
                "check_recipe_preprocesses": _FITTED,
                "check_recipe_sees_its_split": _AT_HOME,
                "check_recipe_leaves_flags": _FITTED,
                "check_recipe_step": _FITTED,
                "check_recipe_resumes": (*_TRAINED, "check_recipe_seed"),
            },
        ),
        MetricCase: (
            "vitbench.testing.metrics",
            {
                "check_metric_measurements": (),
                "check_metric_scores": _MEASURED,
                "check_metric_values": _SCORED,
                "check_metric_direction": _VALUED,
                "check_metric_order_invariant": _VALUED,
                "check_metric_leaves_inputs": _SCORED,
            },
        ),
        FigureCase: (
            "vitbench.testing.figures",
            {
                "check_figure_offline": (),
                "check_figure_draws": _ALONE,
                "check_figure_words": _DRAWN,
                "check_figure_scale": _DRAWN,
                "check_figure_measurements": _DRAWN,
                "check_figure_repeatable": _DRAWN,
                "check_figure_sees_its_split": (*_DRAWN, "check_figure_repeatable"),
                "check_figure_leaves_model": _DRAWN,
                "check_figure_leaves_inputs": _DRAWN,
                "check_figure_leaves_flags": _DRAWN,
                "check_figure_options": _DRAWN,
                "check_figure_refuses_what_is_not_there": _DRAWN,
                "check_figure_device": _DRAWN,
            },
        ),
        ExporterCase: (
            "vitbench.testing.exporters",
            {
                "check_exporter_writes": (),
                "check_exporter_stays_in_its_folder": _WRITTEN,
                "check_exporter_marks_what_is_invalid": _WRITTEN,
                "check_exporter_takes_what_there_is": _WRITTEN,
                "check_exporter_options": _WRITTEN,
            },
        ),
        SuiteCase: ("vitbench.testing.suites", {"check_suite_parses": (), "check_suite_names": _PARSED}),
    }
)
"""For each kind of case the module of its checks, and these in the order in which they run, each with those that it
depends on, the first cause first: where one of them fails it would fail by the same cause, or mean nothing."""

NO_DATA: Mapping[str, str | Path] = {}


def checks_of(
    plugin: str,
    *,
    models: Sequence[str] = (),
    data: Mapping[str, str | Path] = NO_DATA,
    plugins: PluginSelection | None = None,
) -> list[Check]:
    """Return the checks of a plugin, or of one of its offers.

    Args:
        plugin: a plugin's name, or ``plugin/name``, also of a family's member. The path of a plugin file may replace
            its name.
        models: check these alone: ``name`` or ``name:option=value,...``. `plugin` is then a plugin's name.
        data: the folders of datasets that have files, by name.
        plugins: what is loaded, `plugin` being a name; None: all that is installed, and the plugin file.

    Raises:
        UsageError: an unknown name, or an option that a model does not have.
        UnusableError: the plugin cannot be loaded, or its `resolve` is broken, or a folder of `data` is not there.
    """
    if plugins is None:
        plugin, plugins = select(plugin)
    catalog = load_catalog(plugins)
    name, _, member = plugin.partition("/")
    _check_plugin(name, catalog)
    if models and member:
        raise UsageError(f'"{plugin}" and a model are two things to check; give "{name}" and the model.')
    roots = _roots(name, data, catalog)
    if models:
        cases = [_asked_model(name, text, catalog) for text in models]
    elif member:
        cases = _asked(plugin, name, roots, catalog)
    else:
        cases = [(name, _plugin_case(name, catalog, plugins)), *_cases(name, roots, catalog)]
    return [check for subject, case in cases for check in checks_for(subject, case)]


def checks_for(subject: str, case: Case) -> list[Check]:
    """Return the checks of one case, installed or not; the report calls it by `subject`."""
    module, functions = CHECKS[type(case)]
    made: dict[str, Check] = {}
    for name, causes in functions.items():
        earlier = tuple(made[cause] for cause in causes)
        made[name] = Check(subject=subject, target=f"{module}:{name}", case=case, depends_on=earlier)
    return list(made.values())


def select(plugin: str) -> tuple[str, PluginSelection]:
    """Return the name of a plugin or of its offer, and what is to be loaded for it; a file may stand for the plugin.

    Raises:
        UsageError: the file cannot be a plugin.
    """
    above, slash, last = plugin.rpartition("/")
    path, offer = (above, slash + last) if above.endswith(".py") else (plugin, "")
    if not path.endswith(".py"):
        return plugin, select_plugins()
    plugins = select_plugins(files=[path])
    return plugins.files[0].name + offer, plugins


def _check_plugin(name: str, catalog: Catalog) -> None:
    known = [plugin.name for plugin in catalog.plugins]
    if name in known:  # what else went wrong with it is for its checks to tell
        return
    if losses := catalog.losses(name):
        raise UnusableError(f"{losses[0]}.")
    if name in catalog.left_out:
        raise UsageError(f'plugin "{name}" is left out by {ALLOW_LIST}; add it to that list.')
    hint = did_you_mean(name, known) or " If it is a package of yours, install it (pip install -e .)."
    raise UsageError(f'unknown plugin "{name}".{hint} See "vitbench plugins".')


def _plugin_case(name: str, catalog: Catalog, plugins: PluginSelection) -> PluginCase:
    files = tuple(file for file in plugins.files if file.name == name)
    return PluginCase(
        plugin=name,
        alone=PluginSelection(allowed=() if files else (name,), files=files),
        catalog=catalog,
    )


def _asked(full: str, plugin: str, roots: Mapping[str, Path], catalog: Catalog) -> list[tuple[str, Case]]:
    """Return all offers of that name, of any kind; or the member of a family."""
    offers = list(_cases(plugin, roots, catalog))
    cases = [(name, case) for name, case in offers if name == full]
    families = [name for name, offer in catalog.models.items() if offer.spec.is_family]
    if not cases and not any(full.startswith(name[:-1]) for name in families if name.startswith(f"{plugin}/")):
        if losses := catalog.losses(plugin):  # one of them may be that of the offer
            raise UnusableError(f"{losses[0]}.")
        hint = did_you_mean(full, [name for name, _ in offers])
        raise UsageError(
            f'plugin {plugin} offers no "{full.partition("/")[2]}".{hint} See "vitbench check {quote(plugin)}".'
        )
    return cases or [_asked_model(plugin, full, catalog)]


def _roots(plugin: str, data: Mapping[str, str | Path], catalog: Catalog) -> dict[str, Path]:
    """Return the folders by full name."""
    roots = {}
    for name, path in data.items():
        full = name if "/" in name else f"{plugin}/{name}"
        if full not in catalog.datasets or not full.startswith(f"{plugin}/"):
            own = [other for other in catalog.datasets if other.startswith(f"{plugin}/")]
            hint = f" Its datasets: {', '.join(own)}." if own else ""
            raise UsageError(f'plugin {plugin} has no dataset "{name}".{hint}')
        roots[full] = Path(path).expanduser().absolute()
        if not roots[full].is_dir():
            raise UnusableError(f"dataset {full}: there is no folder {roots[full]}; correct --data {quote(name)}=PATH.")
    return roots


def _cases(plugin: str, roots: Mapping[str, Path], catalog: Catalog) -> Iterator[tuple[str, Case]]:
    """Give all offers of a plugin with their full names."""

    def own(offers: Mapping[str, Offer[Any]]) -> Iterator[tuple[str, Any]]:
        return ((name, offer.spec) for name, offer in offers.items() if offer.plugin.name == plugin)

    yield from ((name, _model_case(plugin, spec, catalog)) for name, spec in own(catalog.models))
    yield from ((name, DatasetCase(spec=spec, root=roots.get(name))) for name, spec in own(catalog.datasets))
    for name, recipe in own(catalog.recipes):
        yield name, RecipeCase(spec=recipe, model=_model_of(plugin, name, catalog))
    yield from ((name, MetricCase(spec=spec)) for name, spec in own(catalog.metrics))
    yield from ((name, FigureCase(spec=spec)) for name, spec in own(catalog.figures))
    yield from ((name, ExporterCase(spec=spec)) for name, spec in own(catalog.exporters))
    yield from ((name, SuiteCase(spec=spec, catalog=catalog)) for name, spec in own(catalog.suites))


def _model_case(plugin: str, spec: ModelSpec, catalog: Catalog) -> ModelCase | FamilyCase:
    if spec.resolve:
        return FamilyCase(spec=spec)
    return ModelCase(spec=spec, recipe=_recipe_of(plugin, spec, catalog).spec if _is_fitted(spec) else None)


def _is_fitted(spec: ModelSpec) -> bool:
    """Return whether a model gives nothing before its own recipe has been called."""
    return spec.is_baseline and bool(spec.recipe)


def _recipe_of(plugin: str, spec: ModelSpec, catalog: Catalog) -> Offer[RecipeSpec]:
    """Return the recipe that a model names, found as a run finds it."""
    return catalog.recipe(spec.recipe, home=plugin)


def _model_of(plugin: str, recipe: str, catalog: Catalog) -> ModelSpec | None:
    """Return the model of a plugin that names one of its recipes; a baseline before others."""
    own = [offer.spec for offer in catalog.models.values() if offer.plugin.name == plugin and not offer.spec.resolve]
    named = [spec for spec in own if spec.recipe in (recipe, recipe.partition("/")[2])]
    return min(named, key=lambda spec: not spec.is_baseline, default=None)


def _asked_model(plugin: str, text: str, catalog: Catalog) -> tuple[str, Case]:
    """Return a model that was asked for by name, its options complete, and what the report calls it."""
    name, given = parse_model(text)
    offer = catalog.model(name if name.startswith(f"{plugin}/") else f"{plugin}/{name}")
    spec = offer.spec
    if not offer.name.endswith("*") and not first_missing(spec.requires):
        spec = catalog.member(offer.name)
    case = _model_case(plugin, spec, catalog)
    if isinstance(case, FamilyCase):
        return offer.name, case
    options = complete_model(f"model {offer.name}", spec, given)
    asked = (key.replace("-", "_") for key in given)
    changed = {key: options[key] for key in asked if key in options}  # its own size is left out
    subject = canonical_name(offer.name, options, spec.defaults)
    return subject, ModelCase(spec=spec, options=changed, recipe=case.recipe)
