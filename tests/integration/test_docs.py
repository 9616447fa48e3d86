"""What README and docs show is true: their commands, examples and tables are held against the code."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from vitbench import hookspecs
from vitbench.catalog import load_catalog
from vitbench.cli import cli
from vitbench.specs import load_target
from vitbench.suite import Selection, expand
from vitbench.suite_file import read_suite

ROOT = Path(__file__).parents[2]
HOOKS = [name for name, value in vars(hookspecs).items() if name.startswith("vitbench_") and callable(value)]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_the_readmes_first_two_commands_install_and_run_then_test():
    assert [block.strip() for block in blocks("README.md", "sh")[:2]] == [
        'pip install -e ".[dev]" && vitbench run --suite quick',
        "pytest",
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


def test_the_readmes_plugin_is_found_and_builds(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(blocks("README.md", "python")[1])
    project = tomllib.loads(blocks("README.md", "toml")[0])["project"]
    [(name, module)] = project["entry-points"]["vitbench"].items()
    info = tmp_path / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text(f"[vitbench]\n{name} = {module}\n")
    monkeypatch.syspath_prepend(tmp_path)
    catalog = load_catalog()
    assert catalog.problems == ()
    model = load_target(catalog.model("mine/linear").spec.build)(num_classes=3, image_size=8, in_channels=1)
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


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_exact_signature(hook):
    page = (ROOT / "docs" / "plugin-hooks.md").read_text(encoding="utf-8")
    signature = inspect.signature(getattr(hookspecs, hook))
    assert f"## `{hook}() -> {signature.return_annotation}`" in page
    assert not signature.parameters


def test_the_hooks_are_the_five_of_the_design():
    assert sorted(HOOKS) == sorted(
        f"vitbench_{kind}" for kind in ("models", "datasets", "recipes", "metrics", "suites")
    )


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_the_usage_in_the_docs_has_every_option(name):
    usage = blocks("docs/cli.md", "")[0]
    [lines] = re.findall(rf"^vitbench {name} (.*?)(?=^vitbench|\Z)", usage, flags=re.MULTILINE | re.DOTALL)
    command = cli.commands[name]
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
