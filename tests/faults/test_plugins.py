"""Broken plugins, installed as real distributions are: the sound ones list and run, each broken one is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vitbench
from vitbench.catalog import Catalog, PluginSelection, load_catalog
from vitbench.catalog.provenance import origin
from vitbench.errors import UnusableError, UsageError

DISTRIBUTIONS = Path(__file__).parents[1] / "fixtures" / "distributions"
FOLDERS = sorted(str(path) for path in DISTRIBUTIONS.iterdir())
VERSION = vitbench.__version__
BUILT_IN = ("baseline", "datasets", "exporters", "figures", "metrics", "recipes", "scratch", "suites", "timm")

# plugin, distribution, version, stage, words, severity
PROBLEMS = [
    ("changes-folder", "vitbench-changes-folder", "4.1", "load", "changed the working directory to /", "warning"),
    ("exit", "vitbench-exit", "1.2", "load", "SystemExit: no GPU here", "error"),
    ("hook-error", "vitbench-hook-error", "2.0", "call", "vitbench_models: RuntimeError: no weights any", "error"),
    ("import-error", "vitbench-import-error", "1.1", "load", "No module named 'no_such_module_anywhere'", "error"),
    ("iteration-error", "vitbench-iteration-error", "2.1", "call", "OSError: the list of models is cut", "error"),
    ("later", "vitbench-later-contract", "2.4", "register", "the hook 'vitbench_notes' needs contract 2", "warning"),
    ("later", "vitbench-later-contract", "2.4", "validate", "option width: the field 'group' needs con", "warning"),
    ("later", "vitbench-later-contract", "2.4", "validate", "mlp: the field 'homepage' needs contract 2", "warning"),
    (
        "misspelt-hook",
        "vitbench-misspelt-hook",
        "2.3",
        "register",
        'Did you mean "vitbench_models"?',
        "error",
    ),
    ("newer", "vitbench-newer", "3.0", "require", f"it needs vitbench>=99, and this is vitbench {VERSION}", "error"),
    ("one-bad-spec", "vitbench-one-bad-spec", "2.5", "validate", "model bad has no field 'option'. Did you", "error"),
    ("panic", "vitbench-panic", "1.3", "load", "PanicException: index out of bounds", "error"),
    ("prints", "vitbench-prints", "4.0", "load", 'wrote to stdout, which was sent to stderr: "{not json"', "warning"),
    ("prints", "vitbench-prints", "4.0", "call", 'wrote to stdout, which was sent to stderr: "asked"', "warning"),
    ("twin", "vitbench-twin-first", "1.0", "name", "vitbench-twin-first 1.0 and vitbench-twin-second 2.0", "error"),
    ("twin", "vitbench-twin-second", "2.0", "name", "vitbench-twin-first 1.0 and vitbench-twin-second 2.0", "error"),
    ("wrong-type", "vitbench-wrong-type", "2.2", "validate", "returned str where ModelSpec is expected", "error"),
]
SOUND = (
    *(
        "changes-folder/net",
        "good/linear",
        "iteration-error/net",
        "later/mlp",
        "left/net",
        "one-bad-spec/after",
        "one-bad-spec/before",
    ),
    *("prints/net", "right/net"),
)

SUITE = """
name = "one"
summary = "one quality cell"
datasets = ["digits"]
threads = 1
models = [{name = "good/linear"}]
recipes = {supervised = {epochs = 1, warmup = 0}}
speed = {batch_sizes = []}
"""
TATTLE = """
import os
from pathlib import Path

with Path(__file__).with_name("imported-by").open("a") as file:
    file.write(f"{os.getpid()}\\n")
"""


@pytest.fixture(scope="module")
def catalog() -> Iterator[Catalog]:
    """Return the catalog with all the fake distributions installed, which stay installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("VITBENCH_PLUGINS", raising=False)
        for folder in FOLDERS:
            patch.syspath_prepend(folder)
        yield load_catalog()
    for name in [name for name in sys.modules if name.startswith("fake_")]:
        del sys.modules[name]  # other tests import them anew


def vitbench_command(*arguments: str, folders: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vitbench", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_broken_plugin_is_named_and_the_sound_ones_are_there(
    catalog: Catalog, request: pytest.FixtureRequest
) -> None:
    found = [
        (problem.plugin, problem.distribution, problem.version, problem.stage, problem.severity)
        for problem in catalog.problems
    ]
    assert found == [(*case[:4], case[5]) for case in PROBLEMS]
    for problem, case in zip(catalog.problems, PROBLEMS, strict=True):
        assert case[4] in problem.error
        assert "\n" not in str(problem)
    mine = [name for name, offer in catalog.models.items() if offer.plugin.name not in BUILT_IN]
    assert tuple(mine) == SOUND
    assert {plugin.name for plugin in catalog.plugins} >= set(BUILT_IN)
    # What one of them did to the working folder was undone.
    assert Path.cwd() == request.config.invocation_params.dir
    assert Path.cwd() != Path("/")


