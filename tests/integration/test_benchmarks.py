"""The benchmarks, which no other test runs, can still be run."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import factories
import gpu_check
import gpu_cifar
import gpu_masked
import gpu_spatial
import pytest
import torch

from vitbench.catalog import load_catalog
from vitbench.cli import cli
from vitbench.cli.run import _recipe_settings
from vitbench.planning.expand import expand
from vitbench.planning.suite import Selection
from vitbench.planning.suite_file import read_suite
from vitbench.version import __version__

ROOT = Path(__file__).parents[2]


COLLECT_ALL_AND_RUN_SOME = """
import sys, pytest

class Collected:
    @pytest.hookimpl(tryfirst=True)  # before -k selects
    def pytest_collection_modifyitems(self, items):
        print(*(item.nodeid for item in items), sep="\\n")

which = ["benchmarks", "-k", "test_models and vit-small-cifar"]
how = ["--benchmark-disable", "-q", "-s", "-p", "no:cacheprovider"]
sys.exit(pytest.main([*which, *how], plugins=[Collected()]))
"""


def test_every_built_in_model_is_among_them_and_one_takes_its_steps() -> None:
    command = [sys.executable, "-c", COLLECT_ALL_AND_RUN_SOME]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    for file in (ROOT / "benchmarks").glob("test_*.py"):
        assert f"benchmarks/{file.name}::" in done.stdout
    models = {
        name
        for name, offer in load_catalog().models.items()
        if offer.plugin.distribution == "vitbench" and not (offer.spec.is_baseline or offer.spec.resolve)
    }
    missing = {
        test: {name for name in models if f"::{test}[{name}" not in done.stdout}
        for test in ("test_forward", "test_train_step")
    }
    too_large = {"timm/resnetv2_152x4_bit.goog_in21k"}
    assert missing == {"test_forward": set(), "test_train_step": too_large}
    assert "2 passed" in done.stdout


# gpu_check.py, as far as it goes without a GPU: the rehearsal `--device cpu` takes minutes, and is run by hand.


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_check_of_a_gpu_says_that_there_is_none(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--output", str(tmp_path / "found.json")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "no GPU\n"), done.stderr


def test_a_checkout_becomes_an_installation_with_all_plugins(tmp_path: Path) -> None:
    [found] = distributions(path=[str(gpu_check.write_metadata(tmp_path))])
    assert (found.metadata["Name"], found.version) == ("vitbench", __version__)
    plugins = {entry.name: entry.value for entry in found.entry_points if entry.group == "vitbench"}
    assert plugins.keys() == {plugin.name for plugin in load_catalog().plugins if plugin.distribution == "vitbench"}
    assert [entry.name for entry in found.entry_points if entry.group == "pytest11"] == ["vitbench"]


def test_what_is_missing_is_named_and_what_is_there_is_not(tmp_path: Path) -> None:
    assert gpu_check.missing_packages() == []
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["pillow>=10", "no-such-thing>=1; python_version > \'3\'", "nor_this[extra]"]\n',
        encoding="utf-8",
    )
    assert gpu_check.missing_packages(tmp_path) == ["no-such-thing", "nor_this"]


def test_wheels_are_unpacked(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels" / "carried-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried.py", "value = 7\n")
    [place] = gpu_check._unpacked(argparse.Namespace(wheels=tmp_path / "wheels"), tmp_path)
    assert (place / "carried.py").read_text() == "value = 7\n"


@pytest.mark.parametrize(
    ("then", "error"),
    [
        ("", None),
        ("import time; time.sleep(60)", "it took more than 3 s"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it ended with code -11"),
    ],
)
def test_a_part_that_hangs_or_crashes_costs_no_more_than_what_it_had_not_written(
    then: str, error: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / "part.py"
    part.write_text(
        "import pathlib, sys\nprint('said')\nsys.stdout.flush()\n"
        f"pathlib.Path(sys.argv[sys.argv.index('--output') + 1]).write_text('{{\"known\": 1}}')\n{then}\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(gpu_check, "__file__", str(part))
    monkeypatch.setattr(gpu_check, "LEAST", 3.0)
    found = gpu_check._part("run", argparse.Namespace(device="cpu"), 3.0, tmp_path, dict(os.environ))
    assert found == {"known": 1} | ({"error": error, "log": "said\n"} if error else {})
    assert "error" in gpu_check._part("run", argparse.Namespace(device="cpu"), 2.9, tmp_path, {}), "no time"


# gpu_spatial.py: its commands are those of the command line, and its rows those of the suite


def test_each_row_of_the_spatial_benchmark_is_one_of_the_suite(tmp_path: Path) -> None:
    options = gpu_spatial._options(["--data", str(tmp_path), "--device", "cpu", "--limit", "64"])
    suite, catalog = read_suite(ROOT / "plugins" / "vitbench_suites" / "spatial.toml"), load_catalog()
    asked = []
    for row in gpu_spatial.ROWS:
        _, _, _, name, *words = gpu_spatial.command(row, options)
        given = cli.commands[name].make_context(name, words).params
        settings = _recipe_settings(given["settings"])
        selection = Selection(models=given["models"], datasets=given["datasets"], settings=settings, speeds="none")
        asked += expand(suite, catalog, selection, home="suites")
    seams = [(cell.model.options["position"], cell.model.options["stem"]) for cell in asked]
    assert seams == [(each, "patch") for each in ("none", "learned", "relative", "rope")] + [("learned", "conv")]
    assert {(cell.dataset, cell.recipe_options["batch_size"]) for cell in asked} == {("datasets/cifar10", 512)}


def test_each_row_of_the_masked_benchmark_is_one_of_the_suite(tmp_path: Path) -> None:
    options = gpu_masked._options(["--data", str(tmp_path), "--device", "cpu"])
    suite, catalog = read_suite(ROOT / "plugins" / "vitbench_suites" / "masked.toml"), load_catalog()
    for row in gpu_masked.ROWS:
        _, _, _, name, *words = gpu_masked.command(row, options)
        given = cli.commands[name].make_context(name, words).params
        settings = _recipe_settings(given["settings"])
        asked = {"models": given["models"], "datasets": given["datasets"], "seeds": given["seeds"]}
        selection = Selection(**asked, settings=settings, speeds="none")
        [cell] = expand(suite, catalog, selection, home="suites")
        recipe, length = gpu_masked.OWN[row]
        assert (cell.model.label, cell.recipe) == (row, f"recipes/{recipe}")
        assert {name: cell.recipe_options[name] for name in length} == length


def test_the_spatial_benchmark_waits_for_files_that_are_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "train-00000-of-00002.parquet").touch()
    monkeypatch.setattr(sys, "path", [*sys.path])
    asked = ["--data", str(tmp_path / "data"), "--bring", str(tmp_path / "sent"), "--device", "cpu"]
    assert gpu_spatial.main(asked) == 0
    missing = "test-00000-of-00001.parquet, train-00001-of-00002.parquet"
    assert capsys.readouterr().out == f"missing: {missing}; run the same command when --bring has them\n"


# gpu_cifar.py, but for its trainings and its timing, which are rehearsed by hand


def test_the_files_of_cifar_come_in_several_calls(tmp_path: Path) -> None:
    names = ["test-00000-of-00001.parquet", "train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    data, sent = tmp_path / "data", tmp_path / "sent"
    assert gpu_cifar.shards(data) == ([], names)
    for call, here in enumerate((names[:2], names[2:])):
        sent.mkdir()
        for name in here:
            (sent / name).write_text(name)
        gpu_cifar.bring(sent, data)
        shutil.rmtree(sent)
        assert gpu_cifar.shards(data) == ((names[:2], names[2:]) if call == 0 else (names, []))
    (data / "train-00000-of-00003.parquet").touch()
    assert gpu_cifar.shards(data)[1] == ["train-00001-of-00003.parquet", "train-00002-of-00003.parquet"]


def test_the_rows_of_cifar_on_a_gpu_are_those_of_its_suite_and_their_command_is_one_of_vitbench(tmp_path: Path) -> None:
    suite = read_suite(gpu_cifar.SUITE)
    assert [entry.label for entry in suite.models] == [row.label for row in gpu_cifar.ROWS]
    options = gpu_cifar._options(["--data", str(tmp_path)])
    asked = cli.commands["run"].make_context("run", gpu_cifar.command(options)[4:]).params
    assert (asked["compile"], asked["precision"], asked["channels_last"]) == ("default", "bfloat16", True)
    cells = expand(suite, load_catalog(), Selection(models=asked["models"], speeds="none"))
    assert {cell.model.label: cell.recipe_options["epochs"] for cell in cells} == {
        row.label: row.passes for row in gpu_cifar.ROWS
    }


def test_a_report_of_cifar_on_a_gpu_says_what_was_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = gpu_cifar._options(["--data", str(tmp_path), "--rows", "vit-small-cifar,resnet18,vit-p4-d8"])
    records = [
        factories.record(factories.quality_cell("vit-small-cifar"), status="interrupted"),
        factories.record(factories.quality_cell("resnet18"), [factories.top1(940, 1000)]),
    ]
    monkeypatch.setattr("vitbench.leaderboard.results.read_results", lambda folder: (records, None))
    monkeypatch.setattr(gpu_check, "output_of", lambda *words: " ".join(words))
    steps = {
        "images_per_second": {"plain": 7000.0, "ours": 6900.0, "cached": 6000.0, "augmented": 5000.0},
        "ratios": {"ours / plain": 0.986, "cached / ours": 0.87, "augmented / ours": 0.72},
        "side": 224,
        "batch": 256,
        "device": "cuda",
    }
    text = gpu_cifar.report(options, "interrupted: the time was up", 480, steps)
    for line in (
        "| vit-small-cifar | 100 | interrupted | at least 90 | 12 |",
        "| resnet18 | 30 | 94.00 | at least 94.5, missed | 12 |",
        "| vit-p4-d8 | 25 | not started |  |  |",
        "This call: 480 s, decoding included; it ended: interrupted: the time was up.",
        "| ours | 6,900 | 0.986 (ours / plain) | at least 0.95 |",
        "| cached | 6,000 | 0.870 (cached / ours) | at least 0.95, missed |",
        "| augmented | 5,000 | 0.720 (augmented / ours) |  |",
    ):
        assert line in text.splitlines()
