"""A quality cell: build, train, then evaluate once, on the split that it is judged on, and measure."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, cast

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from vitbench import contract
from vitbench.catalog import Catalog, load_catalog
from vitbench.data.splits import Splits, load_splits
from vitbench.errors import StoreError, VitbenchError
from vitbench.execution.executor import Send
from vitbench.execution.messages import PREDICTIONS, SCORES, WEIGHTS, CellJob, CellResult, MetricsJob, Progress, Say
from vitbench.measuring.evidence import Moment, disturbances, facts, observe
from vitbench.measuring.predictions import load_predictions, save_predictions
from vitbench.protocols import Budget, FitRun, Predictions, Split, Subject, TrainingLog, TrainVal
from vitbench.records import HELD_OUT, KeyedCell, Measurement, PreprocessInfo, QualityCell, Training, doubt
from vitbench.specs import Augmentation, Preprocess, RecipeSpec, load_target
from vitbench.training import DivergedError, batches, preprocess, statistics
from vitbench.training.clock import waited
from vitbench.training.frozen_features import fitted_head
from vitbench.training.module_state import unsaved_buffers
from vitbench.worker.budget import check_epoch, cut_short, held_to_images, over_budget
from vitbench.worker.build import build_model, facts_of, meta_architecture
from vitbench.worker.compiling import check_compiled, graphs_compiled
from vitbench.worker.evaluation import evaluate
from vitbench.worker.features import FeatureCache
from vitbench.worker.hands import Hands
from vitbench.worker.heads import GroupedOutputs
from vitbench.worker.heartbeat import signs_of_life
from vitbench.worker.held_out import HeldOut
from vitbench.worker.keeping import card_of, keep_head, keep_weights
from vitbench.worker.metrics import Measured, measure, measured_by
from vitbench.worker.named_models import builder
from vitbench.worker.outputs import fault_behind
from vitbench.worker.probe import counted_steps, probe_training
from vitbench.worker.runtime import flag_reasons, runtime
from vitbench.worker.scores import load_scores, save_scores
from vitbench.worker.weights import preprocess_of, weights_of

__all__ = ["measure_again", "run_quality"]

SAMPLED_IMAGES = 512
"""Validation images that the model itself is audited on where what its recipe held out is scored."""
SIGN_SECONDS = 1.0
"""The least time between two signs of life."""


class _Log:
    """Gathers the training curve and passes signs of life on, at most one a second between epochs."""

    def __init__(self, send: Send, recipe: str, epochs: int | None) -> None:
        """Start with the recipe's name and its budget."""
        self.curve: list[dict[str, float]] = []
        self._recipe, self._budget = recipe, epochs
        self._send = send
        self._last = 0.0

    def __call__(self, *, epoch: float | None = None, epochs: int | None = None, **values: float) -> None:
        """See `FitRun.log`."""
        if self._budget is not None and epoch is not None:
            check_epoch(self._recipe, epoch, self._budget)
        whole = epoch is not None and float(epoch).is_integer() and bool(values)
        if whole and epoch is not None:
            self.curve.append({"epoch": float(epoch), **{name: float(value) for name, value in values.items()}})
        if whole or time.monotonic() - self._last > SIGN_SECONDS:
            self._last = time.monotonic()
            self._send(Progress(epoch=epoch, epochs=epochs, stage="training"))


