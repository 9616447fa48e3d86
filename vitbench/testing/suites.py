"""Checks of suites: a suite file says what it means, and means what is installed."""

from __future__ import annotations

from pathlib import Path

from vitbench.catalog.options import complete_options
from vitbench.catalog.provenance import first_missing
from vitbench.errors import NothingSelectedError, Skip, VitbenchError
from vitbench.planning.expand import expand
from vitbench.planning.suite import ModelEntry, Selection, Suite
from vitbench.planning.suite_file import read_suite
from vitbench.testing.cases import SuiteCase
from vitbench.testing.checks import CheckFailed


def check_suite_parses(case: SuiteCase) -> None:
    """The file is a suite with the name that the spec gives."""
    suite = _read(case)
    if suite.name != case.spec.name:
        raise CheckFailed(f'the file\'s name is "{suite.name}", the spec\'s is "{case.spec.name}"; make them equal')


def check_suite_names(case: SuiteCase) -> None:
    """All models, options, datasets, recipes and the ranking metric exist; members of families too."""
    suite, home = _read(case), _home(case)
    try:
        expand(suite, case.catalog, Selection(), home=home)
    except NothingSelectedError:  # models or datasets are left to the user
        pass
    except VitbenchError as error:
        raise CheckFailed(f"{error} If another package offers it, require that package.") from error
    _check_recipes(suite, case, home)
    missing = dict.fromkeys(filter(None, [_check_member(entry, case, home) for entry in suite.models]))
    if missing:
        raise Skip(" ".join(missing))


def _home(case: SuiteCase) -> str:
    """Return the plugin that ships the suite: its short names mean this plugin's offers first."""
    owners = (offer.plugin.name for offer in case.catalog.suites.values() if offer.spec == case.spec)
    return next(owners, "")


def _read(case: SuiteCase) -> Suite:
    try:
        return read_suite(Path(case.spec.path))
    except VitbenchError as error:
        raise CheckFailed(str(error)) from error


def _check_recipes(suite: Suite, case: SuiteCase, home: str) -> None:
    """Look up all recipes and the options of ``[recipes.NAME]``; of those, too, that no listed model uses."""
    try:
        for name in filter(None, [suite.recipe, *(entry.recipe for entry in suite.models)]):
            case.catalog.recipe(name, home=home)
        for name, given in suite.recipes.items():
            declared = case.catalog.recipe(name, home=home).spec.declared
            complete_options(f"[recipes] of the suite: recipe {name}", declared, given)
    except VitbenchError as error:
        raise CheckFailed(str(error)) from error


def _check_member(entry: ModelEntry, case: SuiteCase, home: str) -> str:
    """Ask a family whether it has the member and its options; return what has to be installed for that."""
    offer = case.catalog.model(entry.name, home=home)
    if offer.spec.resolve is None:
        return ""
    missing = first_missing(offer.spec.requires)
    if missing:
        return f"{entry.name} needs the module {missing}, which is not installed."
    try:
        complete_options(f"model {entry.name}", case.catalog.member(offer.name).declared, entry.options)
    except VitbenchError as error:
        raise CheckFailed(str(error)) from error
    return ""
