"""Whose normalisation a cell takes, and metrics of stored predictions, computed again.

The whole cell runs in tests/integration/test_run_digits.py.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import factories
import msgspec
import numpy as np
import pytest
import torch

from vitbench.catalog import load_catalog
from vitbench.data.splits import load_splits
from vitbench.errors import StoreError, UnusableError
from vitbench.execution.messages import PREDICTIONS, SCORES, WEIGHTS, CellJob, MetricsJob, Say, kept_file
from vitbench.measuring.predictions import load_predictions, save_predictions
from vitbench.measuring.steps import InvalidOutput
from vitbench.protocols import FitRun, TrainVal
from vitbench.records import HELD_OUT, DataInfo, Head, QualityCell
from vitbench.training import DivergedError, preprocess, statistics
from vitbench.worker import figure, quality
from vitbench.worker.quality import measure_again, run_quality
from vitbench.worker.runtime import runtime
from vitbench.worker.scores import load_scores, save_scores

JOB = msgspec.msgpack.encode(MetricsJob(planned=factories.quality_cell("a"), warnings=("it changed a flag",)))


def again(folder: Path) -> dict[str, float | None]:
    answer = measure_again(JOB, folder, lambda _: None)
    assert {one.verdict.level for one in answer.measurements} == {"warn"}
    return {one.name: one.value for one in answer.measurements}


def test_scores_are_written_anew_and_those_of_metrics_that_are_gone_stay(tmp_path: Path) -> None:
    labels = np.arange(60) % 10
    predictions = factories.predictions(torch.eye(10)[torch.from_numpy(labels)], labels)
    save_predictions(tmp_path / PREDICTIONS, predictions)
    old = {"gone": {"scores": np.zeros(60)}, "top1": {"scores": np.zeros(60, dtype=bool)}}
    save_scores(tmp_path / SCORES, old, predictions)
    values = again(tmp_path)
    assert values["top1"] == 1
    found = load_scores(tmp_path / SCORES)
    assert found["top1"]["scores"].all()
    assert not found["gone"]["scores"].any()
    assert {"nll", "macro_f1", "brier", "auroc"} <= found.keys()
    assert "params" not in values, "there is no model"


def test_damaged_scores_are_made_again(tmp_path: Path) -> None:
    predictions = factories.predictions(torch.eye(10), np.arange(10))
    save_predictions(tmp_path / PREDICTIONS, predictions)
    (tmp_path / SCORES).write_bytes(b"damaged")
    again(tmp_path)
    assert "top1" in load_scores(tmp_path / SCORES)


def test_without_predictions_there_is_nothing_to_measure(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read "):
        measure_again(JOB, tmp_path, lambda _: None)


def cached(folder: Path) -> DataInfo:
    """Return a dataset whose test images are brighter, and more even, than those to train on."""
    rng = np.random.default_rng(0)
    for name, count, low in (("train", 200, 0), ("test", 50, 200)):
        np.save(folder / f"{name}-images.npy", rng.integers(low, 256, (count, 1, 8, 8), dtype=np.uint8))
        np.save(folder / f"{name}-labels.npy", np.arange(count) % 10)
    return msgspec.structs.replace(factories.data_info(), cache=str(folder))


class LeftAlone(torch.nn.Module):
    """A model that torch.compile does not touch."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.head = torch.nn.Linear(64, num_classes)

    @torch.compiler.disable
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(images.flatten(1))


@pytest.mark.compute
def test_a_model_of_which_nothing_was_compiled_has_no_compiled_quality(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "build_model", lambda planned, spec, num_classes: LeftAlone(num_classes))
    monkeypatch.setattr(quality, "load_target", lambda text: lambda model: model)
    options = load_catalog().member("scratch/vit").defaults | {"patch_size": 4}
    planned = factories.quality_cell("vit", options=options, data=cached(tmp_path), compile="default")
    with pytest.raises(InvalidOutput, match="nothing was compiled"):
        run_quality(CellJob(planned=planned), load_catalog(), tmp_path, lambda _: None)