def run_quality(job: CellJob, catalog: Catalog, folder: Path, send: Send) -> CellResult:
    """Run a quality cell, and leave its files in a folder; errors are raised and handled in worker/cell.py."""
    planned, cell, info = job.planned, job.planned.cell, job.planned.data
    assert isinstance(cell, QualityCell)
    assert info is not None
    num_classes, device = planned.outputs, torch.device(planned.device)
    spec = catalog.member(cell.model)
    recipe = catalog.recipe(cell.recipe).spec
    log, began = _Log(send, cell.recipe, cell.epochs), time.monotonic()
    with runtime(precision=cell.precision, threads=cell.threads, seed=cell.seed, device=planned.device) as flags:
        splits = load_splits(info, limit=cell.limit, learns=recipe.trains, judged=cell.split)
        weights = weights_of(spec, cell.options, trains=recipe.trains or planned.baseline)
        how = preprocess_of(weights, planned, splits.train if recipe.trains or planned.baseline else None)
        with signs_of_life(send, "loading"):  # weights may have to be fetched
            model = build_model(planned, spec, num_classes)
        said, unsaved = facts_of(model), unsaved_buffers(model)
        start = observe(device)
        compiled_before = graphs_compiled()
        named = builder(
            catalog,
            recipe,
            cell.recipe_options,
            num_classes=num_classes,
            image_size=planned.image_size,
            in_channels=planned.in_channels,
            preprocess=how,
            statistics=lambda: statistics(splits.train),
            class_names=info.class_names,
        )

        def build(text: str) -> nn.Module:
            with signs_of_life(send, "loading"):
                return named(text)

        def say(text: str) -> None:
            send(Say(text=f"{planned.in_words}: {text}."))

        if recipe.trains and (note := _short_batches(cell, images=len(splits.train))):
            say(note)
        checkpoint = Path(job.checkpoint) if job.checkpoint else None
        pools = (splits.train, *[splits.val] * ("val" not in info.sizes))  # a split of its own has rows of its own
        held_out, steps = HeldOut(*pools, num_classes=num_classes), _budget(planned, cell).steps
        hands = Hands(None if job.probe else checkpoint, curve=log.curve, say=say, held_out=held_out, steps=steps)
        data = _train_val(planned, splits, how)
        extract = FeatureCache(planned, model, data, send, say)
        run = _fit_run(planned, cell, log, build, hands, held_out, extract)
        if job.probe:
            fit = partial(contract.call, load_target(recipe.fit), {"model": model, "data": data, "run": run})
            times = probe_training(fit, model, data, run, began=began)
            return CellResult(status="ok", evidence=times | {"val": len(splits.val), "test": len(splits.judged)})
        with counted_steps() as count, held_to_images(model, cell.recipe, epochs=cell.epochs, images=len(splits.train)):
            try:
                model = contract.call(load_target(recipe.fit), {"model": model, "data": data, "run": run})
                end = observe(device)
                model = getattr(model, "_orig_mod", model)  # of a recipe that returns it compiled
                if not isinstance(model, nn.Module):
                    raise VitbenchError(f"recipe {cell.recipe} returned {type(model).__name__}, not a torch.nn.Module")
                if recipe.trains:
                    _check_weights(model, log.curve)
            except Exception as error:
                learns = recipe.trains and not planned.baseline
                again = partial(build_model, planned, spec, num_classes)
                if learns and (fault := fault_behind(error, again, partial(_few, data), num_classes)):
                    raise fault from error
                raise
        log()
        by_folds = cell.split == "val" and len(held_out) > 0
        judged = _some(splits.judged, SAMPLED_IMAGES) if by_folds else splits.judged
        groups = planned.head.groups if planned.head else ()
        found = evaluate(GroupedOutputs(model, groups) if groups else model, planned, judged, how, log)
        if cell.compile and not planned.baseline:
            check_compiled(since=compiled_before)
        flipped = flag_reasons(flags)
    predictions, images = held_out.predictions(info.class_names) if by_folds else (found.predictions, judged)
    save_predictions(folder / PREDICTIONS, predictions)
    if fitted_head(model) is not None:
        said |= {"weights": keep_head(model, hands)}
    elif recipe.trains and not planned.baseline:
        card, anew = card_of(how, planned), meta_architecture(planned, spec, num_classes)
        if lost := keep_weights(model, folder / WEIGHTS, card, before=unsaved, architecture=anew):
            said |= {"weights": lost}
            send(Say(text=f"{planned.label}: its weights are {lost}"))
    kept = hands.write_kept(folder)
    curve = tuple(log.curve)
    steps = hands.earlier_steps + count.taken
    training = (
        _training_log(start, end, planned, cell, splits, curve, hands.earlier_seconds, steps, extract.read)
        if recipe.trains
        else None
    )
    subject = Subject(
        num_classes=len(planned.class_names),
        input_shape=(planned.in_channels, *planned.image_size),
        device=planned.device,
        precision=cell.precision,
        architecture=None if planned.baseline else meta_architecture(planned, spec, num_classes),
        predictions=predictions,
        images=images,
        training=training,
        loading=found.loading,
        agreement=found.agreement,
    )
    with signs_of_life(send, "measuring"):  # resamples may take a minute for each metric
        measured = measure(catalog, subject, "quality", options=job.metric_options)
    save_scores(folder / SCORES, measured.scores, predictions)
    doubts = () if by_folds or cell.split == "test" else _chosen_by(cell, recipe)
    return CellResult(
        status="ok",
        measurements=_doubted(measured, planned, doubts),
        doubts=doubts,
        faults=found.faults,
        warnings=(*flipped, *found.warnings, *over_budget(planned, recipe, steps), *cut_short(planned)),
        curve=curve,
        training=_without_curve(subject.training),
        preprocess=_applied(how, planned, weights.source),
        runtime=flags,
        facts=said,
        splits={"train": len(splits.train), "val": len(splits.val), "test": len(splits.test)}
        | ({HELD_OUT: len(held_out)} if by_folds else {}),
        evidence={**facts(start, end, threads=cell.threads), **hands.evidence} if recipe.trains else {},
        kept=kept,
    )


