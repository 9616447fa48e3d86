"""A package that is not ours, with something of each kind, from `vitbench check` to a table without the package.

It lies on the path as an installed one does, with the metadata that `pip install` would write: test_third_party.py has
the real installation.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from idx_files import idx
from safetensors.numpy import load_file, save_file

import vitbench
from vitbench.cli import main
from vitbench.report import render

ZOO = Path(__file__).parents[1] / "third_party" / "vitbench-zoo"
QUALITY = ("worst_class", "squared_miss", "auroc_first", "dark_top1")
SPEED = ("single_image", "steady_rate", "step_time")
TITLES = {
    "worst_class": "worst class %",
    "squared_miss": "squared_miss",
    "auroc_first": "AUROC %",
    "dark_top1": "dark %",
    "layers": "layers",
    "single_image": "single ms",
    "steady_rate": "steady images/s",
    "step_time": "step ms",
}
"""Heads of the columns: title and unit."""
SCALES = {"worst_class": 100, "auroc_first": 100, "dark_top1": 100, "single_image": 1000, "step_time": 1000}
CONFIG = {
    "model_type": "vit",
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 48,
    "patch_size": 2,
}
SMALL = """
name = "small"
summary = "A Swin, and a ViT of a file"
rank_by = "worst_class"
datasets = ["zoo/idx"]
threads = 1
[[models]]
name = "zoo/swin-gray8"
recipe = "zoo/sam"
[[models]]
name = "zoo/hf-vit"
options = { config = "config.json" }
[[models]]
name = "baseline/majority"
[recipes.sam]
epochs = 6
[recipes.supervised]
epochs = 1
[speed]
batch_sizes = []
"""
BETTER, WORSE = "zoo/swin-gray8", "baseline/majority"
DATASET, MODELS = "zoo/npz:severity=1", ("zoo/swin", "zoo/mixer-d2-w32", "baseline/majority")
SUITE = ("--suite", "zoo.toml", "--dataset", DATASET, *(word for name in MODELS for word in ("--model", name)))


@dataclass(frozen=True)
class Zoo:
    """A folder with data, a config and a place where the package is installed."""

    folder: Path
    environment: Mapping[str, str] = field(repr=False)

    @property
    def data(self) -> dict[str, Path]:
        return {"idx": self.folder / "mnist", "npz": self.folder / "blood"}

    @property
    def where(self) -> list[str]:
        return [part for name, path in self.data.items() for part in ("--data", f"zoo/{name}={path}")]

    def run(self, suite: str | Path, output: str | Path, **selection: Any) -> vitbench.Results:
        """Run a suite in this process, with the package's data."""
        data = {f"zoo/{name}": path for name, path in self.data.items()}
        return vitbench.run(suite, output=output, data=data, quiet=True, **selection)


def started(*arguments: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run ``python ARGUMENTS`` in a folder and return its stdout."""
    command = [sys.executable, *arguments]
    finished = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def draw(rng: np.random.Generator, count: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, half of them of class 0, and stripes that lie, stand, or make a chessboard, some of them dark."""
    labels = np.resize([0, 0, 0, 1, 1, 2], count)
    rows, columns = np.indices((height, width))
    phase = rng.integers(2, size=(count, 1, 1))
    patterns = [(axis + phase) % 2 for axis in (rows, columns, rows + columns)]
    pattern = np.choose(labels[:, None, None], patterns)
    light = rng.uniform(0.5, 1, size=(count, 1, 1))
    return labels, (light * (64 + 128 * pattern + rng.normal(0, 30, pattern.shape))).clip(0, 255).astype(np.uint8)


def write_data(folder: Path) -> None:
    """Write gray squares as IDX files, one of them compressed, and colourful rectangles as an .npz file."""
    rng = np.random.default_rng(0)
    mnist, blood = folder / "mnist", folder / "blood"
    mnist.mkdir()
    blood.mkdir()
    for name, count in {"train": 240, "t10k": 120}.items():
        labels, pixels = draw(rng, count, 8, 8)
        (mnist / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels)))
        (mnist / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels))
    arrays = {}
    for name, count in {"train": 210, "val": 30, "test": 120}.items():
        labels, pixels = draw(rng, count, 8, 12)
        tints = rng.uniform(0.5, 1, size=(count, 1, 1, 3))
        arrays |= {f"{name}_images": (pixels[..., None] * tints).astype(np.uint8), f"{name}_labels": labels[:, None]}
    np.savez(blood / "bloodmnist.npz", **arrays)


