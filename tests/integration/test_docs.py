"""What README and docs show is true: their commands, examples and tables are held against the code."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import get_args

import click
import msgspec
import pytest

import vitbench
from vitbench import hookspecs
from vitbench.catalog import load_catalog, select_plugins
from vitbench.catalog.discovery import Stage
from vitbench.cli import cli
from vitbench.contract import OFFERED as OFFERED_TO
from vitbench.planning.expand import expand
from vitbench.planning.suite import Selection
from vitbench.planning.suite_file import read_suite
from vitbench.pytest_plugin.fixture import ModelBenchmark
from vitbench.records import SpeedCell
from vitbench.scaffold import write_package
from vitbench.specs import At, FigurePart, Part, load_target
from vitbench.testing import checks_of, run_checks
from vitbench.testing.cases import PluginCase

ROOT = Path(__file__).parents[2]
OFFERED = (
    "Option",
    "ModelSpec",
    "Preprocess",
    "DatasetSpec",
    "RecipeSpec",
    "MetricSpec",
    "MeasurementSpec",
    "FigureSpec",
    "Measurement",
    "Verdict",
    "ExporterSpec",
    "SuiteSpec",
)
"""The types that the author of a plugin makes, with more than a name and a value."""
OF_THE_CORE = {"Measurement": {"processes", "at", "exact", "machine_bound", "style"}}
"""Fields that no plugin fills in."""
REQUIRED = object()
HOOKS = [name for name, value in vars(hookspecs).items() if name.startswith("vitbench_") and callable(value)]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_the_readmes_first_two_commands_install_and_run_then_test():
    assert [block.strip() for block in blocks("README.md", "sh")[:2]] == [
        'pip install -e ".[dev]" && vitbench run --suite quick',
        "pytest -n 2 --dist worksteal",
    ]


@pytest.mark.slow
def test_the_python_example_of_the_quick_start_runs(tmp_path):
    [code] = blocks("docs/quick-start.md", "python")
    finished = subprocess.run(
        [sys.executable, "-"], input=code, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert "vit-p2" in finished.stdout
    assert "baseline/majority" in finished.stdout
    assert "Traceback" not in finished.stderr
    assert (tmp_path / "try" / "vitbench.sqlite").exists()


def test_the_readmes_plugin_is_found_and_builds(tmp_path):
    (tmp_path / "mine.py").write_text(blocks("README.md", "python")[0])
    catalog = load_catalog(select_plugins(files=[str(tmp_path / "mine.py")]))
    assert catalog.problems == ()
    model = load_target(catalog.model("mine/linear").spec.build)(num_classes=3, image_size=(8, 8), in_channels=1)
    assert sum(parameter.numel() for parameter in model.parameters()) == 3 * 64 + 3


def test_the_suite_of_the_docs_is_a_suite(tmp_path):
    text, sized = blocks("docs/suites.md", "toml")
    (tmp_path / "pets.toml").write_text(text)
    (tmp_path / "sized.toml").write_text(f'name = "sized"\nsummary = "x"\ndatasets = ["datasets/digits"]\n{sized}')
    asked = expand(read_suite(tmp_path / "sized.toml"), load_catalog(), Selection())
    assert [cell.model.options["image_size"] for cell in asked if cell.kind == "quality"] == ["224", "96x160"]
    cells = expand(read_suite(tmp_path / "pets.toml"), load_catalog(), Selection())
    assert [
        (cell.model.label or cell.model.name, cell.recipe, cell.seed) for cell in cells if cell.kind == "quality"
    ] == [
        (model, recipe, seed)
        for model, recipe in (
            ("timm/vit_small_patch16_224.augreg_in21k", "recipes/finetune"),
            ("scratch/resnet18", "recipes/supervised"),
            ("vit-p16-d8", "recipes/supervised"),
            ("baseline/majority", "baseline/majority"),
        )
        for seed in (0, 1, 2)
    ]


def test_the_benchmarks_of_the_docs_run(tmp_path):
    [code] = blocks("docs/pytest-benchmark.md", "python")
    (tmp_path / "test_speed.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-disable"]
    finished = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert "4 passed" in finished.stdout, finished.stdout


def test_the_fixture_is_documented_with_its_exact_signature():
    page = " ".join((ROOT / "docs" / "pytest-benchmark.md").read_text(encoding="utf-8").split())
    parameters = list(inspect.signature(ModelBenchmark.__call__).parameters.values())[1:]
    call = ", ".join(
        one.name if one.default is one.empty else f"{one.name}={one.default!r}".replace("'", '"') for one in parameters
    )
    assert f"`vitbench_benchmark({call})`" in page
    for one in parameters:
        assert f"| `{one.name}` |" in page


def test_every_hook_of_the_design_is_documented_with_its_exact_signature():
    kinds = ("models", "datasets", "recipes", "metrics", "figures", "exporters", "suites")
    assert sorted(HOOKS) == sorted(f"vitbench_{kind}" for kind in kinds)
    page = (ROOT / "docs" / "plugin-hooks.md").read_text(encoding="utf-8")
    for hook in HOOKS:
        signature = inspect.signature(getattr(hookspecs, hook))
        heading = f"## `{hook}() -> {signature.return_annotation}`\n\nSince "
        assert heading in page, hook
        assert re.match(r"\d+\.\d+\. Gives ", page.partition(heading)[2]), hook
        assert not signature.parameters, hook


def defaults(kind: type) -> dict[str, object]:
    """Return the default of each field, `REQUIRED` where there is none."""
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else msgspec.structs.fields(kind)
    absent = (dataclasses.MISSING, msgspec.NODEFAULT)
    return {
        one.name: one.default_factory()
        if one.default_factory not in absent
        else (REQUIRED if one.default in absent else one.default)
        for one in fields
    }


def test_every_field_is_documented_with_its_default_and_no_other():
    page = (ROOT / "docs" / "plugin-hooks.md").read_text(encoding="utf-8")
    offered = {each: getattr(vitbench, each) for each in vitbench.__all__}
    for name in OFFERED:
        [table] = re.findall(rf"^\| `{name}` \|.*\n\| --- .*\n((?:\|.*\n)+)", page, flags=re.MULTILINE)
        lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
        found = {field.strip("`"): default for field, _, default, _ in lines}
        core = OF_THE_CORE.get(name, ())
        of_plugins = {field: value for field, value in defaults(offered[name]).items() if field not in core}
        assert list(found) == list(of_plugins), name
        for field, default in of_plugins.items():
            shown = found[field]
            assert (REQUIRED if shown == "required" else eval(shown.strip("`"), offered)) == default, (name, field)


def test_every_type_that_an_author_makes_has_a_table_of_fields():
    types = {name for name in vitbench.__all__ if isinstance(getattr(vitbench, name), type)}
    errors = {name for name in types if issubclass(getattr(vitbench, name), Exception)}
    short = {"ImageScores", "ConfusionScore", "SampleScore", "TrainStep"}
    assert types - errors - {"Picked", "Results"} == {*OFFERED, *short}
    page = (ROOT / "docs" / "plugin-hooks.md").read_text(encoding="utf-8")
    for name in short:
        call = ", ".join(f"{field}=" for field in defaults(getattr(vitbench, name)))
        assert f"`{name}({call})`" in page


def test_what_each_function_is_offered_is_documented_and_no_more():
    page = (ROOT / "docs" / "plugin-hooks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .* \|$", page.partition("| function |")[2].partition("\n\n")[0], re.M)
    assert {role: tuple(re.findall(r"`(\w+)`", offered.partition(", the ")[0])) for role, offered in rows} == dict(
        OFFERED_TO
    )
    assert f"`vitbench.API` is the version of the contract, now {vitbench.API}." in page


def test_every_part_and_every_kind_of_cell_is_documented():
    page = (ROOT / "docs" / "plugin-hooks.md").read_text(encoding="utf-8")
    parts = page.partition("| part |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", parts, flags=re.MULTILINE)) == set(get_args(Part))
    [needs] = re.findall(r"^\| `needs` \| (tuple of `.*?) \| .*$", page, flags=re.MULTILINE)
    assert re.findall(r'"(\w+)"', needs) == list(get_args(FigurePart))
    [at] = re.findall(r"^\| `at` \| .*$", page, flags=re.MULTILINE)
    assert set(get_args(At)) <= set(re.findall(r"`(\w+)`", at))


def test_the_example_in_every_hooks_docstring_gives_what_it_promises(tmp_path):
    (tmp_path / "mine.toml").write_text('name = "mine"\nsummary = "x"\n')
    paths = {hook: tmp_path / f"example_of_{hook}.py" for hook in HOOKS}
    for hook, path in paths.items():
        example = textwrap.dedent(inspect.getdoc(getattr(hookspecs, hook)).partition("Example::\n")[2])
        path.write_text(f"from pathlib import Path\n\nimport vitbench\n\n{example}")
    catalog = load_catalog(select_plugins([*paths.values()]))
    assert catalog.problems == ()
    for hook, path in paths.items():
        offers = getattr(catalog, hook.removeprefix("vitbench_"))
        assert [offer.plugin.distribution for offer in offers.values()].count(str(path)) == 1, hook


def test_the_examples_of_all_hooks_pass_the_checks_of_a_whole_plugin(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("\n".join(blocks("docs/plugin-hooks.md", "python")))
    (tmp_path / "small.toml").write_text('name = "small"\nsummary = "Small"\n')
    checks = [check for check in checks_of(str(path)) if isinstance(check.case, PluginCase)]
    assert [(one.check, one.reason) for one in run_checks(checks) if one.status == "failed"] == []


@pytest.mark.slow
def test_the_examples_of_all_hooks_are_one_plugin_file_that_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("vitbench.running.runner.SPEED_PROCESSES", (2,))
    path = tmp_path / "mine.py"
    path.write_text("\n".join(blocks("docs/plugin-hooks.md", "python")))
    [suite] = [block for block in blocks("docs/plugin-hooks.md", "toml") if block.startswith("# small.toml")]
    (tmp_path / "small.toml").write_text(suite)
    catalog = load_catalog(select_plugins([path]))
    for hook in HOOKS:
        offers = getattr(catalog, hook.removeprefix("vitbench_")).values()
        assert any(offer.plugin.name == "mine" for offer in offers), f"{hook} has no example"
    results = vitbench.run("mine/small", plugins=[path], output=tmp_path / "results", quiet=True, strict_plugins=True)
    assert [row.model for row in results.leaderboard.rows if row.rank] == ["mine/net", "mine/net-w8"]
    assert len(results.records) == 4
    for record in results.records:
        origins = record.planned.provenance
        found = {measurement.name: measurement for measurement in record.measurements}
        if isinstance(record.planned.cell, SpeedCell):
            assert {origins.model.plugin, origins.recipe.plugin} == {"mine"}
            assert found["step_time"].n == len(found["step_time"].samples) == 2, "processes"
            assert found["step_time"].ratio is not None
            assert found["step_time"].low <= found["step_time"].value <= found["step_time"].high
            assert found["step_time"].machine_bound
            continue
        assert {origin.plugin for origin in (origins.model, origins.recipe, origins.dataset)} == {"mine"}
        assert found["error"].value == pytest.approx(1 - found["top1"].value)
        assert found["error"].high is not None, "of Wilson's interval"
        assert found["top1"].value == 1
        assert found["worst_class"].value == 1
        assert 0.5 < found["median_confidence"].low < found["median_confidence"].high < 1
        assert found["dim_top1"].value == 1
        assert found["layers"].value == 2
    figures = [check for name in ("filters", "calibration", "looks") for check in checks_of(f"{path}/{name}")]
    assert [one for one in run_checks(figures) if one.status == "failed"] == []


def test_the_package_of_the_docs_is_what_plugin_new_writes(tmp_path):
    [text] = [block for block in blocks("docs/plugin-hooks.md", "toml") if block.startswith("[project]")]
    write_package("mine", tmp_path)
    shown, written = (tomllib.loads(toml)["project"] for toml in (text, (tmp_path / "pyproject.toml").read_text()))
    assert (shown["name"], shown["entry-points"]) == (written["name"], written["entry-points"])


@pytest.fixture(scope="module")
def reference():
    """Return what docs/make_reference.py finds in the code, which is not imported for it."""
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Reference()


def test_the_reference_is_what_the_code_says(reference):
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert page == str(reference), "run: python docs/make_reference.py"


def test_every_name_of_the_reference_has_a_docstring_and_so_has_every_field(reference):
    missing = []
    for module, found in reference.described.items():
        for name, target in found.items():
            inherited = {"exit_code"} if name != "VitbenchError" else set()
            members = [] if not target.is_class else [m for n, m in target.members.items() if n not in inherited]
            public = [one for one in members if not one.name.startswith("_")]
            missing += [f"{module}: {one.path}" for one in (target, *public) if not one.docstring]
    assert missing == []


def test_every_argument_of_a_long_signature_is_explained_in_the_reference(reference):
    """A function that takes five arguments or more says of each what it is."""
    for found in reference.described.values():
        for name, target in found.items():
            if target.is_function and len(target.parameters) >= 5:
                text = target.docstring.value
                for parameter in target.parameters:
                    assert re.search(rf"\b{parameter.name}\b", text), f"{name}: {parameter.name}"


def test_all_that_a_plugin_imports_from_vitbench_is_in_the_reference(reference):
    for path in [*(ROOT / "plugins").rglob("*.py"), *(ROOT / "tests" / "third_party").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "vitbench":
                for alias in node.names:
                    assert reference.knows(f"{node.module}.{alias.name}"), f"{path}: {node.module}.{alias.name}"


def test_every_public_name_has_its_place_in_the_reference(reference):
    parts = ("specs", "protocols", "figures", "exporting", "training", "statistics")
    for module in ("vitbench", *(f"vitbench.{part}" for part in parts)):
        for name in importlib.import_module(module).__all__:
            assert reference.knows(f"{module}.{name}"), f"{module}.{name}"


def test_every_link_within_the_reference_leads_somewhere():
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    anchors = re.findall(r'^<a id="(.*)"></a>$', page, flags=re.MULTILINE)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) <= set(anchors)
    for other in (ROOT / "docs").glob("*.md"):
        links = re.findall(r"\]\(reference\.md#([^)]*)\)", other.read_text(encoding="utf-8"))
        assert set(links) <= set(anchors), other.name


def test_every_stage_of_loading_is_documented():
    page = (ROOT / "docs" / "plugin-hooks.md").read_text(encoding="utf-8")
    table = page.partition("| stage |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| (\w+) \|", table, flags=re.MULTILINE) == list(get_args(Stage))


GROUPS = {name: command for name, command in cli.commands.items() if isinstance(command, click.Group)}
COMMANDS = {
    **{name: command for name, command in cli.commands.items() if name not in GROUPS},
    **{f"{name} {sub}": command for name, group in GROUPS.items() for sub, command in group.commands.items()},
}


def test_the_usage_in_the_docs_has_every_option():
    usage = blocks("docs/cli.md", "")[0]
    for name, command in COMMANDS.items():
        forms = re.findall(rf"^vitbench {name} (.*?)(?=^vitbench|\Z)", usage, flags=re.MULTILINE | re.DOTALL)
        options = {
            each for parameter in command.params if isinstance(parameter, click.Option) for each in parameter.opts
        }
        assert set(re.findall(r"--[a-z-]+", "".join(forms))) == options, name


def test_every_exit_code_of_the_errors_is_documented():
    from vitbench import errors

    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    codes = {value.exit_code for value in vars(errors).values() if hasattr(value, "exit_code")}
    assert codes == {1, 2, 3, 4, 5}
    for code in codes | {0, 130}:
        assert f"| {code} |" in page


def test_every_environment_variable_of_the_code_is_documented():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "vitbench").rglob("*.py")]
    names = set(re.findall(r"\"(VITBENCH_[A-Z]+)\"", "\n".join(sources)))
    assert names >= {"VITBENCH_OUTPUT", "VITBENCH_DATA", "VITBENCH_CACHE", "VITBENCH_PLUGINS"}
    for name in names:
        assert f"`{name}`" in page


def test_links_between_pages_lead_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_map_answers_twenty_questions_with_one_path_each():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    _, *questions = re.findall(r"^\| (.*) \| (.*) \|$", page.partition("| question | answer |")[2], flags=re.MULTILINE)
    assert len(dict(questions)) == len(questions) >= 20
    for question, answer in questions:
        assert question.endswith("?")
        assert re.fullmatch(r"`[^` ]+`", answer), question
        assert (ROOT / answer.strip("`")).exists(), answer


def test_the_map_has_the_floors_of_the_contract():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    shown = [set(re.findall(r"`(\w+)`", line)) for line in re.findall(r"^\| \d+ \| (.*) \|$", page, flags=re.MULTILINE)]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert shown == [set(re.findall(r"\w+", layer)) for layer in layers]
