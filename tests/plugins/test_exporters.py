"""Each format of `vitbench export`, read back with the tool that people use."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exported
import pandas as pd
import pytest

from vitbench.catalog import load_catalog
from vitbench.errors import UsageError
from vitbench.exporting.export import export_results, write_export
from vitbench.exporting.reading import read_exported

pytestmark = pytest.mark.process

TOP1 = 340 / 360


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    exported.write_store(folder)
    return folder


@pytest.fixture
def export(folder: Path, tmp_path: Path) -> Callable[..., tuple[Path, tuple[str, ...]]]:
    def call(asked: str) -> tuple[Path, tuple[str, ...]]:
        made = export_results(folder, asked, load_catalog(), output=tmp_path / "out")
        assert all(tmp_path / "out" in path.parents for path in made.paths)
        return tmp_path / "out", made.notes

    return call


def test_timm_csv(export) -> None:
    output, notes = export("timm-csv")
    scores = pd.read_csv(output / "results-digits.csv")
    assert list(scores.columns[:3]) == ["model", "top1", "top1_err"]
    assert scores["top1"].tolist() == [pytest.approx(100 * 340.5 / 360, abs=1e-3)]
    assert scores["top5"].tolist() == [96.875]
    assert scores["verdict"].tolist() == ["warn: seed 0: a duplicate; seed 1: a duplicate"]
    speeds = pd.read_csv(output / "benchmark-infer.csv")
    assert speeds[["infer_samples_per_sec", "infer_step_time", "infer_batch_size"]].values.tolist() == [[1000, 32, 32]]
    assert notes == ()


def test_tensorboard(export) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    output, notes = export("tensorboard")
    (folder,) = output.glob("*seed-0*")
    events = EventAccumulator(str(folder)).Reload()
    assert [(each.step, each.value) for each in events.Scalars("curve/val_top1")] == [(1, 0.25), (2, 0.5)]
    (top1,) = events.Scalars("top1")
    assert (top1.step, top1.value) == (2, pytest.approx(TOP1))
    assert "doubtful/top5" in events.Tags()["scalars"]
    assert not {"top5", "ece", "doubtful/ece"} & {*events.Tags()["scalars"]}
    (image,) = events.Images("figures/filters/1")
    assert image.encoded_image_string[:4] == b"\x89PNG"
    assert "_hparams_/session_start_info" in events.Tags()["tensors"] or events.PluginTagToContent("hparams")
    assert notes[0] == "Left out: cells without a result (1), invalid values (2)."
    before = {path: path.read_bytes() for path in output.rglob("events*")}
    export("tensorboard")
    assert {path: path.read_bytes() for path in output.rglob("events*")} == before, "the same results, the same events"


@pytest.mark.filterwarnings("ignore")
def test_mlflow(folder: Path, export) -> None:
    from mlflow import MlflowClient
    from vitbench_exporters.mlflow_store import write

    from vitbench.exporting.reading import read_exported

    output, notes = export("mlflow")
    client = MlflowClient(f"sqlite:///{output / 'mlflow.db'}", registry_uri=f"sqlite:///{output / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("vitbench").experiment_id
    runs = client.search_runs([experiment])
    assert len(runs) == 6
    assert [run.info.status for run in runs].count("FAILED") == 1
    run = next(run for run in runs if run.data.params.get("seed") == "0" and "top1" in run.data.metrics)
    assert run.data.metrics["top1"] == pytest.approx(TOP1)
    assert (run.data.metrics["top5_doubtful"], run.data.tags["verdict.top5"]) == (0.96875, "warn: a duplicate")
    assert not {"top5", "ece"} & {*run.data.metrics}
    curve = client.get_metric_history(run.info.run_id, "curve.val_top1")
    assert [(each.step, each.value) for each in curve] == [(1, 0.25), (2, 0.5)]
    assert [file.path for file in client.list_artifacts(run.info.run_id, "figures")] == ["figures/1-filters-1.png"]
    assert notes[0] == "Left out: invalid values (2)."
    # Into a store that has them, such as one's own with --force: nothing is doubled.
    again = write(read_exported(folder)[0], output, experiment="vitbench", pictures=True)
    assert again[0] == "Runs that already existed: 6."
    assert len(client.search_runs([experiment])) == 6


def test_pytest_benchmark(export) -> None:
    output, _ = export("pytest-benchmark")
    (path,) = output.glob("0001_*.json")
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(path), "--columns=mean,rounds"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=output)
    lines = [line for line in done.stdout.splitlines() if "batch" in line and "benchmark" not in line]
    assert any("inference, batch 32" in line for line in lines)
    assert any("inference, batch 1 (warn)" in line for line in lines)
    named = {each["name"].partition(", ")[2]: each for each in json.loads(path.read_text())["benchmarks"]}
    throughput = named["inference, batch 32"]
    assert throughput["stats"]["mean"] == pytest.approx(0.032, rel=0.01)
    assert throughput["stats"]["rounds"] == 4


def test_hugging_face(export) -> None:
    import yaml
    from huggingface_hub import ModelCard, parse_eval_result_entries

    output, notes = export("hugging-face:datasets=digits:own/digits")
    (place,) = (path for path in output.iterdir() if path.is_dir())
    results = {each.metric_type: each for each in ModelCard.load(place / "README.md").data.eval_results}
    assert results["accuracy"].metric_value == pytest.approx(340.5 / 360)
    assert results["accuracy"].dataset_type == "own/digits"
    assert "warn: seed 0: a duplicate" in results["top_5_accuracy"].metric_name
    assert "ece" not in results
    (entry,) = parse_eval_result_entries(yaml.safe_load((place / ".eval_results" / "digits.yaml").read_text()))
    assert (entry.dataset_id, entry.task_id) == ("own/digits", "default")
    assert entry.value == pytest.approx(340.5 / 360)
    assert notes == ("Left out: invalid values (1).",)


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The schemas in the package of Every Eval Ever, which Python 3.11 cannot install but read."""
    place = tmp_path_factory.mktemp("schema")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", "3.12", "--dest", str(place), "every-eval-ever==0.3.0"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("the package index cannot be reached")
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = ("eval", "instance_level_eval")
        return {name: json.loads(file.read(f"every_eval_ever/schemas/{name}.schema.json")) for name in names}