def measure_again(request: bytes, folder: Path | None, send: Send) -> CellResult:
    """Compute the metrics of a training and of stored predictions, when metrics were added or changed since."""
    assert folder is not None
    job = msgspec.msgpack.decode(request, type=MetricsJob)
    predictions = load_predictions(folder / PREDICTIONS)
    subject = Subject(
        num_classes=predictions.num_classes,
        input_shape=(job.planned.in_channels, *job.planned.image_size),
        device=job.planned.device,
        precision=job.planned.cell.precision,
        predictions=predictions,
        training=TrainingLog(**msgspec.structs.asdict(job.training), curve=job.curve) if job.training else None,
    )
    catalog = load_catalog(job.plugins)
    with signs_of_life(send, "measuring"):
        measured = measure(catalog, subject, "quality", options=job.metric_options)
    _save_again(folder / SCORES, measured, predictions)
    measurements = doubt(_doubted(measured, job.planned, job.doubts), "warn", job.warnings)
    return CellResult(
        status="ok",
        measurements=doubt(measurements, "invalid", job.faults),
        measured_by=measured_by(catalog, measurements),
    )


def _chosen_by(cell: QualityCell, recipe: RecipeSpec) -> tuple[str, ...]:
    """Say so where a recipe chose by the images that its model is judged on."""
    if not (under := recipe.chooses_under(cell.recipe_options)):
        return ()
    name = cell.recipe.partition("/")[2]
    return (f"{name} chooses by the validation images ({under}), so scores on them are too high",)


def _some(split: Split, count: int) -> Split:
    """Return so many images of a split, or all that there are, drawn with a fixed seed."""
    rows = np.sort(np.random.default_rng(0).permutation(len(split))[:count])
    return Split(images=split.images, index=split.index[rows], labels=split.labels[rows])


def _doubted(measured: Measured, planned: KeyedCell, doubts: tuple[str, ...]) -> tuple[Measurement, ...]:
    """Trust scores no more than the data; what training took of the machine is as it is.

    Args:
        measured: of a cell.
        planned: the cell.
        doubts: what else makes measurements of its predictions doubtful.
    """
    cell, data = planned.cell, planned.data
    of_data = data.doubts_on(cell.split) if data and isinstance(cell, QualityCell) else ()
    found: list[Measurement] = []
    for one in measured.measurements:
        reasons = (*(() if one.machine_bound else of_data), *(doubts if one.name in measured.predicted else ()))
        found += doubt([one], "warn", reasons)
    return tuple(found)


def _save_again(path: Path, measured: Measured, predictions: Predictions) -> None:
    """Write the scores again, with those that are there and are of nothing that was measured now."""
    now = {one.name for one in measured.measurements}
    try:
        earlier = load_scores(path)
    except StoreError:  # missing or damaged: what is not measured now has no scores
        earlier = {}
    kept = {name: scores for name, scores in earlier.items() if name not in now}
    save_scores(path, {**kept, **measured.scores}, predictions)


def _few(data: TrainVal) -> Tensor:
    """Return the input of a few training images, float32[B, C, H, W] on the CPU."""
    some = Split(images=data.train.images, index=data.train.index[:2], labels=data.train.labels[:2])
    [(images, _)] = batches(some, batch_size=2, device=torch.device("cpu"))
    return preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)


