"""Checks of whole plugins: what holds for all of their hooks together."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from vitbench.catalog import Offer
from vitbench.errors import Skip, VitbenchError, did_you_mean
from vitbench.execution.choice import chosen_executor
from vitbench.execution.processes import ProgramError, answer_of
from vitbench.planning.recipe_options import own_recipe_options, recipe_that_a_model_names
from vitbench.specs import ModelSpec
from vitbench.testing.cases import PluginCase
from vitbench.testing.checks import CheckFailed
from vitbench.testing.fresh import Asked, Imported, Loaded, import_in_child

SECONDS = 60.0
"""For loading a plugin, and for importing what it names; the largest libraries take ten."""


def check_plugin_loads(case: PluginCase) -> None:
    """The plugin loads in a fresh process and lists its offers within a minute."""
    _loaded(case)


def check_plugin_lists_lightly(case: PluginCase) -> None:
    """Listing what the plugin offers imports none of torch, torchvision, timm, numpy, pandas, scipy and sklearn."""
    imported = _loaded(case).imported
    if imported:
        raise CheckFailed(
            f"listing it imports {', '.join(imported)}; import them in the modules that its import strings name"
        )


def check_plugin_loads_quietly(case: PluginCase) -> None:
    """Loading prints nothing and leaves folder, environment, sys.path, random and warning filters unchanged."""
    loaded, told = _loaded(case), _losses(case)
    problems = [problem for problem in loaded.problems if problem not in told]
    if problems:
        raise CheckFailed(problems[0])
    if loaded.changed:
        raise CheckFailed(f"loading it changes {loaded.changed[0]}; do not change state that the whole process shares")


def check_plugin_imports_quietly(case: PluginCase) -> None:
    """Importing what its import strings name leaves torch's flags and all random generators unchanged."""
    ending = chosen_executor().run(
        f"{import_in_child.__module__}:{import_in_child.__name__}",
        case.alone,
        Imported,
        timeout=SECONDS,
        log=Path(os.devnull),
    )
    if ending.answer is None:
        raise CheckFailed(f"importing what its import strings name: {ending.reason.partition(';')[0]}")
    if ending.answer.fault:
        raise CheckFailed(ending.answer.fault)


def check_plugin_offers(case: PluginCase) -> None:
    """Everything that its hooks give is used: no hook raises, no spec breaks a rule, and no name is taken."""
    losses = _losses(case)
    if losses:
        raise CheckFailed("; ".join(losses))


def check_plugin_recipes_known(case: PluginCase) -> None:
    """The recipes that its models name exist and accept `recipe_options`; others need not be installed."""
    models = [offer for offer in case.catalog.models.values() if offer.plugin.name == case.plugin]
    named = [offer for offer in models if offer.spec.recipe]
    if not named and not any(offer.spec.recipe_options for offer in models):
        raise Skip("its models name no recipe")
    if case.catalog.left_out:
        raise Skip(f"plugins are left out: {', '.join(case.catalog.left_out)}")
    for offer in named:
        try:
            case.catalog.recipe(offer.spec.recipe, home=case.plugin)
        except VitbenchError as error:
            raise CheckFailed(f"model {offer.name}: {error} If another package offers it, require it.") from error
    for offer in models:
        for name in offer.spec.recipe_options:
            _check_recipe_options(offer, name, case)


def _check_recipe_options(offer: Offer[ModelSpec], name: str, case: PluginCase) -> None:
    """Check what a model sets of one recipe, where that is installed."""
    recipe = recipe_that_a_model_names(name, case.plugin, case.catalog)
    if recipe is None:
        plugin, slash, _ = name.partition("/")
        if slash and plugin != case.plugin:
            return
        short = [known.partition("/")[2] for known in case.catalog.recipes]
        hint = did_you_mean(name, [*case.catalog.recipes, *short])
        raise CheckFailed(
            f'model {offer.name}: recipe_options name the recipe "{name}", and neither {case.plugin} nor vitbench '
            f"offers it.{hint} Write that of another plugin as plugin/name."
        )
    try:
        own_recipe_options(offer.spec, offer.plugin, recipe, case.catalog)
    except VitbenchError as error:
        raise CheckFailed(f"model {offer.name}: {error}") from error


def _losses(case: PluginCase) -> list[str]:
    """Return by what some of its offers are lost, as they stand among those of the other plugins."""
    return [problem.error for problem in case.catalog.losses(case.plugin)]


@functools.cache
def _loaded(case: PluginCase) -> Loaded:
    """Load the plugin in a fresh process; what the libraries change that it imports is not its doing."""
    loaded = _load(case)
    if not loaded.changed or not loaded.libraries:
        return loaded
    return msgspec.structs.replace(loaded, changed=_load(case, first=loaded.libraries).changed)


def _load(case: PluginCase, *, first: tuple[str, ...] = ()) -> Loaded:
    """Load the plugin in a fresh process, which imports some modules first."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    command = [sys.executable, "-P", "-m", "vitbench.testing.fresh"]  # -P: with this process's path and no other
    request = msgspec.json.encode(Asked(selection=case.alone, first=first))
    try:
        answer = answer_of(command, request, environment=environment, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"listing it takes more than {SECONDS:g} s; is it waiting for something?") from error
    except ProgramError as error:
        raise CheckFailed(f"listing it {error}") from error
    return msgspec.json.decode(answer, type=Loaded)
