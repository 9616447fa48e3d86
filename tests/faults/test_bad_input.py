"""Bad input: one line on stderr, the documented exit code, no traceback, and no output folder."""

from __future__ import annotations

import contextlib
import io
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import factories
import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from vitbench.catalog import load_catalog
from vitbench.cli import main
from vitbench.errors import UnusableError, UsageError, VitbenchError
from vitbench.planning.expand import expand
from vitbench.planning.messages import Prepared, PrepareRequest
from vitbench.planning.prepare import prepare
from vitbench.planning.suite import Conditions, ModelEntry, Selection, Suite
from vitbench.report.formats import FORMATS
from vitbench.store import Store, environment_digest

Refuse = Callable[..., str]

GOOD = 'name = "mine"\nsummary = "x"\ndatasets = ["digits"]\n[[models]]\nname = "baseline/majority"\n'
no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@pytest.fixture
def refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Refuse:
    """Run ``vitbench run`` on a suite file, and return its one line of complaint, after that of progress."""

    def call(exit_code: int, *arguments: str, suite: str = GOOD, output: Path | None = None) -> str:
        path, folder = tmp_path / "mine.toml", output or tmp_path / "results"
        path.write_text(suite)
        there = folder.exists()
        command = ["vitbench", "run", "--suite", str(path), "--output", str(folder), "--threads", "1", *arguments]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert (ended.value.code, out) == (exit_code, ""), err
        (line,) = [line for line in err.splitlines() if not line.startswith("Preparing: ")]
        assert line.startswith("Error: ")
        assert folder.exists() == there
        return line

    return call


# What is refused before anything is opened.


@pytest.mark.parametrize(
    ("exit_code", "arguments", "words"),
    [
        (2, ["--suite", "quikc"], ['unknown suite "quikc"']),
        (2, ["--suite", "no/such.toml"], ["no/such.toml", "cannot be read", "No such file"]),
        (2, ["--model", "resnet81"], ['unknown model "resnet81"', 'Did you mean "resnet18"?']),
        (2, ["--model", "scratch/vit:patch_size=two"], ["option patch_size must be a whole number, not 'two'"]),
        (2, ["--dataset", "digit"], ['unknown dataset "digit"', 'Did you mean "digits"?']),
        (2, ["--set", "majority.k=2"], ['no option "k"']),
        (2, ["--set", "supervised.epochs=2"], ["which no selected model uses"]),
    ],
)
def test_a_wrong_command_is_refused(exit_code: int, arguments: list[str], words: list[str], refuse: Refuse) -> None:
    line = refuse(exit_code, *arguments)
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("suite", "exit_code", "words"),
    [
        (GOOD + "colour = 1\n", 2, ["mine.toml", "unknown key `models[0].colour`"]),
        ("seeds = [\n" + GOOD, 2, ["mine.toml is not valid TOML", "line 2"]),
        ('name = "mine"\nsummary = "x"\ndatasets = ["digits"]\n', 5, ["nothing to run", "give --model"]),
    ],
)
def test_a_wrong_suite_is_refused(suite: str, exit_code: int, words: list[str], refuse: Refuse) -> None:
    line = refuse(exit_code, suite=suite)
    for word in words:
        assert word in line


