"""Figures of a run, and `vitbench explain` on its folder: what is drawn, kept, skipped, and refused."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import factories
import msgspec
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import vitbench
from vitbench.catalog import load_catalog, select_plugins
from vitbench.cli import main
from vitbench.cli.run import _draw_pictures
from vitbench.errors import Skip, UnusableError, UsageError
from vitbench.execution.choice import chosen_executor
from vitbench.explaining.explain import Asked, draw_pictures, explain, model_names
from vitbench.figures import Grid
from vitbench.figures.files import read_figures
from vitbench.figures.own_images import read_image
from vitbench.files import sha256_of
from vitbench.planning.figures import figure_cells
from vitbench.records import FigureCell, PluginOrigin, Provenance, Record, newest_by_id
from vitbench.report.figures.drawing import file_part
from vitbench.running.session import is_wanted_figure
from vitbench.specs import ModelSpec
from vitbench.store import FILE_NAME, Store
from vitbench.training.card import Card, save_weights
from vitbench.worker.figure import _check_files, _resized

PLUGIN = """
import numpy as np
import torch

import vitbench
from vitbench.figures import Grid, Matrix, Scale, Tile


@vitbench.hookimpl
def vitbench_figures():
    yield vitbench.FigureSpec(
        name="look", draw=look, summary="All that a subject has", options={"layer": 0, "target": ""}
    )
    yield vitbench.FigureSpec(name="lacking", draw=look, summary="Needs what the recipe does not keep", needs=("kept",))
    yield vitbench.FigureSpec(name="absent", draw=look, summary="Needs a module", requires=("no_such_module",))
    yield vitbench.FigureSpec(name="broken", draw=broken, summary="Fails")


def look(subject, *, layer=0, target=""):
    if layer > 1:
        raise vitbench.UsageError(f"there is no layer {layer}")
    images = [picture.pixels for picture in subject.pictures]
    inputs = subject.inputs(images)
    with torch.no_grad():
        logits = subject.model(inputs)
        every = subject.model(subject.inputs(list(subject.images.images[subject.images.index])))
    assert not subject.model.training
    assert inputs.shape == (len(images), *subject.input_shape)
    right = every.argmax(1).numpy() == subject.images.labels
    assert np.array_equal(every.argmax(1).numpy(), subject.predictions.top_classes[:, 0])
    fresh = [torch.cat([each.flatten() for each in subject.fresh(seed).parameters()]) for seed in (1, 1, 2)]
    assert torch.equal(fresh[0], fresh[1]) and not torch.equal(fresh[0], fresh[2])
    larger = subject.resized(16, 16)(torch.zeros(1, 1, 16, 16))
    assert larger.shape == (1, subject.num_classes)
    seen = subject.pixels(images)
    yield Grid(
        title=f"layer {layer}, target {target}",
        tiles=tuple(Tile(pixels=each, title=picture.name) for each, picture in zip(seen, subject.pictures)),
        columns=len(seen),
    )
    values = logits.numpy().astype(np.float32)
    yield Matrix(
        title="logits",
        values=values,
        row_labels=tuple(picture.name for picture in subject.pictures),
        column_labels=subject.class_names,
        rows="image",
        columns="class",
        scale=Scale.of(values, "logit", diverging=True),
    )
    yield vitbench.Measurement(name="right", value=float(right.mean()), unit="fraction")


def broken(subject):
    raise ValueError("it cannot be drawn")
"""
SUITE = """
name = "drawn"
summary = "a small ViT, and what it looks like"
datasets = ["digits"]
figures = ["drawing/look:layer=1", "drawing/lacking", "drawing/absent", "drawing/broken"]
[[models]]
name = "scratch/vit"
label = "small"
options = {depth = 1, width = 16, heads = 2, mlp_ratio = 2.0}
[[models]]
name = "baseline/majority"
[speed]
modes = []
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "drawing.py").write_text(PLUGIN)
    (folder / "suite.toml").write_text(SUITE)
    run(folder)
    return folder


def run(folder: Path) -> vitbench.Results:
    return vitbench.run(
        folder / "suite.toml",
        output=folder / "results",
        plugins=[folder / "drawing.py"],
        epochs=1,
        limit=100,
        quiet=True,
    )


def by_figure(folder: Path) -> dict[str, Record]:
    with Store.open(folder / "results", create=False) as store:
        newest = newest_by_id(store.records()).values()
    return {record.planned.cell.figure: record for record in newest if isinstance(record.planned.cell, FigureCell)}


