"""Checks of suites: a suite file says what it means, and means what is installed."""

from __future__ import annotations

from pathlib import Path

from vitbench.errors import NothingSelectedError, Skip, VitbenchError
from vitbench.resolve import first_missing
from vitbench.specs import load_target
from vitbench.suite import Selection, Suite, expand
from vitbench.suite_file import read_suite
from vitbench.testing.cases import SuiteCase
from vitbench.testing.checks import CheckFailed

__all__ = ["check_suite_names", "check_suite_parses"]


def check_suite_parses(case: SuiteCase) -> None:
    """The file is a suite, of the name that the spec gives."""
    suite = _read(case)
    if suite.name != case.spec.name:
        raise CheckFailed(f'the file\'s name is "{suite.name}", the spec\'s is "{case.spec.name}"; make them equal')


def check_suite_names(case: SuiteCase) -> None:
    """All models, options, data sets, recipes and the figure to rank by are known; members of families, too."""
    suite = _read(case)
    try:
        expand(suite, case.catalog, Selection())
    except NothingSelectedError:  # models or data sets are left to the user
        pass
    except VitbenchError as error:
        raise CheckFailed(f"{error} If another package offers it, require that package.") from error
    for name in filter(None, [suite.recipe, *(entry.recipe for entry in suite.models), *suite.recipes]):
        try:
            case.catalog.recipe(name)
        except VitbenchError as error:
            raise CheckFailed(str(error)) from error
    for entry in suite.models:
        _check_member(entry.name, case)


def _read(case: SuiteCase) -> Suite:
    try:
        return read_suite(Path(case.spec.path))
    except VitbenchError as error:
        raise CheckFailed(str(error)) from error


def _check_member(name: str, case: SuiteCase) -> None:
    """Ask a family whether it has the member."""
    spec = case.catalog.model(name).spec
    if spec.resolve is None:
        return
    missing = first_missing(spec.requires)
    if missing:
        raise Skip(f"{name} needs {missing}; pip install {missing}")
    try:
        load_target(spec.resolve)(name.partition("/")[2])
    except LookupError as error:
        raise CheckFailed(f"model {name}: {error.args[0] if error.args else error}") from error