def test_a_broken_plugin_is_refused_where_that_is_asked(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITBENCH_PLUGINS", "baseline,datasets,recipes,absent")
    assert "plugin absent" in refuse(3, "--strict-plugins")


# What prepare refuses, called in this process.


def prepared(
    data: dict[str, Path] | None = None, *, model: str = "baseline/majority", dataset: str = "", **conditions: object
) -> Prepared:
    """Prepare one model on one dataset."""
    catalog = load_catalog()
    name = dataset or next(iter(data or {"digits": None}))
    suite = Suite(name="m", summary="x", datasets=(name,), models=(ModelEntry(name="majority"),))
    paths = {key: str(path) for key, path in (data or {}).items()}
    cells = expand(suite, catalog, Selection(models=(model,), data=paths))
    request = PrepareRequest(
        cells=tuple(cells),
        conditions=Conditions(**{"threads": 1, **conditions}),
        data_paths=dict(zip([cells[0].dataset], paths.values(), strict=False)),
    )
    return prepare(request, catalog, lambda _: None)


def refusal(kind: type[VitbenchError], *arguments: object, **fields: object) -> str:
    """Return the one line with which prepare refuses."""
    with pytest.raises(kind) as caught:
        prepared(*arguments, **fields)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


def images(root: Path, *classes: str, count: int = 4) -> Path:
    """Write images of these classes, and return `root`."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            pixels = np.full((8, 8, 3), 40 * number + index, dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


def test_good_images_are_taken(tmp_path: Path) -> None:
    images(tmp_path / "train", "cat", "dog")
    images(tmp_path / "test", "cat", "dog")
    (cell,) = prepared({"pets": tmp_path}).cells
    assert cell.data is not None
    assert (cell.data.class_names, cell.data.sizes) == (("cat", "dog"), {"train": 8, "test": 8})


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    images(tmp_path, "cat", "dog")
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    bad = {
        "dog/0.png": b"",
        "dog/1.png": b"this is no image",
        "dog/2.png": b"\x89PNG\r\n\x1a\n truncated",
        "cat/cut.jpg": buffer.getvalue()[:500],
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    text = refusal(UnusableError, {"pets": tmp_path})
    assert "dataset pets" in text
    for name in bad:
        assert name in text


def test_labels_out_of_range(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(buffer, "PNG")
    for split in ("train", "test"):
        rows = [{"image": {"bytes": buffer.getvalue(), "path": None}, "label": label} for label in (0, 1, -3)]
        parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / f"{split}-00000-of-00001.parquet")
    text = refusal(UnusableError, {"pets": tmp_path})
    assert "-3" in text
    assert str(tmp_path) in text


@no_cuda
def test_a_gpu_that_is_not_there() -> None:
    text = refusal(UnusableError, device="cuda:3")
    assert "cuda:3" in text
    assert "CUDA" in text


def test_a_device_that_does_not_exist() -> None:
    assert "cpu:1x" in refusal(UsageError, device="cpu:1x")


def test_a_precision_that_the_device_does_not_have() -> None:
    assert "--precision tf32 needs a CUDA device, not cpu" in refusal(UnusableError, device="cpu", precision="tf32")


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    place = tmp_path / "no.safetensors"
    text = refusal(UnusableError, model=f"scratch/vit:checkpoint={place}")
    assert text.startswith(f"model scratch/vit: the checkpoint {place} cannot be read (No such file or directory)")


def test_a_member_that_a_family_does_not_have() -> None:
    text = refusal(UsageError, model="timm/resnet500")
    assert "timm/resnet500" in text


def test_a_model_that_has_no_pretrained_weights_is_not_trained_from_nothing_in_silence() -> None:
    text = refusal(UsageError, model="timm/coatnet_0_224")
    assert text == "model timm/coatnet_0_224 has no pretrained weights; give :pretrained=false or :checkpoint=PATH."
    [cell] = [keyed for keyed in prepared(model="timm/test_vit:pretrained=false").cells if keyed.data]
    assert cell.cell.recipe == "recipes/supervised"


def test_what_does_not_fit_the_data_shows_before_the_run(tmp_path: Path) -> None:
    text = refusal(UsageError, model="scratch/vit:patch_size=3")
    assert text.startswith("model scratch/vit:patch_size=3 on digits: patch_size 3 does not divide")
    place = tmp_path / "other.safetensors"
    save_file({"stranger.weight": torch.zeros(1)}, place)
    text = refusal(UnusableError, model=f"scratch/vit:checkpoint={place}")
    for word in (str(place), "cls_token", "stranger.weight"):
        assert word in text
    assert "none is left for validation" in refusal(UsageError, limit=5)


def test_data_that_are_neither_here_nor_to_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the dataset, the place that was looked in, and the option to give."""

    def no_network(*_: object, **__: object) -> None:
        raise OSError("the network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setenv("VITBENCH_DATA", str(tmp_path))
    text = refusal(UnusableError, dataset="cifar10")
    for word in ("dataset cifar10", str(tmp_path / "cifar10"), "--data cifar10=PATH"):
        assert word in text


# What `vitbench leaderboard` refuses.


@pytest.fixture
def leaderboard(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run ``vitbench leaderboard`` in a format, and return its one line of complaint, or the table."""

    def call(exit_code: int, folder: Path, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vitbench", "leaderboard", str(folder), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert ended.value.code == exit_code, err
        if not exit_code:
            assert err == ""
            return out
        assert out == ""
        (line,) = err.splitlines()
        assert line.startswith("Error: ")
        return line

    return call


def test_a_store_without_a_run_is_refused(leaderboard: Callable[..., str], tmp_path: Path) -> None:
    Store.open(tmp_path, create=True).close()
    assert f"{tmp_path} contains no run yet; start one with vitbench run" in leaderboard(4, tmp_path)


def test_a_folder_that_holds_no_results_is_refused(leaderboard: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        assert f"{place} contains no results" in leaderboard(4, place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_store_of_another_version_is_refused(leaderboard: Callable[..., str], tmp_path: Path) -> None:
    Store.open(tmp_path, create=True).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "vitbench.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "written by a later version of vitbench (store version 99" in leaderboard(4, tmp_path)


def test_a_store_that_is_damaged_is_refused(leaderboard: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "vitbench.sqlite").write_bytes(b"SQLite format 3\0" + bytes(200))
    assert str(tmp_path) in leaderboard(4, tmp_path)


def test_a_store_of_failures_alone_lists_them_in_each_format(leaderboard: Callable[..., str], tmp_path: Path) -> None:
    failed = factories.record(factories.quality_cell("mine/net"), status="failed", reason="no kernel image")
    with Store.open(tmp_path, create=True) as store:
        environment = factories.environment()
        run = store.begin_run(command="", version="0", suite="", environment=environment, rank_by="top1")
        store.plan(run, [failed.planned])
        store.append(msgspec.structs.replace(failed, run=run, environment=environment_digest(environment)))
    for form in FORMATS:
        out = leaderboard(0, tmp_path, "--format", form)
        if form == "csv":
            assert out.count("\n") == 1
        else:
            assert "no kernel image" in out, form


# The same through the command line and the preparing child; few, since that child takes seconds to start.


@pytest.mark.slow
def test_what_prepare_refuses_is_one_line_too(refuse: Refuse, tmp_path: Path) -> None:
    assert "there is no folder" in refuse(3, "--data", f"pets={tmp_path / 'nowhere'}", "--dataset", "pets")


@pytest.mark.slow
def test_an_output_folder_that_cannot_be_written_is_exit_4(refuse: Refuse, tmp_path: Path) -> None:
    blocking = tmp_path / "a file"
    blocking.write_text("content")
    assert str(blocking) in refuse(4, output=blocking / "below")
    assert blocking.read_text() == "content"