@pytest.mark.compute
def test_scores_on_doubtful_data_are_doubtful_and_what_training_took_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured at once, and when metrics were added since."""
    monkeypatch.setattr(quality, "build_model", lambda planned, spec, num_classes: LeftAlone(num_classes))
    monkeypatch.setattr(quality, "load_target", lambda text: lambda model: model)
    options = load_catalog().member("scratch/vit").defaults | {"patch_size": 4}
    info = msgspec.structs.replace(cached(tmp_path), doubts=("9 of 50 test images are also in train",))
    planned = factories.quality_cell("vit", options=options, data=info)
    first = run_quality(CellJob(planned=planned), load_catalog(), tmp_path, lambda _: None)
    again = measure_again(msgspec.msgpack.encode(MetricsJob(planned=planned)), tmp_path, lambda _: None)
    for result in (first, again):
        found = {one.name: one.verdict for one in result.measurements}
        assert (found["top1"].level, found["top1"].reasons) == ("warn", info.doubts)
    took = [one for one in first.measurements if one.machine_bound]
    assert took
    assert not any(set(info.doubts) & set(one.verdict.reasons) for one in took)


@pytest.mark.compute
@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_cell_that_is_judged_on_validation_images_reads_no_others_and_says_what_chose_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    monkeypatch.setattr(quality, "build_model", lambda planned, spec, num_classes: LeftAlone(num_classes))
    judged: list[str] = []

    def fit(model: torch.nn.Module, run: FitRun) -> torch.nn.Module:
        judged.append(run.judged)
        return model

    monkeypatch.setattr(quality, "load_target", lambda text: fit)
    info = msgspec.structs.replace(cached(tmp_path), doubts=("of test images",), val_doubts=("copies",))
    val = load_splits(info, limit=None).val
    for path in tmp_path.glob("test-*.npy"):
        path.unlink()
    options = load_catalog().member("scratch/vit").defaults | {"patch_size": 4}
    planned = factories.quality_cell("vit", options=options, data=info, split="val", recipe_options={"keep": keep})
    first = run_quality(CellJob(planned=planned), load_catalog(), tmp_path, lambda _: None)
    assert judged == ["val"], "a recipe could learn from what it is judged on"
    predicted = load_predictions(tmp_path / PREDICTIONS)
    assert np.array_equal(predicted.index, val.index)
    assert np.array_equal(predicted.labels, val.labels)
    assert first.splits == {"train": 180, "val": 20, "test": 0}
    chosen = "supervised chooses by the validation images (keep=best), so scores on them are too high"
    job = MetricsJob(planned=planned, doubts=first.doubts)
    again = measure_again(msgspec.msgpack.encode(job), tmp_path, lambda _: None)
    for result in (first, again):
        found = {one.name: one.verdict.reasons for one in result.measurements}
        assert found["top1"] == ("copies", *[chosen] * (keep == "best"))
    assert not any(chosen in one.verdict.reasons for one in first.measurements if one.name.startswith("train"))


@pytest.mark.compute
def test_what_a_recipe_held_out_is_judged_in_place_of_the_validation_split_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed attempt said is there, too; a cell that is judged on test images does not use it."""

    class Killed(BaseException):
        pass

    def fit(model: torch.nn.Module, data: TrainVal, run: FitRun) -> torch.nn.Module:
        labels = dict(zip(data.train.index.tolist(), data.train.labels.tolist(), strict=True))
        folds = np.array_split(data.train.index[::-1], 2)
        step = run.resume()[0] if run.resume() else 0
        run.out_of_fold(folds[step], np.eye(10, dtype=np.float32)[[labels[row] for row in folds[step].tolist()]])
        run.save(1, {})
        if step == 0 and run.seed == 7:
            raise Killed
        return model

    monkeypatch.setattr(quality, "build_model", lambda planned, spec, num_classes: LeftAlone(num_classes))
    monkeypatch.setattr(quality, "load_target", lambda text: fit)
    info, options = cached(tmp_path), load_catalog().member("scratch/vit").defaults | {"patch_size": 4}
    splits = load_splits(info, limit=None)
    how = {"options": options, "data": info, "recipe_options": {"keep": "best"}}
    planned = factories.quality_cell("vit", split="val", seed=7, **how)
    job = CellJob(planned=planned, checkpoint=str(tmp_path / "key.pt"))
    with pytest.raises(Killed):
        run_quality(job, load_catalog(), tmp_path, lambda _: None)
    result = run_quality(job, load_catalog(), tmp_path, lambda _: None)
    predicted = load_predictions(tmp_path / PREDICTIONS)
    assert np.array_equal(predicted.index, splits.train.index)
    assert np.array_equal(predicted.labels, splits.train.labels)
    assert result.splits == {"train": 180, "val": 20, "test": 0, HELD_OUT: 180}
    (top1,) = [one for one in result.measurements if one.name == "top1"]
    assert (top1.value, top1.n, top1.verdict.level) == (1.0, 180, "valid")

    usual = factories.quality_cell("vit", **how)
    assert HELD_OUT not in run_quality(CellJob(planned=usual), load_catalog(), tmp_path, lambda _: None).splits
    assert np.array_equal(load_predictions(tmp_path / PREDICTIONS).index, splits.test.index)