Explained = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def explained(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Explained:
    """Run `vitbench explain` in this process; return its exit code, the paths that it prints, and stderr."""

    def call(folder: Path, *words: str) -> tuple[int, list[str], str]:
        given = ["vitbench", "explain", f"{folder}/results", "--plugin", f"{folder}/drawing.py", *words]
        monkeypatch.setattr(sys, "argv", given)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out.splitlines(), err

    return call


def test_each_figure_ends_as_a_record_with_its_reason_and_a_second_run_draws_none_again(made: Path) -> None:
    found = by_figure(made)
    ended = {name: (record.status, record.reason) for name, record in found.items()}
    assert ended == {
        "drawing/look": ("ok", ""),
        "drawing/lacking": ("skipped", "its recipe stored no tensors besides the weights"),
        "drawing/absent": ("skipped", "it needs the module no_such_module, which is not installed"),
        "drawing/broken": ("failed", "ValueError: it cannot be drawn"),
    }
    look = found["drawing/look"]
    assert look.pictures == 2
    with Store.open(made / "results", create=False) as store:
        grid, _ = read_figures(store.figures_path(look.key))
        [training] = [record for record in store.records() if record.key == look.planned.shows]
    assert isinstance(grid, Grid)
    assert grid.title == "layer 1, target "
    assert [tile.title for tile in grid.tiles if tile] == [str(digit) for digit in range(8)]  # one of each class
    top1 = next(one.value for one in training.measurements if one.name == "top1")
    assert [(one.name, one.value) for one in look.measurements] == [("right", top1)]
    results = run(made)
    assert by_figure(made) == found
    assert [(each.kind, each.status) for each in results.leaderboard.failed] == [("figure", "failed")]
    assert {row.model for row in results.leaderboard.rows} == {"small", "baseline/majority"}


def test_explain_draws_what_is_stored_and_asks_only_for_what_is_new(made: Path, explained: Explained) -> None:
    before = by_figure(made)["drawing/look"]
    look = ("--figure", "drawing/look")
    code, paths, err = explained(made, "--model", "small", *look, "--layer", "1")
    assert (code, err) == (0, "")  # it was there: nothing is drawn anew
    names = [Path(path).name for path in paths]
    assert names == [f"small-look-layer=1-{part}" for part in ("1.png", "1.svg", "2.png", "2.svg")]
    assert all(Path(path).stat().st_size for path in paths)
    code, paths, err = explained(made, *look, "--target", "3")
    assert code == 0
    assert "drawing drawing/look of small on digits" in err
    assert {Path(path).name for path in paths} > {"small-look-target=3-1.png"}
    assert by_figure(made)["drawing/look"].key != before.key


def test_explain_looks_at_the_users_own_images(made: Path, explained: Explained, tmp_path: Path) -> None:
    own = tmp_path / "mine.png"
    Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(own)
    code, paths, _ = explained(made, "--figure", "drawing/look", "--image", str(own))
    assert code == 0
    assert Path(paths[0]).name == "small-look-mine-1.png"
    cell = by_figure(made)["drawing/look"].planned
    assert isinstance(cell.cell, FigureCell)
    assert list(cell.cell.images) == [str(own)]
    with Store.open(made / "results", create=False) as store:
        grid = read_figures(store.figures_path(cell.key))[0]
    assert isinstance(grid, Grid)
    [tile] = grid.tiles
    assert tile is not None
    assert tile.title == "mine.png"
    assert tile.pixels is not None
    assert tile.pixels.shape == (1, 8, 8)  # gray and of the model's size, as its input is


def test_explain_refuses_in_one_line_before_anything_runs(
    made: Path, explained: Explained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made / "results")
    before = by_figure(made)
    for words, code, line in (
        ("--model smal", 2, 'no result of model "smal"'),
        ("--model majority", 2, 'no result of model "majority"'),
        ("--figure lok", 2, 'unknown figure "lok". Did you mean "look"?'),
        ("--figure drawing/look --head 1", 2, 'has no option "head"'),
        ("--figure drawing/look --layer x", 2, "option layer must be"),
        ("--figure drawing/look --target eleven", 2, 'no class "eleven"'),
        ("--image missing.png", 3, "image missing.png cannot be read: No such file or directory"),
        (f"--image {FILE_NAME}", 3, f"image {FILE_NAME} cannot be read"),
    ):
        ended, paths, err = explained(made, *words.split())
        assert (ended, paths) == (code, []), words
        [told] = err.splitlines()
        assert line in told
    assert by_figure(made) == before


def test_a_model_of_a_plugin_file_needs_the_file(tmp_path: Path) -> None:
    origin = PluginOrigin(plugin="mine", distribution="my nets/mine.py", version="", code_hash="c0de")
    cell = factories.quality_cell("net", provenance=Provenance(model=origin, torch="2.15.0"))
    with Store.open(tmp_path, create=True) as store:
        run = store.begin_run(command="x", version="1", suite="", environment=factories.environment(), rank_by="top1")
        store.append(factories.record(cell, run=run))
    words = "model \"scratch/net\" was run with the plugin file 'my nets/mine.py'; add --plugin 'my nets/mine.py'."
    with pytest.raises(UsageError, match=f"^{re.escape(words)}$"):
        explain(tmp_path, Asked(), executor=chosen_executor(), plugins=select_plugins())


def test_what_a_figure_cannot_show_is_told_with_its_reason(made: Path, explained: Explained) -> None:
    code, paths, err = explained(made, "--figure", "drawing/look", "--layer", "2")
    assert (code, paths) == (1, [])
    assert "drawing/look of small on digits, supervised, seed 0: failed, there is no layer 2" in err


def test_without_weights_a_figure_is_skipped_and_without_a_result_there_is_nothing_to_explain(
    made: Path, tmp_path: Path, explained: Explained
) -> None:
    folder = tmp_path / "drawn"
    shutil.copytree(made, folder)
    for path in (folder / "results" / "weights").iterdir():
        path.unlink()
    code, paths, err = explained(folder, "--figure", "drawing/look", "--layer", "0", "--target", "1")
    assert (code, paths) == (0, [])
    assert "skipped, its trained weights were not stored" in err
    (folder / "results" / "weights" / f"{by_figure(made)['drawing/look'].planned.shows}.safetensors").write_bytes(b"1")
    code, paths, err = explained(folder, "--figure", "drawing/look", "--layer", "0", "--target", "1")
    assert (code, paths) == (1, [])
    assert "cannot be read" in err
    look = by_figure(made)["drawing/look"]
    vitbench.withdraw(folder / "results", look.planned.shows, reason="of a test")
    code, _, err = explained(folder, "--figure", "drawing/look")
    assert code == 2
    assert "contains no trained model" in err


def test_a_figure_is_drawn_again_when_its_file_is_gone_or_its_training_ran_again(
    made: Path, tmp_path: Path, explained: Explained
) -> None:
    folder, look = tmp_path / "drawn", ("--figure", "drawing/look", "--layer", "1")
    shutil.copytree(made, folder)
    before = by_figure(made)["drawing/look"]
    shutil.rmtree(folder / "results" / "figures")
    code, paths, err = explained(folder, *look)
    assert (code, len(paths)) == (0, 4)
    assert "drawing drawing/look" in err
    with Store.open(folder / "results", create=False) as store:
        [training] = [record for record in store.records() if record.key == before.planned.shows]
        # As after an update: the recipe that trained it is not the one that is installed.
        recipe = msgspec.structs.replace(training.planned.provenance.recipe, code_hash="other")
        made_of = msgspec.structs.replace(training.planned.provenance, recipe=recipe)
        planned = msgspec.structs.replace(training.planned, provenance=made_of)
        again = msgspec.structs.replace(training, planned=planned, started=time.time())
        store.append(again)
        newest = {record.key: record for record in (before, again)}
    assert is_wanted_figure(before.planned, newest, None)
    assert not is_wanted_figure(before.planned, newest | {training.key: training}, None)
    code, paths, err = explained(folder, *look)
    assert (code, len(paths)) == (0, 4), err
    assert "drawing drawing/look" in err


def test_no_two_trainings_write_into_the_same_picture(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    shutil.copytree(made, folder)
    results = vitbench.load(folder / "results")
    first = tuple(record for record in results.records if record.run == results.records[0].run)
    results = dataclasses.replace(results, records=first)
    [told] = _draw_pictures(results, [str(folder / "drawing.py")], ())
    assert "pictures of the models are in" in told
    # Named by the options of the run's own plugin file.
    assert (folder / "results" / "figures" / "small-look-layer=1-1.png").exists()
    one = next(record for record in first if record.pictures)
    cell = one.planned.cell
    assert isinstance(cell, FigureCell)
    of = msgspec.structs.replace(cell.of, limit=50)
    planned = msgspec.structs.replace(
        one.planned, cell=msgspec.structs.replace(cell, of=of), id="2", key="2", shows="2"
    )
    two = msgspec.structs.replace(one, planned=planned)
    with Store.open(folder / "results", create=False) as store:
        shutil.copyfile(store.figures_path(one.key), store.figures_path("2"))
        store.append(two)
        catalog = load_catalog()
        drawn = [draw_pictures(store, [record], catalog) for record in (one, two)]
    assert not {*drawn[0]} & {*drawn[1]}


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (Image.new("RGBA", (2, 2), (0, 0, 0, 0)), 255),  # over white, as datasets have it
        (Image.fromarray(np.full((2, 2), 0x4000, np.uint16)), 0x40),  # Pillow itself would clip it
    ],
    ids=["transparent", "16 bits"],
)
def test_an_own_image_has_the_pixels_that_a_viewer_shows(image: Image.Image, wanted: int, tmp_path: Path) -> None:
    image.save(path := tmp_path / "own.png")
    for channels in (1, 3):
        pixels = read_image(path, channels)
        assert pixels.shape == (channels, 2, 2)
        assert set(pixels.ravel()) == {wanted}


