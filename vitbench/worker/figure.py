"""A figure cell: the trained model is rebuilt from its weights, a plugin looks into it, and what it gives is kept."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitbench import contract
from vitbench.catalog import Catalog
from vitbench.catalog.provenance import first_missing
from vitbench.data.fitting import fitted
from vitbench.data.geometry import filling
from vitbench.data.splits import Splits, load_splits
from vitbench.errors import Skip, StoreError, UnusableError, VitbenchError
from vitbench.execution.executor import Send
from vitbench.execution.messages import FIGURES, PREDICTIONS, WEIGHTS, CellJob, CellResult, kept_file
from vitbench.figures import FigureSubject, Grid, Matrix, Picture, Points
from vitbench.figures.files import write_figures
from vitbench.figures.own_images import read_image
from vitbench.files import sha256_of
from vitbench.measuring.predictions import load_predictions
from vitbench.protocols import Predictions, Split
from vitbench.records import FigureCell, KeyedCell, Measurement
from vitbench.specs import FigurePart, FigureSpec, ModelSpec, Preprocess, load_target
from vitbench.training import preprocess
from vitbench.training.card import read_card
from vitbench.training.checkpoint import load_checkpoint, read_state
from vitbench.worker.build import build_model
from vitbench.worker.heads import GroupedOutputs
from vitbench.worker.heartbeat import signs_of_life
from vitbench.worker.keeping import HEAD, with_kept_head
from vitbench.worker.runtime import runtime
from vitbench.worker.weights import preprocess_of, weights_of

__all__ = ["run_figure"]

PICTURES = 8
"""Images that a figure is offered: one of each class, where there are so many classes."""

_LACKING: dict[FigurePart, str] = {
    "predictions": "the training stored no predictions",
    "kept": "its recipe stored no tensors besides the weights",
}
"""Why a figure that needs a part is skipped."""

Pixels = NDArray[np.uint8]


def run_figure(job: CellJob, catalog: Catalog, folder: Path, send: Send) -> CellResult:
    """Run a figure cell, and leave its pictures in a folder; errors are raised and handled in worker/cell.py."""
    planned, cell = job.planned, job.planned.cell
    assert isinstance(cell, FigureCell)
    spec = catalog.figure(cell.figure).spec
    with runtime(precision="float32", threads=cell.threads, seed=cell.seed, device=planned.device) as flags:
        try:
            if missing := first_missing(spec.requires):
                raise Skip(f"it needs the module {missing}, which is not installed")
            with signs_of_life(send, "drawing"):
                subject = _subject(job, catalog, cell)
                if lacking := [part for part in spec.needs if not getattr(subject, part)]:
                    raise Skip(_LACKING[lacking[0]])
                figures, measured = _drawn(spec, cell, subject)
        except Skip as skip:
            return CellResult(status="skipped", reason=str(skip), runtime=flags)
    write_figures(folder / FIGURES, figures)
    return CellResult(status="ok", measurements=measured, runtime=flags, pictures=len(figures))


def _drawn(
    spec: FigureSpec, cell: FigureCell, subject: FigureSubject
) -> tuple[tuple[Grid | Matrix | Points, ...], tuple[Measurement, ...]]:
    """Return what a plugin draws of a subject.

    Raises:
        Skip: it does not concern the model.
        VitbenchError: it gives something else, or no picture.
    """
    given: object = contract.call(load_target(spec.draw), {"subject": subject}, dict(cell.figure_options))
    if not isinstance(given, Iterable):
        raise VitbenchError(f"figure {cell.figure} returned {type(given).__name__}, not several figures; yield each")
    figures: list[Grid | Matrix | Points] = []
    measured: list[Measurement] = []
    for one in given:
        if isinstance(one, Measurement):
            measured.append(one)
        elif isinstance(one, (Grid, Matrix, Points)):
            figures.append(one)
        else:
            raise VitbenchError(f"figure {cell.figure} returned {type(one).__name__}, not a figure or a Measurement")
    if not figures:
        raise VitbenchError(f"figure {cell.figure} returned no picture; raise Skip with the reason if there is none")
    return tuple(figures), tuple(measured)


def _subject(job: CellJob, catalog: Catalog, cell: FigureCell) -> FigureSubject:
    planned, info, device = job.planned, job.planned.data, torch.device(job.planned.device)
    assert info is not None
    spec, trains = catalog.member(cell.model), catalog.recipe(cell.recipe).spec.trains
    num_classes = planned.outputs
    try:
        splits = load_splits(info, limit=cell.of.limit, learns=False, judged=cell.of.split)
    except OSError as error:
        raise Skip(f"its images are no longer in the cache {info.cache}; run the training again") from error
    predictions = _predictions(job.trained.get(PREDICTIONS))
    shown = _predicted(splits, predictions)
    weights = weights_of(spec, cell.options, trains=trains)
    stored, head = job.trained.get(WEIGHTS), job.trained.get(kept_file(HEAD))
    if trains and stored is None and head is None:
        raise Skip("its trained weights were not stored")
    if not trains or stored is None:
        _check_files(planned)
    groups = planned.head.groups if planned.head else ()

    def placed(model: nn.Module) -> nn.Module:
        return (GroupedOutputs(model, groups) if groups else model).to(device).eval()

    def fresh(seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return placed(build_model(_weightless(planned), spec, num_classes))

    # First: it says what is wrong with damaged weights, and random ones are drawn as they were.
    model = placed(_trained(planned, spec, num_classes, stored, head))
    how = _how(stored) if stored else preprocess_of(weights, planned, splits.train if trains else None)
    channels = (info.shape[0], planned.in_channels)
    make = partial(_inputs, how=how, image_size=planned.image_size, in_channels=planned.in_channels, device=device)
    return FigureSubject(
        name=planned.label,
        model=model,
        device=str(device),
        input_shape=(planned.in_channels, *planned.image_size),
        class_names=planned.class_names,
        inputs=make,
        pixels=partial(_pixels, how=how, image_size=planned.image_size),
        fresh=fresh,
        resized=lambda height, width: placed(_resized(planned, spec, num_classes, stored, head, (height, width))),
        pictures=_own(cell.images, channels[0]) if cell.images else _some_of(shown, info.class_names),
        images=shown,
        predictions=predictions,
        kept=_kept(job.trained),
    )


def _check_files(planned: KeyedCell) -> None:
    """Refuse to show weights other than those that were scored.

    Raises:
        Skip: the file of an option of the model is gone, or another one.
    """
    for name, known in planned.provenance.files.items():
        role, _, option = name.partition(".")
        path = planned.cell.options.get(option)
        if role != "model" or not isinstance(path, str) or not path:
            continue
        try:
            same = sha256_of(Path(path)) == known
        except OSError as error:
            raise Skip(f"its {option} {path} can no longer be read: {error.strerror}") from error
        if not same:
            raise Skip(f"its {option} {path} is not the file that was scored; run the training again")


def _weightless(planned: KeyedCell) -> KeyedCell:
    """Return the cell with random weights: those of the hub, or of a file, would be overwritten."""
    return msgspec.structs.replace(planned, hub="away")


def _trained(planned: KeyedCell, spec: ModelSpec, num_classes: int, stored: str | None, head: str | None) -> nn.Module:
    """Return the model with its trained weights; where none were stored, as it was built, perhaps with a new head."""
    if stored is None:
        model = build_model(planned, spec, num_classes)
        if head is None:
            return model
        size = (2, planned.in_channels, *planned.image_size)
        return with_kept_head(model, head, torch.linspace(-1, 1, math.prod(size)).view(size))
    model = build_model(_weightless(planned), spec, num_classes)
    load_checkpoint(model, stored)
    return model


def _resized(
    planned: KeyedCell,
    spec: ModelSpec,
    num_classes: int,
    stored: str | None,
    head: str | None,
    size: tuple[int, int],
) -> nn.Module:
    """Return the trained model for an input of another size.

    Where its weights do not fit as they are, positions most likely, its own option ``checkpoint`` brings them there.

    Raises:
        Skip: it takes no such input.
    """
    if not spec.takes_sizes:
        raise Skip(f"the model takes no input of {size[0]}x{size[1]}")
    larger = msgspec.structs.replace(planned, image_size=size)
    try:
        try:
            return _trained(larger, spec, num_classes, stored, head)
        except UnusableError:
            if stored is None or "checkpoint" not in spec.declared:
                raise
        cell = larger.cell
        assert isinstance(cell, FigureCell)
        options = {**cell.options, "checkpoint": stored}
        of = msgspec.structs.replace(cell.of, options=options)
        larger = msgspec.structs.replace(larger, cell=msgspec.structs.replace(cell, of=of), hub="")
        model = build_model(larger, spec, num_classes)
        # The option may give a new head, to be trained: what fits is taken as it was trained.
        wanted = model.state_dict()
        fitting = {name: tensor for name, tensor in read_state(stored).items() if _shape(wanted, name) == tensor.shape}
        model.load_state_dict(fitting, strict=False)
        return model
    except (VitbenchError, ValueError, RuntimeError) as error:
        raise Skip(f"the model takes no input of {size[0]}x{size[1]}: {error}") from error


def _shape(state: Mapping[str, Tensor], name: str) -> torch.Size | None:
    return state[name].shape if name in state else None


def _how(stored: str) -> Preprocess:
    """Return the preprocessing that trained weights say of themselves."""
    card = read_card(stored)
    said = {"interpolation": card.interpolation, "crop_fraction": card.crop_fraction, "crop_mode": card.crop_mode}
    known: dict[str, Any] = {name: value for name, value in said.items() if value}
    return Preprocess(mean=card.mean, std=card.std, fill=card.fill, **known)


def _inputs(
    images: Sequence[Pixels], *, how: Preprocess, image_size: tuple[int, int], in_channels: int, device: torch.device
) -> Tensor:
    """Return images of any sizes as a model's input, one by one, since their sizes may differ."""
    batches = (torch.from_numpy(np.array(image))[None].to(device) for image in images)
    return torch.cat([preprocess(one, how, image_size=image_size, in_channels=in_channels) for one in batches])