def test_every_eval_ever(export, schemas: dict[str, Any]) -> None:
    import jsonschema

    output, notes = export("every-eval-ever")
    heads = sorted(output.glob("data/digits/*/*/*.json"))
    assert len(heads) == 2
    for path in heads:
        content = json.loads(path.read_text())
        jsonschema.validate(content, schemas["eval"])
        results = {each["evaluation_result_id"].rpartition("/")[2]: each for each in content["evaluation_results"]}
        found = {name: each["score_details"] for name, each in results.items()}
        interval = found["top1"]["uncertainty"]["confidence_interval"]
        assert interval["lower"] < found["top1"]["score"] < interval["upper"]
        assert found["top5"]["details"] == {"verdict": "warn", "reasons": "a duplicate"}
        assert "ece" not in found
        samples = (output / content["detailed_evaluation_results"]["file_path"]).read_text().splitlines()
        assert len(samples) == content["detailed_evaluation_results"]["total_rows"] == 20
        right = 0.0
        for line in samples:
            jsonschema.validate(json.loads(line), schemas["instance_level_eval"])
            right += json.loads(line)["evaluation"]["score"]
        assert math.isclose(right, 15)
    assert notes[0].startswith(
        "Left out: invalid values (2), timings, which the schema has no place for (3), trainings"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm-csv", "The files hold accuracy and throughput only"),
        ("pytest-benchmark", "The format holds timings only"),
        ("hugging-face", "Model cards hold the results of trainings only"),
    ],
)
def test_a_format_that_has_no_place_for_the_results_says_so(
    folder: Path, tmp_path: Path, name: str, words: str
) -> None:
    """Else the exporter itself would be blamed for writing nothing."""
    whole, _ = read_exported(folder)
    results = dataclasses.replace(whole, rows=(), cells=tuple(cell for cell in whole.cells if cell.kind == "quality"))
    offer = load_catalog().exporter(name)
    with pytest.raises(UsageError, match=rf"could export\. {words}\."):
        write_export(offer, results, tmp_path / "out", offer.spec.defaults)


def test_the_example_of_a_third_party_writes_offline_runs(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    plugin = Path(__file__).parents[2] / "docs" / "examples" / "vitbench_wandb.py"
    command = [sys.executable, "-m", "vitbench", "export", "wandb", str(folder), "--plugin", str(plugin)]
    done = subprocess.run([*command, "--output", str(tmp_path)], capture_output=True, text=True, check=True)
    assert sum(line.endswith(".wandb") for line in done.stdout.splitlines()) == 2
    assert done.stderr.splitlines() == ["Left out: invalid values (2)."]