@pytest.mark.parametrize(("content", "words"), [(b"text", "it is in no known image format"), (b"", "it is empty")])
def test_an_own_image_that_is_none_is_told_as_in_datasets(content: bytes, words: str, tmp_path: Path) -> None:
    (path := tmp_path / "own.png").write_bytes(content)
    with pytest.raises(UnusableError, match=f"^image {path} cannot be read: {words}$"):
        read_image(path, 3)


def test_an_own_image_whose_name_is_not_text_is_refused(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    with pytest.raises(UnusableError, match="not UTF-8"):
        next(figure_cells([], [], load_catalog(), images=[path]), None)


def test_a_file_of_weights_that_is_another_one_by_now_is_not_shown(tmp_path: Path) -> None:
    (path := tmp_path / "weights.pt").write_bytes(b"1")
    scored = factories.quality(options={"checkpoint": str(path)}).planned
    made_of = msgspec.structs.replace(
        scored.provenance, files={"model.checkpoint": sha256_of(path), "model.revision": "1"}
    )
    scored = msgspec.structs.replace(scored, provenance=made_of)
    _check_files(scored)
    path.write_bytes(b"2")
    with pytest.raises(Skip, match="not the file that was scored"):
        _check_files(scored)


class Placed(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.positions, self.head = nn.Parameter(torch.zeros(size)), nn.Linear(2, 2)


def placed(image_size: tuple[int, int], checkpoint: str = "") -> nn.Module:
    """Build a model whose option for weights gives it a new head, as timm's does."""
    model = Placed(image_size[0])
    if checkpoint:
        nn.init.ones_(model.positions)
        nn.init.zeros_(model.head.weight)
    return model


def test_a_model_at_another_size_has_its_trained_head(tmp_path: Path) -> None:
    spec = ModelSpec(name="placed", build=placed, summary="A test", options={"checkpoint": ""})
    trained = factories.quality_cell(options={"checkpoint": ""})
    cell = FigureCell(figure="drawing/look", of=trained.cell)  # type: ignore[arg-type]
    small = Placed(trained.image_size[0])
    card = Card(class_names=("a", "b"), mean=(0.5,), std=(0.5,))
    save_weights(small, path := tmp_path / "weights.safetensors", card)
    planned = msgspec.structs.replace(trained, cell=cell)
    larger = _resized(planned, spec, 2, str(path), None, (99, 99))
    assert isinstance(larger, Placed)
    assert larger.positions.tolist() == [1.0] * 99
    assert torch.equal(larger.head.weight, small.head.weight)


def test_no_picture_takes_the_place_of_another_models(made: Path) -> None:
    record = by_figure(made)["drawing/look"]

    def labelled(label: str, limit: int = 100) -> Record:
        cell = record.planned.cell
        assert isinstance(cell, FigureCell)
        cell = msgspec.structs.replace(cell, of=msgspec.structs.replace(cell.of, limit=limit))
        planned = msgspec.structs.replace(record.planned, label=label, cell=cell)
        return msgspec.structs.replace(record, planned=planned, status="ok")

    labels = ("Net", "net", "a b", "a/b", "\u6a21", "\u578b", "vit")
    names = model_names([*map(labelled, labels), labelled("cnn"), labelled("cnn", 50)])
    assert [name for (label, _), name in names.items() if label == "vit"] == ["vit"]
    assert len({file_part(name).lower() for name in names.values()}) == len(names) == 9
