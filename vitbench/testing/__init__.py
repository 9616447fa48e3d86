"""The conformance kit: does a plugin keep the contracts of its hooks? For plugin authors; behind ``vitbench check``.

In a package's tests, one line per plugin::

    from vitbench.testing import parametrize_checks

    @parametrize_checks("mine", expected_failures={"net: check_model_gradients": "the stem is frozen on purpose"})
    def test_conformance(check):
        check()

Each check is a plain function of one case (`ModelCase`, `DatasetCase`, ...) and one contract, in the modules
``vitbench.testing.models``, ``families``, ``datasets``, ``recipes``, ``metrics``, ``figures``, ``exporters``,
``suites`` and ``plugins``. It returns nothing, or raises `CheckFailed`, or `vitbench.Skip` where it does not apply;
docs/conformance.md lists all.
"""

from __future__ import annotations

from vitbench.testing.cases import (
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
from vitbench.testing.checks import Check, CheckFailed, Outcome, run_checks
from vitbench.testing.parametrize import parametrize_checks
from vitbench.testing.plan import checks_for, checks_of

__all__ = [
    "Check",
    "CheckFailed",
    "DatasetCase",
    "ExporterCase",
    "FamilyCase",
    "FigureCase",
    "MetricCase",
    "ModelCase",
    "Outcome",
    "PluginCase",
    "RecipeCase",
    "SuiteCase",
    "checks_for",
    "checks_of",
    "parametrize_checks",
    "run_checks",
]