@pytest.mark.compute
def test_a_training_that_ends_in_nan_is_told_whatever_the_recipe_made_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(model: torch.nn.Module, data: TrainVal, run: FitRun) -> torch.nn.Module:
        for epoch, loss in enumerate((0.5, np.nan, np.nan), start=1):
            run.log(epoch=epoch, loss=loss)
        model.head.bias.data[3] = np.nan
        return model

    monkeypatch.setattr(quality, "build_model", lambda planned, spec, num_classes: LeftAlone(num_classes))
    monkeypatch.setattr(quality, "load_target", lambda text: diverge)
    options = load_catalog().member("scratch/vit").defaults | {"patch_size": 4}
    planned = factories.quality_cell("vit", options=options, data=cached(tmp_path))
    words = "the trained model has nan in head.bias, and its loss is not finite from epoch 2 on; lower the recipe's"
    with pytest.raises(DivergedError, match=words):
        run_quality(CellJob(planned=planned), load_catalog(), tmp_path, lambda _: None)


@pytest.mark.compute
def test_what_a_recipe_saves_and_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first attempt is killed after it saved; the second has its state, its rows, its seconds and what it kept."""

    class Killed(BaseException):
        pass

    def fit(model: torch.nn.Module, data: TrainVal, run: FitRun) -> torch.nn.Module:
        found = run.resume()
        if found is None:
            run.log(epoch=1, loss=0.5)
            run.keep("token", {"token": torch.ones(2)})
            run.save(7, {"weight": model.head.weight})
            time.sleep(0.05)
            raise Killed
        assert found[0] == 7
        assert torch.equal(found[1]["weight"], model.head.weight)
        run.log(epoch=2, loss=0.25)
        return model

    monkeypatch.setattr(quality, "build_model", lambda planned, spec, num_classes: LeftAlone(num_classes))
    monkeypatch.setattr(quality, "load_target", lambda text: fit)
    options = load_catalog().member("scratch/vit").defaults | {"patch_size": 4}
    planned = factories.quality_cell("vit", options=options, data=cached(tmp_path))
    job, said = CellJob(planned=planned, checkpoint=str(tmp_path / "key.pt")), []
    with pytest.raises(Killed):
        run_quality(job, load_catalog(), tmp_path, said.append)
    result = run_quality(job, load_catalog(), tmp_path, said.append)
    assert result.curve == ({"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": 0.25})
    assert result.kept == {"token": hashlib.sha256((tmp_path / kept_file("token")).read_bytes()).hexdigest()}
    assert result.evidence["earlier_seconds"] > 0
    (took,) = [one for one in result.measurements if one.name == "train_seconds"]
    assert took.value > result.evidence["earlier_seconds"]
    assert any("in killed attempts" in reason for reason in took.verdict.reasons)
    sentences = [message.text for message in said if isinstance(message, Say)]
    assert sentences[0] == ("vit on digits, supervised, seed 0: resuming a killed training at step 7 (0.0 s done).")


@pytest.mark.compute
def test_images_are_normalised_by_the_training_split_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model, what the recipe is given, and any model that the recipe builds."""
    info, catalog = cached(tmp_path), load_catalog()
    splits = load_splits(info, limit=None)
    expected = statistics(splits.train)
    assert expected not in (statistics(splits.val), statistics(splits.test))
    given: dict[str, Any] = {}

    def keep(model: torch.nn.Module, data: TrainVal, run: FitRun) -> torch.nn.Module:
        given["data"] = data
        return model

    def builder(*arguments: Any, **named: Any) -> Any:
        given["builder"] = named
        return quality_builder(*arguments, **named)

    quality_builder = quality.builder
    monkeypatch.setattr(quality, "builder", builder)
    monkeypatch.setattr(quality, "load_target", lambda text: keep)
    options = catalog.member("scratch/vit").defaults | {"patch_size": 4, "depth": 1, "width": 32, "heads": 2}
    planned = factories.quality_cell("vit", options=options, data=info)
    result = run_quality(CellJob(planned=planned), catalog, tmp_path, lambda _: None)
    assert result.preprocess is not None
    assert (result.preprocess.mean, result.preprocess.std) == (expected.mean, expected.std)
    assert given["data"].preprocess == expected
    assert given["builder"]["preprocess"] == expected
    assert given["builder"]["statistics"]() == expected


