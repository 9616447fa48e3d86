"""What README and docs show is true: their commands, examples and tables are held against the code."""

from __future__ import annotations

import dataclasses
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
from vitbench.planning.expand import expand
from vitbench.planning.suite import Selection
from vitbench.planning.suite_file import read_suite
from vitbench.pytest_plugin.fixture import ModelBenchmark
from vitbench.scaffold import write_package
from vitbench.specs import load_target

ROOT = Path(__file__).parents[2]
OFFERED = ("ModelSpec", "DatasetSpec", "RecipeSpec", "MetricSpec", "SuiteSpec", "Preprocess", "Measurement", "Verdict")
"""The types that the author of a plugin makes."""
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
def test_the_readmes_python_example_runs(tmp_path):
    code = blocks("README.md", "python")[0]
    finished = subprocess.run(
        [sys.executable, "-"], input=code, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert "vit-p2" in finished.stdout
    assert "baseline/majority" in finished.stdout
    assert (tmp_path / "try" / "vitbench.sqlite").exists()


def test_the_readmes_plugin_is_found_and_builds(tmp_path):
    (tmp_path / "mine.py").write_text(blocks("README.md", "python")[1])
    catalog = load_catalog(select_plugins(files=[str(tmp_path / "mine.py")]))
    assert catalog.problems == ()
    model = load_target(catalog.model("mine/linear").spec.build)(num_classes=3, image_size=(8, 8), in_channels=1)
    assert sum(parameter.numel() for parameter in model.parameters()) == 3 * 64 + 3


def test_the_suite_of_the_docs_is_a_suite(tmp_path):
    [text] = blocks("docs/suites.md", "toml")
    (tmp_path / "pets.toml").write_text(text)
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


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_exact_signature(hook):
    page = (ROOT / "docs" / "plugin-hooks.md").read_text(encoding="utf-8")
    signature = inspect.signature(getattr(hookspecs, hook))
    heading = f"## `{hook}() -> {signature.return_annotation}`\n\nSince "
    assert heading in page
    assert re.match(r"\d+\.\d+\. Gives ", page.partition(heading)[2])
    assert not signature.parameters


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


@pytest.mark.parametrize("name", OFFERED)
def test_every_field_is_documented_with_its_default_and_no_other(name):
    page = (ROOT / "docs" / "plugin-hooks.md").read_text(encoding="utf-8")
    [table] = re.findall(rf"^\| `{name}` \|.*\n\| --- .*\n((?:\|.*\n)+)", page, flags=re.MULTILINE)
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
    found = {field: default for field, _, default, _ in lines}
    assert list(found) == [f"`{field}`" for field in defaults(getattr(vitbench, name))]
    for field, default in defaults(getattr(vitbench, name)).items():
        shown = found[f"`{field}`"]
        assert (REQUIRED if shown == "required" else eval(shown.strip("`"), vars(vitbench))) == default, field


def test_every_type_that_an_author_makes_has_a_table_of_fields():
    assert set(OFFERED) == {name for name in vitbench.__all__ if isinstance(getattr(vitbench, name), type)} - {
        "Results",
        "Skip",
        "VitbenchError",
    }


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_in_every_hooks_docstring_gives_what_it_promises(hook, tmp_path):
    example = textwrap.dedent(inspect.getdoc(getattr(hookspecs, hook)).partition("Example::\n")[2])
    (tmp_path / "mine.toml").write_text('name = "mine"\nsummary = "x"\n')
    path = tmp_path / "fake_example.py"
    path.write_text(f"from pathlib import Path\n\nimport vitbench\n\n{example}")
    catalog = load_catalog(select_plugins([path]))
    assert catalog.problems == ()
    offers = getattr(catalog, hook.removeprefix("vitbench_"))
    assert [offer.plugin.distribution for offer in offers.values()].count(str(path)) == 1


@pytest.mark.slow
def test_the_examples_of_all_hooks_are_one_plugin_file_that_runs(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("\n".join(blocks("docs/plugin-hooks.md", "python")))
    [suite] = [block for block in blocks("docs/plugin-hooks.md", "toml") if block.startswith("# small.toml")]
    (tmp_path / "small.toml").write_text(suite)
    catalog = load_catalog(select_plugins([path]))
    for hook in HOOKS:
        offers = getattr(catalog, hook.removeprefix("vitbench_")).values()
        assert any(offer.plugin.name == "mine" for offer in offers), f"{hook} has no example"
    results = vitbench.run("mine/small", plugins=[path], output=tmp_path / "results", quiet=True, strict_plugins=True)
    [record] = results.records
    origins = record.planned.provenance
    assert {origin.plugin for origin in (origins.model, origins.recipe, origins.dataset)} == {"mine"}
    found = {measurement.name: measurement.value for measurement in record.measurements}
    assert found["error"] == pytest.approx(1 - found["top1"])
    assert found["top1"] == 1


def test_the_package_of_the_docs_is_what_plugin_new_writes(tmp_path):
    [text] = [block for block in blocks("docs/plugin-hooks.md", "toml") if block.startswith("[project]")]
    write_package("mine", tmp_path)
    shown, written = (tomllib.loads(toml)["project"] for toml in (text, (tmp_path / "pyproject.toml").read_text()))
    assert (shown["name"], shown["entry-points"]) == (written["name"], written["entry-points"])


def test_every_stage_of_loading_is_documented():
    page = (ROOT / "docs" / "plugin-hooks.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\w+) \|", page, flags=re.MULTILINE)[1:] == list(get_args(Stage))


def test_the_hooks_are_the_five_of_the_design():
    assert sorted(HOOKS) == sorted(
        f"vitbench_{kind}" for kind in ("models", "datasets", "recipes", "metrics", "suites")
    )


GROUPS = {name: command for name, command in cli.commands.items() if isinstance(command, click.Group)}
COMMANDS = {
    **{name: command for name, command in cli.commands.items() if name not in GROUPS},
    **{f"{name} {sub}": command for name, group in GROUPS.items() for sub, command in group.commands.items()},
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_usage_in_the_docs_has_every_option(name):
    usage = blocks("docs/cli.md", "")[0]
    [lines] = re.findall(rf"^vitbench {name} (.*?)(?=^vitbench|\Z)", usage, flags=re.MULTILINE | re.DOTALL)
    command = COMMANDS[name]
    options = {
        option for parameter in command.params if isinstance(parameter, click.Option) for option in parameter.opts
    }
    assert set(re.findall(r"--[a-z-]+", lines)) == options


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


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_links_between_pages_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target


QUESTIONS = re.findall(
    r"^\| (.*) \| (.*) \|$",
    (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("| question | answer |")[2],
    flags=re.MULTILINE,
)[1:]


def test_the_map_answers_twenty_questions_with_one_path_each():
    assert len(QUESTIONS) >= 20
    for question, answer in QUESTIONS:
        assert question.endswith("?")
        assert re.fullmatch(r"`[^` ]+`", answer), question
    assert len(dict(QUESTIONS)) == len(QUESTIONS)


@pytest.mark.parametrize("path", sorted({answer.strip("`") for _, answer in QUESTIONS}))
def test_every_path_of_the_map_exists(path):
    assert (ROOT / path).exists()


def test_the_map_has_the_floors_of_the_contract():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    shown = [set(re.findall(r"`(\w+)`", line)) for line in re.findall(r"^\| \d+ \| (.*) \|$", page, flags=re.MULTILINE)]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert shown == [set(re.findall(r"\w+", layer)) for layer in layers]