def install(folder: Path) -> Path:
    """Put the package into a folder with its metadata, as `pip install` does, and return the folder."""
    shutil.copytree(ZOO / "src" / "vitbench_zoo", folder / "vitbench_zoo", ignore=shutil.ignore_patterns("__pycache__"))
    metadata = folder / "vitbench_zoo-0.3.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vitbench-zoo\nVersion: 0.3\n")
    (metadata / "entry_points.txt").write_text("[vitbench]\nzoo = vitbench_zoo\n")
    return folder


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    folder = tmp_path_factory.mktemp("zoo")
    write_data(folder)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    shutil.copy(ZOO / "src" / "vitbench_zoo" / "zoo.toml", folder)
    (folder / "small.toml").write_text(SMALL)
    path = [str(install(folder / "site")), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(path), "VITBENCH_CACHE": str(folder / "cache")}
    return Zoo(folder, environment)


@pytest.fixture(scope="module")
def small(zoo: Zoo) -> Path:
    """Return the results of a small suite on IDX files, of quality alone."""
    with pytest.MonkeyPatch.context() as patch:
        install_here(zoo, patch)
        return zoo.run("small.toml", zoo.folder / "small").folder


@pytest.fixture(scope="module")
def results(zoo: Zoo, small: Path) -> Path:
    """Return the results of the package's own suite on its .npz file, whose teacher is the small suite's Swin."""
    rows = vitbench.load(small).measurements()
    [key] = rows[rows.model == BETTER].key.unique()
    shutil.copy(small / "weights" / f"{key}.safetensors", zoo.folder / "teacher.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitbench.running.runner.SPEED_PROCESSES", (2,))  # this file does not test how speeds are made
        install_here(zoo, patch)
        return zoo.run("zoo.toml", zoo.folder / "results", datasets=[DATASET], models=MODELS).folder


def install_here(zoo: Zoo, patch: pytest.MonkeyPatch) -> None:
    """Install the package into this process."""
    patch.syspath_prepend(zoo.folder / "site")
    patch.chdir(zoo.folder)
    for name, value in zoo.environment.items():
        patch.setenv(name, value)