def rerun(folder: Path, info: DataInfo, **changes: Any) -> Any:
    """Run the cell of a small transformer; return its figures, its preprocessing and its predictions."""
    folder.mkdir()
    catalog = load_catalog()
    options = {"patch_size": 4, "depth": 1, "width": 32, "heads": 2, **changes.pop("options", {})}
    options = catalog.member("scratch/vit").defaults | options
    planned = factories.quality_cell("vit", options=options, data=info, **changes)
    result = run_quality(CellJob(planned=planned), catalog, folder, lambda _: None)
    top1 = next(one.value for one in result.measurements if one.name == "top1")
    return top1, result.preprocess, load_predictions(folder / PREDICTIONS)


@pytest.mark.compute
def test_weights_are_scored_alike_whatever_lies_beside_the_test_images(tmp_path: Path) -> None:
    """Other training images, and the same classes in another order."""
    info = cached(tmp_path)
    recipe = {
        "recipe": "recipes/supervised",
        "recipe_options": load_catalog().recipe("recipes/supervised").spec.defaults,
    }
    first, how, predicted = rerun(tmp_path / "trained", info, **recipe, epochs=1)
    assert how.source == "the training split"

    order = np.random.default_rng(1).permutation(10)
    for name in ("train", "test"):
        labels = np.load(tmp_path / f"{name}-labels.npy")
        np.save(tmp_path / f"{name}-labels.npy", np.argsort(order)[labels])
    np.save(tmp_path / "train-images.npy", np.load(tmp_path / "train-images.npy") // 2)
    other = msgspec.structs.replace(info, class_names=tuple(info.class_names[k] for k in order))
    scored = {"recipe": "recipes/evaluate", "recipe_options": {}}
    checkpoint = {"checkpoint": str(tmp_path / "trained" / WEIGHTS)}
    head = Head(outputs=10, of_classes=tuple((int(k),) for k in order))
    again, applied, said = rerun(tmp_path / "scored", other, options=checkpoint, head=head, **scored)

    assert again == first
    assert (applied.mean, applied.std, applied.source) == (how.mean, how.std, "the checkpoint")
    np.testing.assert_array_equal(said.logits, predicted.logits[:, order])

    # Four classes of its ten, two of them as one; the others compete.
    few = msgspec.structs.replace(other, class_names=("a", "b", "c"))
    labels = np.load(tmp_path / "test-labels.npy") % 3
    np.save(tmp_path / "test-labels.npy", labels)
    head = Head(outputs=10, of_classes=((4,), (7, 2), (0,)), others=tuple("defghi"))
    top1, _, said = rerun(tmp_path / "against", few, options=checkpoint, head=head, **scored)
    logits = torch.from_numpy(predicted.logits)
    wanted = torch.stack([logits[:, 4], logits[:, [7, 2]].logsumexp(dim=1), logits[:, 0]], dim=1)
    wanted = torch.cat([wanted, logits[:, [1, 3, 5, 6, 8, 9]]], dim=1)
    torch.testing.assert_close(torch.from_numpy(said.logits), wanted)
    assert said.class_names == tuple("abcdefghi")
    assert top1 == (wanted.argmax(dim=1).numpy() == labels[said.index]).mean()


@pytest.mark.compute
def test_data_without_training_images_are_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info, catalog = cached(tmp_path), load_catalog()
    for path in tmp_path.glob("train-*.npy"):
        path.unlink()
    monkeypatch.setattr(quality, "load_target", lambda text: lambda model: model)
    options = catalog.member("scratch/vit").defaults | {"patch_size": 4, "depth": 1, "width": 32, "heads": 2}
    planned = factories.quality_cell(
        "vit", options=options, data=msgspec.structs.replace(info, sizes={"test": 50}), recipe="recipes/evaluate"
    )
    result = run_quality(CellJob(planned=planned), catalog, tmp_path, lambda _: None)
    assert result.splits == {"train": 0, "val": 0, "test": 50}
    assert result.preprocess is not None
    assert np.isfinite(result.preprocess.mean).all()
    assert len(load_predictions(tmp_path / PREDICTIONS).labels) == 50


@pytest.mark.parametrize(("asked", "images", "told"), [(128, 96, True), (96, 96, False), (None, 96, False)])
def test_a_batch_larger_than_the_training_split_is_told(asked: int | None, images: int, told: bool) -> None:
    cell = QualityCell(
        model="m/one",
        recipe="r/one",
        recipe_options={} if asked is None else {"batch_size": asked},
        dataset="d/one",
        seed=0,
        precision="float32",
        threads=1,
    )
    words = f"batch_size {asked} exceeds the 96 training images; each batch holds all 96"
    assert quality._short_batches(cell, images=images) == (words if told else "")


@pytest.mark.compute
@pytest.mark.parametrize("recipe", ["linear-probe", "knn"])
def test_of_a_model_with_a_new_head_the_head_alone_is_kept_and_figures_build_it_again(
    tmp_path: Path, recipe: str
) -> None:
    folder, catalog = tmp_path / "v3" / "abc-8", load_catalog()
    folder.mkdir(parents=True)
    info, spec = cached(folder), catalog.member("scratch/vit")
    options = spec.defaults | {"patch_size": 4, "depth": 1, "width": 32, "heads": 2}
    how: dict[str, Any] = {"recipe": f"recipes/{recipe}", "recipe_options": {"labels": 1.0, "folds": 1}, "data": info}
    planned = factories.quality_cell("vit", options=options, seed=7, **how)
    results = [run_quality(CellJob(planned=planned), catalog, tmp_path, lambda _: None) for _ in range(2)]
    first, second = results
    assert not (tmp_path / WEIGHTS).exists()
    warned = [result.training.warnings for result in results if result.training]
    count = first.splits["train"] + first.splits["val"]
    told = f"the features of {count} images were extracted by an earlier run"
    assert [told in warnings for warnings in warned] == [False, True]
    assert (first.curve, first.facts) == (second.curve, second.facts)
    if recipe == "knn":
        assert first.kept == {}
        assert first.facts["weights"] == "those that it was built with; its head is not kept"
        return
    assert first.facts["weights"] == "those that it was built with; its head is kept apart"
    path = str(tmp_path / kept_file("head"))
    with runtime(precision="float32", threads=1, seed=7, device="cpu"):
        model = figure._trained(planned, spec, 10, None, path).eval()
    splits = load_splits(info, limit=None)
    images = torch.from_numpy(splits.test.images[splits.test.index])
    x = preprocess(images, statistics(splits.train), image_size=(8, 8), in_channels=1)
    predicted = load_predictions(tmp_path / PREDICTIONS)
    assert predicted.logits is not None
    with torch.no_grad():
        np.testing.assert_allclose(model(x).numpy(), predicted.logits, atol=1e-4)
    with (
        runtime(precision="float32", threads=1, seed=8, device="cpu"),
        pytest.raises(UnusableError, match="the model's weights are not those that its head was trained on"),
    ):
        figure._trained(planned, spec, 10, None, path)
