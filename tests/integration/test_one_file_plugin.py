"""A plugin in one file, from `--plugin` to the record: workers run it, and a change of it makes new cells."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vitbench
from vitbench.cli import main
from vitbench.errors import UnusableError
from vitbench.execution.local import LocalExecutor
from vitbench.planning.plan import plan
from vitbench.planning.suite import Conditions, Selection
from vitbench.records import PluginOrigin, Record
from vitbench.running import session

Vitbench = Callable[..., tuple[int, str, str]]

PLUGIN = '''
"""A linear classifier, a metric on its predictions, and a suite of one cell."""

from pathlib import Path

import vitbench


@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="linear", build="fake_file:build", summary="A linear classifier on pixels")


@vitbench.hookimpl
def vitbench_metrics():
    yield vitbench.MetricSpec(
        name="error", measure=error, unit="fraction", better="lower", needs="predictions", summary="1 - top1"
    )


@vitbench.hookimpl
def vitbench_suites():
    yield Path(__file__).with_name("one.toml")


def build(*, num_classes, image_size, in_channels):
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], num_classes))


def error(subject):
    wrong = subject.predictions.top_classes[:, 0] != subject.predictions.labels
    yield vitbench.Measurement(name="error", value=float(wrong.mean()), n=len(wrong))
'''
SUITE = """
name = "one"
summary = "one quality cell"
datasets = ["digits"]
threads = 1
models = [{name = "fake_file/linear"}]
recipes = {supervised = {epochs = 1, warmup = 0}}
speed = {batch_sizes = []}
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a plugin file with a suite beside it, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.toml").write_text(SUITE)
    path = tmp_path / "fake_file.py"
    path.write_text(PLUGIN)
    yield path
    sys.modules.pop("fake_file", None)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vitbench:
    """Run the command line in this process, whose fork server all calls share."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vitbench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def value(record: Record, metric: str) -> float:
    [measurement] = [measurement for measurement in record.measurements if measurement.name == metric]
    return measurement.value


@pytest.mark.slow
def test_a_file_runs_is_recorded_with_its_hash_and_a_change_makes_new_cells(plugin: Path, call: Vitbench) -> None:
    command = ["run", "--plugin", "./fake_file.py", "--suite", "fake_file/one", "--limit", "100", "--json"]
    code, out, said = call(*command, "--output", "results")
    assert code == 0, said
    assert [row["model"] for row in json.loads(out)["rows"]] == ["fake_file/linear"]
    [record] = vitbench.load("results").records
    first = hashlib.sha256(PLUGIN.encode()).hexdigest()
    assert record.planned.provenance.model == PluginOrigin(
        plugin="fake_file", distribution="fake_file.py", version="", code_hash=first
    )
    assert record.metrics["fake_file/error"] == first
    assert value(record, "error") == pytest.approx(1 - value(record, "top1"))
    shown = call("show", "results", record.id)[1]
    for part in ("model  ", "metrics"):
        assert f"{part}     plugin fake_file of fake_file.py, code {first[:12]}\n" in shown

    # From Python, by the absolute path and from another folder: the same cells.
    with contextlib.chdir("/"):
        place = plugin.with_name("results")
        same = vitbench.run("fake_file/one", plugins=[plugin], limit=100, output=place, quiet=True)
    assert len(same.records) == 1

    # A change makes new cells; what was planned runs though the file is edited meanwhile.
    plugin.write_text(PLUGIN + "\n# changed\n")
    changed = hashlib.sha256(plugin.read_bytes()).hexdigest()
    selection = Selection(suite="fake_file/one", conditions=Conditions(limit=100, device="cpu"), plugins=(str(plugin),))
    executor = LocalExecutor()
    planned = plan(selection, executor=executor, strict_plugins=True, say=lambda _: None)
    plugin.write_text("raise SystemExit")
    place = plugin.with_name("results")
    assert session.execute(planned, place, executor=executor, rerun=None, timeout=None, quiet=True) == 0
    results = vitbench.load(place)
    old, new = results.records
    assert (old.id, old.status, new.status) == (new.id, "ok", "ok")
    assert old.key != new.key
    assert new.planned.provenance.model.code_hash == changed
    [row] = results.leaderboard.rows
    assert row.model == "fake_file/linear"


def test_a_file_that_breaks_ends_a_run_with_its_own_error(plugin: Path, call: Vitbench) -> None:
    plugin.write_text("import no_such_module_anywhere")
    error = "plugin fake_file (fake_file.py), load: ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    code, out, said = call("run", "--plugin", "fake_file.py", "--model", "linear", "--output", "results")
    assert (code, out, said) == (3, "", f"Error: {error}\n")
    assert not Path("results").exists()
    with pytest.raises(UnusableError, match="no_such_module_anywhere"):
        vitbench.run(plugins=["fake_file.py"], models=["linear"])
    code, out, said = call("plugins", "--plugin", "fake_file.py")
    assert (code, said) == (3, "")
    assert f"  {error}" in out.splitlines()
    code, out, said = call("ls", "models", "--plugin", "fake_file.py")
    assert (code, said) == (3, f"warning: {error}\n")
    assert "scratch/vit" in out


def test_a_file_lists_what_it_offers(plugin: Path, call: Vitbench) -> None:
    code, out, said = call("plugins", "--plugin", "fake_file.py")
    assert (code, said) == (0, "")
    assert out.splitlines()[-1].split() == ["fake_file", "fake_file.py:", "1", "model,", "1", "metric,", "1", "suite"]
    code, out, _ = call("ls", "models", "--plugin", "fake_file.py", "--no-plugin", "scratch", "--json")
    names = [model["name"] for model in json.loads(out)]
    assert (code, "fake_file/linear" in names, "scratch/vit" in names) == (0, True, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--plugin", "absent.py"], "plugin file absent.py cannot be read"),
        (["--plugin", "one.toml"], 'its name must end in ".py"'),
        (["--plugin", "fake_file.py", "--plugin", "b/fake_file.py"], 'both are called "fake_file"'),
        (["--no-plugin", "scratch", "--suite", "quick"], 'model "scratch/vit": plugin scratch is left out'),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(arguments: list[str], words: str, plugin: Path, call: Vitbench) -> None:
    Path("b").mkdir()
    Path("b/fake_file.py").touch()
    code, out, said = call("run", *arguments)
    assert (code, out) == (2, "")
    [line] = said.splitlines()
    assert line.startswith("Error: ")
    assert words in line