def test_what_a_name_of_theirs_means(catalog: Catalog) -> None:
    """One of two plugins is ambiguous, one of a broken plugin raises its error, a warning makes none unusable."""
    assert catalog.model("left/net").plugin.distribution == "vitbench-left"
    assert catalog.model("right/net").plugin.distribution == "vitbench-right"
    with pytest.raises(UsageError, match="ambiguous; give one of: changes-folder/net, iteration-error/net, left/net"):
        catalog.model("net")
    with pytest.raises(UnusableError, match=r"plugin newer \(vitbench-newer 3.0\), require: it needs vitbench>=99"):
        catalog.model("newer/net")
    with pytest.raises(UnusableError, match="is claimed by"):
        catalog.model("twin/net")
    with pytest.raises(UsageError, match=r'unknown model "prints/nett"\. Did you mean "prints/net"'):
        catalog.model("prints/nett")


def test_provenance_is_that_of_the_distribution(catalog: Catalog) -> None:
    found = origin(catalog.model("good/linear").plugin)
    assert (found.plugin, found.distribution, found.version) == ("good", "vitbench-good", "1.0")
    assert len(found.code_hash) == 64
    assert found.code_hash != origin(catalog.model("left/net").plugin).code_hash


def test_a_plugin_left_out_runs_no_code_and_makes_no_problem(catalog: Catalog) -> None:
    excluded = tuple(sorted({case[0] for case in PROBLEMS}))
    left = load_catalog(PluginSelection(excluded=excluded))
    assert left.problems == ()
    assert left.left_out == excluded
    assert "good/linear" in left.models


def test_stdout_is_the_commands_alone_and_strict_plugins_is_exit_3() -> None:
    done = vitbench_command("plugins", "--json", "--strict-plugins", folders=FOLDERS)
    listed = json.loads(done.stdout)
    assert done.returncode == 3
    named = [(problem["plugin"], problem["version"], problem["stage"]) for problem in listed["problems"]]
    assert named == [(plugin, version, stage) for plugin, _, version, stage, *_ in PROBLEMS]
    assert [plugin["name"] for plugin in listed["plugins"] if plugin["name"] == "good"] == ["good"]
    assert done.stderr.splitlines() == ["{not json", "below Python", "asked"]


def tattle(place: Path, name: str) -> Path:
    """Install a plugin that notes each process which imports it, and return the file with the notes."""
    info = place / name / f"vitbench_{name}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vitbench-{name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[vitbench]\n{name} = fake_{name}\n")
    (info.parent / f"fake_{name}.py").write_text(TATTLE)
    return info.parent / "imported-by"


@pytest.mark.slow
def test_a_sound_plugin_runs_beside_broken_ones_and_workers_load_what_was_selected(tmp_path: Path) -> None:
    suite, results = tmp_path / "one.toml", tmp_path / "results"
    suite.write_text(SUITE)
    loaded, excluded, unlisted = (tattle(tmp_path, name) for name in ("loaded", "excluded", "unlisted"))
    broken = sorted({case[0] for case in PROBLEMS})
    command = ["run", "--suite", str(suite), "--output", str(results), "--limit", "100", "--json"]
    done = vitbench_command(
        *command,
        *("--no-plugin", "excluded"),
        folders=[*FOLDERS, *(str(place.parent) for place in (loaded, excluded, unlisted))],
        VITBENCH_PLUGINS=",".join(["datasets", "metrics", "recipes", "good", "loaded", "excluded", *broken]),
    )
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)["rows"]
    assert row["model"] == "good/linear"
    for plugin, distribution, version, stage, *_ in PROBLEMS:
        assert f"warning: plugin {plugin} ({distribution} {version}), {stage}: " in done.stderr
    assert len(set(loaded.read_text().split())) == 3, "the command, the preparing child and the worker"
    assert not excluded.exists()
    assert not unlisted.exists()
    [record] = vitbench.load(results).records
    provenance = record.planned.provenance
    assert (provenance.model.owner, provenance.model.plugin) == ("vitbench-good 1.0", "good")
    assert provenance.recipe is not None
    assert provenance.recipe.owner == f"vitbench {vitbench.__version__}"