def _train_val(planned: KeyedCell, splits: Splits, how: Preprocess) -> TrainVal:
    assert planned.data is not None
    return TrainVal(
        train=splits.train,
        val=splits.val,
        class_names=planned.data.class_names,
        image_size=planned.image_size,
        in_channels=planned.in_channels,
        preprocess=how,
        augmentations=cast(tuple[Augmentation, ...], planned.data.augmentations),
        target=cast(Literal["single_label"], planned.data.target),
    )


def _fit_run(
    planned: KeyedCell,
    cell: QualityCell,
    log: Callable[..., None],
    build: Callable[[str], nn.Module],
    hands: Hands,
    held_out: HeldOut,
    extract: FeatureCache,
) -> FitRun:
    return FitRun(
        device=torch.device(planned.device),
        precision=cell.precision,
        seed=cell.seed,
        budget=_budget(planned, cell),
        options=cell.recipe_options,
        log=log,
        build=build,
        resume=hands.resume,
        save=hands.save,
        keep=hands.keep,
        out_of_fold=held_out.add,
        features=extract,
        compile=cell.compile,
        channels_last=cell.channels_last,
        judged=cell.split,
    )


def _budget(planned: KeyedCell, cell: QualityCell) -> Budget:
    """Return what the user allows the training: by the clock no number of steps."""
    allotted = planned.allotted
    if allotted is None:
        return Budget(epochs=cell.epochs, seconds=cell.budget)  # of a probe, which no training may be shorter than
    by_time = bool(cell.recipe_options.get("by_time"))
    return Budget(epochs=cell.epochs, steps=None if by_time else allotted.steps, seconds=allotted.seconds)


def _short_batches(cell: QualityCell, *, images: int) -> str:
    """Say so where there are fewer training images than a recipe's batch is to have; empty: there are enough."""
    asked = cell.recipe_options.get("batch_size")
    if not isinstance(asked, int) or asked <= images:
        return ""
    return f"batch_size {asked} exceeds the {images} training images; each batch holds all {images}"


def _check_weights(model: nn.Module, curve: Sequence[Mapping[str, float]]) -> None:
    """Refuse a model whose training did not end in numbers, whatever its recipe made of that.

    Raises:
        DivergedError: a parameter or a buffer has nan.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point() and tensor.isnan().any():
            lost = [row["epoch"] for row in curve if not math.isfinite(row.get("loss", 0.0))]
            since = f", and its loss is not finite from epoch {lost[0]:g} on" if lost else ""
            raise DivergedError(f"the trained model has nan in {name}{since}; lower the recipe's learning rate")


def _training_log(
    start: Moment,
    end: Moment,
    planned: KeyedCell,
    cell: QualityCell,
    splits: Splits,
    curve: tuple[dict[str, float], ...],
    earlier_seconds: float,
    steps: int,
    known: int,
) -> TrainingLog:
    """Return what `fit` took in all attempts, and what disturbed the last one; it found `known` images' features."""
    warnings, errors = disturbances(start, end, threads=cell.threads, on_cpu=planned.device == "cpu")
    if earlier_seconds:
        warnings = [
            *warnings,
            f"{earlier_seconds:.0f} s of it in killed attempts, which were not observed",
        ]
    if known:
        warnings = [*warnings, f"the features of {known:,} images were extracted by an earlier run"]
    warnings = [*warnings, *filter(None, [waited(curve)])]
    return TrainingLog(
        seconds=earlier_seconds + end.wall - start.wall,
        images=len(splits.train),
        steps=steps,
        curve=curve,
        warnings=tuple(warnings),
        errors=tuple(errors),
    )


def _without_curve(log: TrainingLog | None) -> Training | None:
    """Return a log as a record keeps it."""
    if log is None:
        return None
    return Training(seconds=log.seconds, images=log.images, steps=log.steps, warnings=log.warnings, errors=log.errors)


def _applied(how: Preprocess, planned: KeyedCell, source: str) -> PreprocessInfo:
    return PreprocessInfo(
        mean=how.mean,
        std=how.std,
        interpolation=how.interpolation,
        crop_fraction=how.crop_fraction,
        crop_mode=how.crop_mode,
        image_size=planned.image_size,
        in_channels=planned.in_channels,
        source=source or "the training split",
    )
