"""`vitbench plugin new` writes a package whose plugin lists and builds, and overwrites nothing."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from vitbench import __version__
from vitbench.catalog import PluginSelection, load_catalog
from vitbench.errors import StoreError, UsageError
from vitbench.scaffold import write_package
from vitbench.specs import load_target
from vitbench.store import default_output
from vitbench.testing import checks_of, run_checks

Install = Callable[[Path], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package as an editable one is: its metadata in one folder, its source in another."""
    before = set(sys.modules)

    def link(folder: Path) -> None:
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        name = project["name"].replace("-", "_")
        info = tmp_path / "site" / f"{name}-{project['version']}.dist-info"
        info.mkdir(parents=True)
        lines = [f"Name: {project['name']}", f"Version: {project['version']}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in project["dependencies"]]
        (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))
        points = project["entry-points"]["vitbench"].items()
        (info / "entry_points.txt").write_text("[vitbench]\n" + "".join(f"{key} = {value}\n" for key, value in points))
        monkeypatch.syspath_prepend(str(info.parent))
        monkeypatch.syspath_prepend(str(folder / "src"))

    yield link
    for module in set(sys.modules) - before:
        if module.startswith("vitbench_"):
            del sys.modules[module]


@pytest.mark.parametrize("name", ["mine", "My-nets", "class", "a-b__c", "2nets"])
def test_the_plugin_lists_and_its_model_builds(name: str, tmp_path: Path, install: Install) -> None:
    write_package(name, tmp_path / "package")
    install(tmp_path / "package")
    catalog = load_catalog(PluginSelection(allowed=(name,)))
    assert catalog.problems == ()
    [plugin] = catalog.plugins
    assert plugin.owner == f"vitbench-{name} 0.1.0"
    spec = catalog.model(f"{name}/net").spec
    assert spec.declared["width"].help
    model = load_target(spec.build)(num_classes=5, image_size=(9, 12), in_channels=1, **spec.defaults)
    assert model(torch.zeros(2, 1, 9, 12)).shape == (2, 5)


@pytest.mark.compute
def test_the_model_keeps_the_contracts(tmp_path: Path, install: Install) -> None:
    """All but those of the whole plugin, which are looked at in processes of their own."""
    write_package("mine", tmp_path / "package")
    install(tmp_path / "package")
    outcomes = run_checks(checks_of("mine/net"))
    skipped = {outcome.check for outcome in outcomes if outcome.status == "skipped"}
    assert {outcome.check: outcome.reason for outcome in outcomes if outcome.status == "failed"} == {}
    assert skipped == {"check_model_declared_size", "check_model_class_names", "check_model_features"}


def test_ci_installs_tests_and_checks_the_plugin(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    write_package("mine", tmp_path)
    job = yaml.safe_load((tmp_path / ".github" / "workflows" / "test.yml").read_text())["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    uses = [step["uses"].rpartition("@v") for step in job["steps"] if "uses" in step]
    assert [action for action, _, _ in uses] == ["actions/checkout", "actions/setup-python"]
    assert all(major.isdigit() for _, _, major in uses)
    assert job["steps"][1]["with"] == {"python-version": "${{ matrix.python }}"}
    assert [step["run"] for step in job["steps"] if "run" in step] == [
        'pip install -e ".[test]"',
        "pytest",
        "vitbench check mine",
    ]
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    assert "test" in project["optional-dependencies"]


def test_what_tools_and_runs_leave_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VITBENCH_OUTPUT", raising=False)
    write_package("mine", tmp_path)
    lines = (tmp_path / ".gitignore").read_text().split()
    assert {"__pycache__/", ".venv/", f"{default_output()}/"} <= set(lines)


def test_the_package_is_complete_and_says_which_vitbench_it_was_made_for(tmp_path: Path) -> None:
    written = write_package("mine", tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in written) == [
        ".github/workflows/test.yml",
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/vitbench_mine/__init__.py",
        "src/vitbench_mine/net.py",
        "tests/test_conformance.py",
    ]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(written)
    assert not any("$" in path.read_text().replace("${{ matrix.python }}", "") for path in written)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    assert f"vitbench>={__version__}" in project["dependencies"]
    assert '@parametrize_checks("mine")' in (tmp_path / "tests" / "test_conformance.py").read_text()


@pytest.mark.process
def test_the_package_is_in_the_style_of_vitbench(tmp_path: Path) -> None:
    ruff = pytest.importorskip("ruff")
    import subprocess

    write_package("mine", tmp_path)
    config = Path(__file__).parents[3] / "pyproject.toml"
    for command in (["check", "--ignore", "D1,TID253"], ["format", "--check"]):
        done = subprocess.run(
            [ruff.find_ruff_bin(), *command, "--no-cache", "--config", str(config), str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "is not a valid package name"),
        ("a b", "is not a valid package name"),
        ("-a", "is not a valid package name"),
        ("a-", "is not a valid package name"),
        ("a.b", "is not a valid package name"),
        ("../a", "is not a valid package name"),
        ("netz\n", "is not a valid package name"),
        ("né", "is not a valid package name"),
        ("vitbench-mine", 'leave out "vitbench"; the package is called vitbench-NAME'),
        ("scratch", 'a plugin called "scratch" is already installed'),
        ("baselines", "a module vitbench_baselines is already installed"),
        ("Scratch", "a module vitbench_scratch is already installed"),
        ("vitbench", 'leave out "vitbench"'),
        ("pytest", '"pytest" is the name of an installed package: .* called pytest/..., as if .*, such as my-pytest.$'),
        ("torch", '"torch" is the name of an installed package'),
        ("numpy", '"numpy" is the name of an installed package'),
        ("NumPy", '"NumPy" is the name of an installed package'),
        ("tensorflow", '"tensorflow" is a module of another project: .*, such as my-tensorflow.$'),
        ("json", '"json" is a module of Python\'s standard library: .*, such as my-json.$'),
        ("yaml", '"yaml" is a module of an installed package'),
    ],
)
def test_a_name_that_would_not_do_writes_nothing(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        write_package(name, tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_a_plugin_that_is_broken_keeps_its_name(tmp_path: Path, install: Install) -> None:
    write_package("mine", tmp_path / "package")
    (tmp_path / "package" / "src" / "vitbench_mine" / "__init__.py").write_text("1 / 0")
    install(tmp_path / "package")
    with pytest.raises(UsageError, match='a plugin called "mine" is already installed'):
        write_package("mine", tmp_path / "again")


def test_nothing_is_overwritten_but_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not empty, and nothing is overwritten"):
        write_package("mine", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    assert write_package("mine", tmp_path / "empty")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file cannot be written: Not a directory"):
        write_package("mine", tmp_path / "file")
    with pytest.raises(StoreError, match="below cannot be written: Not a directory"):
        write_package("mine", tmp_path / "file" / "below")
