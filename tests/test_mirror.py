"""Tests mirror modules: who looks for the tests of a module finds them under its name."""

from __future__ import annotations

import ast
from pathlib import Path

import vitbench

PACKAGE = Path(vitbench.__file__).parent
TESTS = Path(__file__).parent

TESTED_WITH = {
    # Thin commands: their names and mistakes, then what they call.
    "unit/cli/test_cli.py": (
        "cli/catalog",
        "cli/check",
        "cli/doctor",
        "cli/findings",
        "cli/import_results",
        "cli/merge",
        "cli/plugin",
        "cli/reproduce",
        "cli/score",
        "cli/show",
        "cli/track",
        "cli/withdraw",
    ),
    "unit/boards/test_boards.py": ("boards/joining", "boards/making"),
    "integration/test_compare.py": ("cli/compare",),
    "unit/exporting/test_export.py": ("cli/export", "exporting/results"),
    "integration/test_figures.py": (
        "cli/explain",
        "explaining/explain",
        "figures/own_images",
        "planning/figures",
        "worker/figure",
    ),
    # The parts of one answer, which is only right as a whole.
    "unit/comparing/test_compare.py": (
        "comparing/comparison",
        "comparing/conditions",
        "comparing/contrast",
        "comparing/folder",
        "comparing/kinds",
    ),
    "unit/comparing/test_board_contrast.py": ("comparing/board_sentences",),
    "unit/comparing/test_report.py": ("comparing/report_json", "comparing/sentences"),
    # What a process leaves behind shows only where one runs.
    "unit/execution/test_local.py": ("execution/keeper",),
    # What a cluster does shows only where there is one.
    "integration/test_ray.py": ("execution/ray_executor",),
    "unit/running/test_spreading.py": ("running/calls",),
    "unit/leaderboard/test_rows.py": ("leaderboard/metric",),
    "unit/report/html/test_charts.py": (
        "report/html/curves_chart",
        "report/html/panels",
        "report/html/pareto_chart",
        "report/html/specs",
        "report/pareto_points",
        "report/training_curves",
    ),
    "unit/report/figures/test_drawing.py": (
        "report/figures/grid",
        "report/figures/matrix",
        "report/figures/points",
        "report/figures/sheet",
    ),
    "unit/report/html/test_figures.py": ("report/html/tiles",),
    "unit/report/plots/test_pictures.py": (
        "report/plots/canvas",
        "report/plots/curves",
        "report/plots/pareto",
        "report/plots/text",
    ),
    "unit/report/test_findings_table.py": ("report/findings_json", "report/findings_sentences"),
    "unit/report/test_sentence.py": ("report/naming",),
    "unit/measuring/test_memory.py": ("measuring/training_memory",),
    # The steps from a folder to cached images.
    "unit/data/test_cache.py": ("data/decoding",),
    # What both the cache and each batch do to an image.
    "unit/training/test_inputs.py": ("data/fitting",),
    # What a kit of checks is made of; its checks are tested by subjects that break them.
    "unit/testing/test_figures.py": ("testing/figure_subjects", "testing/looking"),
    "unit/testing/test_models.py": ("testing/building", "testing/checks", "testing/choices", "testing/subjects"),
    "unit/testing/test_recipes.py": ("testing/fitting", "testing/learner"),
    "unit/testing/test_datasets.py": ("testing/fresh", "testing/opening"),
    "unit/testing/test_plan.py": ("testing/families", "testing/parametrize"),
    "unit/testing/test_isolated.py": ("testing/report",),
    "unit/test_api.py": ("__init__",),
    "integration/test_pick.py": (
        "picking/dry_run",
        "picking/pick",
        "picking/stages",
    ),
    "unit/picking/test_answer.py": ("picking/course", "picking/report"),
    # What is right only in a process of its own, or after a training.
    "integration/test_lockstep.py": ("lockstep/process",),
}
"""Modules without a test file of their own, by the file that tests them. Whoever gives one its own takes it out."""


def has_logic(path: Path) -> bool:
    """Return whether a module has a function that does something: not only docstrings and ``...``."""

    def does_something(node: ast.AST) -> bool:
        return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not all(
            isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) for line in node.body
        )

    return any(map(does_something, ast.walk(ast.parse(path.read_text(encoding="utf-8")))))


def modules() -> dict[str, Path]:
    """Return each module, by its path without suffix, and the file that should test it."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).with_suffix("")
        name = place.parent.name if place.name == "__init__" else place.name
        found[place.as_posix()] = Path("unit", place.parent, f"test_{name}.py")
    return found


def test_each_module_with_logic_has_a_test_file_of_its_name_or_says_where_it_is_tested() -> None:
    elsewhere = {module for several in TESTED_WITH.values() for module in several}
    missing = {
        f"vitbench/{module}.py: write tests/{test.as_posix()}"
        for module, test in modules().items()
        if module not in elsewhere and not (TESTS / test).exists() and has_logic(PACKAGE / f"{module}.py")
    }
    assert not missing


def test_each_test_file_has_its_module() -> None:
    expected = set(modules().values())
    strays = {test.relative_to(TESTS).as_posix() for test in (TESTS / "unit").rglob("test_*.py")} - {
        test.as_posix() for test in expected
    }
    assert not strays, "rename them, or move them to where no module is meant"


def test_the_list_of_exceptions_is_true() -> None:
    tests = modules()
    for file, several in TESTED_WITH.items():
        assert (TESTS / file).is_file(), file
        for module in several:
            assert module in tests, f"{module} is gone"
            assert not (TESTS / tests[module]).exists(), f"{module} has a test file of its own"
            assert has_logic(PACKAGE / f"{module}.py"), f"{module} needs no test"