def _pixels(images: Sequence[Pixels], *, how: Preprocess, image_size: tuple[int, int]) -> Pixels:
    """Return what `_inputs` normalises, uint8[B, C, H, W]."""

    def fit(image: Pixels) -> Pixels:
        if image.shape[1:] == image_size:
            return image
        fill = filling(how.crop_mode, how.fill or how.mean, len(image))
        return fitted(
            image,
            image_size,
            interpolation=how.interpolation,
            crop_fraction=how.crop_fraction,
            crop_mode=how.crop_mode,
            fill=fill,
        )

    return np.stack([fit(image) for image in images])


def _predicted(splits: Splits, predictions: Predictions | None) -> Split:
    """Return the images that a model was judged on: training images, where its recipe held these out."""
    judged = splits.judged
    if predictions is None or (
        np.array_equal(predictions.index, judged.index) and np.array_equal(predictions.labels, judged.labels)
    ):
        return judged
    return Split(images=splits.train.images, index=predictions.index, labels=predictions.labels)


def _some_of(judged: Split, class_names: Sequence[str]) -> tuple[Picture, ...]:
    """Return some images of a split: the first of each class, then the second, in a fixed order of images."""
    order = np.random.default_rng(0).permutation(len(judged))
    nth: dict[int, int] = {}
    ranked: list[tuple[int, int, int]] = []
    for row in order:
        label = int(judged.labels[row])
        nth[label] = nth.get(label, -1) + 1
        ranked.append((nth[label], label, int(row)))
    return tuple(
        Picture(name=class_names[label], pixels=np.array(judged.images[judged.index[row]]), label=label)
        for _, label, row in sorted(ranked)[:PICTURES]
    )


def _own(images: Mapping[str, str], channels: int) -> tuple[Picture, ...]:
    """Return a user's images in the channels of the data."""
    return tuple(Picture(name=Path(path).name, pixels=read_image(path, channels)) for path in images)


def _predictions(path: str | None) -> Predictions | None:
    if path is not None:
        with contextlib.suppress(StoreError):  # damaged: a figure that needs them says that they are not there
            return load_predictions(Path(path))
    return None


def _kept(trained: Mapping[str, str]) -> dict[str, dict[str, Tensor]]:
    """Return the tensors that the recipe kept, by the name of their file, then by their own."""
    before, after = kept_file("|").split("|")
    kept = {
        name.removeprefix(before).removesuffix(after): path for name, path in trained.items() if name.startswith(before)
    }
    return {name: dict(read_state(path)) for name, path in kept.items()}