@pytest.fixture
def here(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    install_here(zoo, monkeypatch)
    return zoo


@pytest.fixture
def call(here: Zoo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command line in this process and return its stdout."""

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vitbench", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert not ended.value.code, out + err
        return out

    return call


def left_to_run(printed: str) -> int:
    [number] = re.findall(r"\d+ cells?, (\d+) to run", printed)
    return int(number)


@pytest.mark.slow
def test_the_package_keeps_every_contract(zoo: Zoo) -> None:
    command = ("-m", "vitbench", "check", "zoo", *zoo.where, "--json")
    outcomes = json.loads(started(*command, folder=zoo.folder, environment=zoo.environment))["outcomes"]
    assert not [outcome for outcome in outcomes if outcome["status"] == "failed"]
    passed = {outcome["subject"] for outcome in outcomes if outcome["status"] == "passed"}
    assert passed == {
        "zoo",
        *(f"zoo/{name}" for name in ("swin", "swin-gray8", "mixer-*", "hf-vit", "idx", "npz", "sam", "distil", "zoo")),
        *(f"zoo/{name}" for name in TITLES),
    }


def test_a_family_lists_its_usual_members_and_makes_any_other(call: Callable[..., str]) -> None:
    assert call("ls", "models", "zoo/mixer*w64").split() == ["zoo/mixer-d4-w64"]
    assert "patch" in call("ls", "--options", "zoo/mixer-d3-w17")


def test_a_wrong_value_of_an_option_ends_the_command_before_anything_runs(here: Zoo) -> None:
    for selection, message in (
        ({"models": ["zoo/swin:head_width=5"]}, "head_width must be one of 4, 8, 16, 32, not 5"),
        ({"models": ["zoo/swin:depths=0,2"]}, "depths must be at least 1, not 0"),
        ({"models": ["zoo/swin:width=20"]}, "a width of 20 is not a multiple of head_width=8"),
        ({"models": ["zoo/mixer-deep"]}, "mixer-deep says no depth and width"),
        ({"datasets": ["zoo/npz:severity=9"]}, "severity must be at most 5, not 9"),
        ({"settings": {"distil": {"temperature": "warm"}}}, "temperature must be a number, not 'warm'"),
        ({"settings": {"distil": {"teacher": "zoo/nobody"}}}, 'unknown model "zoo/nobody"'),
        ({"settings": {"distil": {"teacher": "zoo/swin:depth=3"}}}, 'zoo/swin has no option "depth"'),
    ):
        with pytest.raises(vitbench.UsageError, match=re.escape(message)) as raised:
            here.run("zoo", "nothing", **selection)  # type: ignore[arg-type]
        assert raised.value.exit_code == 2
        assert not (here.folder / "nothing").exists()


@pytest.mark.slow
def test_a_metric_of_each_kind_ranks_a_better_model_before_a_worse_one(here: Zoo, small: Path, tmp_path: Path) -> None:
    output = shutil.copytree(small, tmp_path / "small")  # its newest run says what ranks
    found = vitbench.load(output)
    before = len(found.records)
    for metric in QUALITY[:3]:
        if metric != "worst_class":  # which the suite itself ranks by
            suite = here.folder / f"by-{metric}.toml"
            suite.write_text(SMALL.replace("worst_class", metric))
            found = here.run(suite, output, models=[BETTER, WORSE])
            assert len(found.records) == before  # the order is another one; nothing is made again
        rows = found.rows().set_index("model")
        assert set(rows.rank_by) == {metric}
        assert rows.rank_last[BETTER] < rows["rank"][WORSE]
        assert (rows[metric][BETTER] > rows[metric][WORSE]) == (metric != "squared_miss")
    assert rows.dark_top1[BETTER] > rows.dark_top1[WORSE]


def markdown_table(text: str) -> pd.DataFrame:
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    head, _, *body = [[cell.strip() for cell in line] for line in lines]
    return pd.DataFrame(body, columns=head).set_index("model")


def number(cell: str) -> float:
    return float(cell.lstrip("~!").replace(",", ""))


@pytest.mark.slow
def test_each_metric_stands_in_every_output(here: Zoo, results: Path) -> None:
    loaded = vitbench.load(results)
    shown = {name: render(loaded.leaderboard, name) for name in ("table", "md", "csv", "json", "latex")}
    rows, measurements = loaded.rows().set_index("model"), loaded.measurements()
    page = loaded.page()
    as_json = {row["model"]: row["metrics"] for row in json.loads(shown["json"])["rows"]}
    as_csv = {row["model"]: row for row in csv.DictReader(io.StringIO(shown["csv"]))}
    markdown = markdown_table(shown["md"])
    latex_head = [part.strip(" \\") for part in shown["latex"].split("\\midrule")[0].splitlines()[-2].split("&")]
    unseen = " ".join(shown["table"].split("Not shown for lack of room: ")[-1].split(";")[0].split()).split(", ")

    assert set(rows.index) == {"zoo/swin", "zoo/mixer-d2-w32", "baseline/majority"}
    assert set(rows.rank_by) == {"worst_class"}
    for metric, title in TITLES.items():
        assert title.split()[0] in shown["table"] or metric in unseen, metric
        assert title.rsplit(" ", 1)[0].split()[0].replace("_", "\\_") in " ".join(latex_head), metric
        assert metric in page
        for model in rows.index:
            value = rows[metric][model]
            if model == "baseline/majority" and metric not in QUALITY:
                assert pd.isna(value)
                continue
            assert np.isfinite(value)
            assert as_json[model][metric]["value"] == value
            assert float(as_csv[model][metric]) == value
            assert value in set(measurements[(measurements.model == model) & (measurements.metric == metric)].value)
            [column] = [head for head in markdown.columns if head == title]
            [row] = [head for head in markdown.index if head.startswith(model)]
            cell = markdown[column][row]
            assert number(cell) == pytest.approx(value * SCALES.get(metric, 1), rel=0.01, abs=0.06), (metric, model)
            assert f"& {cell} " in shown["latex"].replace("\\textasciitilde{}", "~"), (metric, model, cell)
            assert cell.lstrip("~!") in page, (metric, model, cell)
    assert rows.train_step["zoo/swin"] == "zoo/sam"
    assert rows.train_step["zoo/mixer-d2-w32"] == "zoo/distil"


@pytest.mark.slow
def test_a_changed_file_runs_its_own_cells_again_and_a_broken_model_costs_no_others(here: Zoo, small: Path) -> None:
    config = here.folder / "config.json"
    attempts = len(vitbench.load(small).records)
    config.write_text(json.dumps({**CONFIG, "hidden_act": "no such function"}))
    try:
        found = here.run("small.toml", small)
    finally:
        config.write_text(json.dumps(CONFIG))
    [failed] = found.leaderboard.failed
    assert found.exit_code == 1
    assert failed.model.startswith("zoo/hf-vit")
    assert "no such function" in failed.reason
    assert {BETTER, WORSE} <= {row.model for row in found.leaderboard.rows}
    assert len(found.records) == attempts + 1
    # The file is as it was, and so are its results.
    found = here.run("small.toml", small)
    assert (found.exit_code, len(found.records)) == (0, attempts + 1)


@pytest.mark.slow
def test_a_changed_teacher_runs_its_pupils_again(here: Zoo, results: Path, call: Callable[..., str]) -> None:
    dry = ("run", *SUITE, *here.where, "--output", "results", "--dry-run")
    assert left_to_run(call(*dry)) == 0
    path = here.folder / "teacher.safetensors"
    before = path.read_bytes()
    weights = load_file(path)
    save_file({**weights, "head.bias": weights["head.bias"] + 1}, path)
    printed = call(*dry)
    path.write_bytes(before)
    again = [line for line in printed.splitlines() if re.search(r" (?:new|ok) +run ", line)]
    assert again
    assert all("zoo/mixer-d2-w32" in line for line in again)
    assert any("quality" in line for line in again)


WITHOUT = f"""
import sys
from vitbench.cli import main

compare = ["compare", "{WORSE}", "{BETTER}", "--output", "small", "--json"]
for command in (["plugins"], ["leaderboard", "small"], compare):
    sys.argv = ["vitbench", *command]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code
    print("\\f", end="")
"""


@pytest.mark.slow
def test_results_are_read_and_compared_by_the_packages_metrics_without_the_package(zoo: Zoo, small: Path) -> None:
    cache = {"VITBENCH_CACHE": str(zoo.folder / "cache")}
    plugins, table, compared, _ = started("-c", WITHOUT, folder=zoo.folder, environment=cache).split("\f")
    assert "zoo" not in plugins
    assert BETTER in table
    assert vitbench.load(small).rows().worst_class.notna().all()
    [pair] = json.loads(compared)["pairs"]
    assert (pair["a"]["model"], pair["b"]["model"]) == (WORSE, BETTER)
    assert pair["quality"]["worst_class"]["finding"] == "better"
    assert pair["quality"]["worst_class"]["paired"]["p_value"] < 0.001
    assert all(pair["quality"][metric]["paired"] for metric in QUALITY)
