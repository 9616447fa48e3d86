"""Checks of figures: good ones pass them all, and each bad one is caught by the check that names its fault."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from vitbench import Measurement, Skip, UsageError
from vitbench.figures import FigureSubject, Grid, Matrix, Points, Scale, Tile
from vitbench.specs import FigureSpec, Option
from vitbench.testing import FigureCase, Outcome, checks_for, run_checks
from vitbench.testing.figure_subjects import FIRST, KINDS, FigureScene, subject_of

Draw = Callable[..., Any]
UNIT = Scale(label="weight", low=0.0, high=1.0)


def run(draw: Draw, *, only: str = "", **fields: Any) -> dict[str, Outcome]:
    spec = FigureSpec(**{"name": "looks", "draw": draw, "summary": "Where it looks", **fields})
    checks = checks_for("mine/looks", FigureCase(spec=spec))
    return {one.check: one for one in run_checks([check for check in checks if only in ("", check.name)])}


def failed(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.reason for name, outcome in outcomes.items() if outcome.status == "failed"}


def skipped(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.reason for name, outcome in outcomes.items() if outcome.status == "skipped"}


def grid(**fields: Any) -> Grid:
    tile = Tile(values=np.ones((2, 2)))
    return Grid(**{"title": "Ones", "tiles": (tile,), "columns": 1, "scale": UNIT, **fields})


# Good figures ---------------------------------------------------------------------------------------------------------


def attention(subject: FigureSubject, layer: int | None) -> Iterator[Grid | Measurement]:
    """Give the weights of each layer, or of one, on the first picture."""
    with torch.no_grad(), subject.maps() as seen:
        subject.model(subject.inputs([subject.pictures[0].pixels]))
    if layer is not None and layer >= len(seen.maps):
        raise UsageError(f"there is no layer {layer}; the model has {len(seen.maps)}")
    for number, one in enumerate(seen.maps):
        if layer in (None, number):
            values = one.weights[0].mean(0).cpu().numpy()
            yield grid(title="Attention", step=f"layer {number}", tiles=(Tile(values=values, title="mean"),))
    yield Measurement(name="layers_watched", value=len(seen.maps), unit="1")


LAYER = {"layer": Option(None, type="int", minimum=0, help="Only this layer")}


def confusion(subject: FigureSubject) -> list[Matrix]:
    found, names = subject.predictions, subject.class_names
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (found.labels, found.top_classes[:, 0]), 1)
    return [
        Matrix(
            title="Confusion",
            values=counts,
            row_labels=names,
            column_labels=names,
            rows="true class",
            columns="predicted",
            scale=Scale.of(counts, "images"),
        )
    ]


def slopes(subject: FigureSubject) -> Iterator[Points]:
    """Give the gradient of an own image's likeliest class, without a trace in the model."""
    inputs = subject.inputs([subject.pictures[-1].pixels]).requires_grad_()
    (slope,) = torch.autograd.grad(subject.model(inputs).max(), inputs)
    values = slope.flatten().cpu().numpy()
    yield Points(title="Slopes", x=np.arange(len(values)), y=values, x_label="pixel", y_label="slope")


def test_a_figure_of_attention_passes_and_skips_models_without() -> None:
    outcomes = run(attention, options=LAYER)
    assert failed(outcomes) == {}
    assert set(skipped(outcomes)) <= {"check_figure_device"}


@pytest.mark.parametrize(("draw", "fields"), [(confusion, {"needs": ("predictions",)}), (slopes, {})])
def test_other_good_figures_pass(draw: Draw, fields: dict[str, Any]) -> None:
    outcomes = run(draw, **fields)
    assert failed(outcomes) == {}
    assert set(skipped(outcomes)) - {"check_figure_device", "check_figure_scale"} == {
        "check_figure_measurements",
        "check_figure_options",
        "check_figure_refuses_what_is_not_there",
    }


def test_a_figure_that_skips_all_is_skipped_with_its_own_reason() -> None:
    def decoder(subject: FigureSubject) -> Iterator[Grid]:
        if "decoder" not in subject.kept:
            raise Skip("the recipe kept no decoder")
        yield grid()

    outcomes = run(decoder, needs=("kept",))
    assert failed(outcomes) == {}
    assert outcomes["check_figure_draws"].reason == "the recipe kept no decoder"


def test_a_figure_that_lacks_a_module_or_a_file_is_skipped() -> None:
    outcomes = run(attention, requires=("no_such_module_anywhere",))
    assert set(skipped(outcomes).values()) >= {"it needs the module no_such_module_anywhere, which is not installed"}

    def read(subject: FigureSubject, concepts: str) -> list[Grid]:
        if not concepts:
            raise UsageError("give concepts=FILE")
        return [grid()]

    reason = run(read, options={"concepts": Option("", kind="file")})["check_figure_draws"].reason
    assert reason == "its option concepts needs a file, which the kit does not have: give concepts=FILE"


# The subjects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", KINDS, ids=lambda scene: scene.name)
def test_a_subject_is_what_its_types_say(scene: FigureScene) -> None:
    subject = subject_of(scene, ("predictions", "kept"))
    images = [picture.pixels for picture in subject.pictures]
    inputs = subject.inputs(images)
    assert inputs.shape == subject.pixels(images).shape == (len(images), *subject.input_shape)
    assert subject.pixels(images).dtype == np.uint8
    with torch.no_grad():
        logits = subject.model(subject.inputs([subject.images.images[row] for row in subject.images.index]))
    found = subject.predictions
    np.testing.assert_array_equal(logits.argmax(1), found.top_classes[:, 0])
    assert found.index.tolist() == list(range(FIRST, FIRST + len(found.labels)))
    right = float((found.top_classes[:, 0] == found.labels).mean())
    assert right == 1.0 if scene.classes == 2 else 0.3 < right < 1.0
    assert not subject.model.training
    first, again, other = (subject.fresh(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("scene", KINDS, ids=lambda scene: scene.name)
def test_a_subject_takes_another_size_or_says_that_it_does_not(scene: FigureScene) -> None:
    channels, height, width = scene.input_shape
    subject = subject_of(scene)
    if scene.name not in ("a Vision Transformer", "a convolutional network"):
        with pytest.raises(Skip, match=f"alone, not {2 * height}x{2 * width}"):
            subject.resized(2 * height, 2 * width)
        return
    with torch.no_grad():
        logits = subject.resized(2 * height, 2 * width)(torch.rand(1, channels, 2 * height, 2 * width))
    assert logits.shape == (1, scene.classes)


# Bad figures, each by the check that must catch it --------------------------------------------------------------------


def downloads(subject: FigureSubject) -> list[Grid]:
    with urllib.request.urlopen("http://names.example/classes.txt") as answer:
        return [grid(title=answer.read())]


def connects(subject: FigureSubject) -> list[Grid]:
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=1).close()
    except OSError:
        return [grid()]
    return [grid(title="online")]


def needs_attention(subject: FigureSubject) -> list[Grid]:
    return [grid(title=f"{len(subject.model.blocks)} blocks")]


def noisy(subject: FigureSubject) -> list[Grid]:
    return [grid(tiles=(Tile(values=torch.rand(2, 2).numpy()),))]


def of_all_cached(subject: FigureSubject) -> list[Grid]:
    return [grid(tiles=(Tile(pixels=subject.images.images.mean(0).astype(np.uint8)),), scale=None)]


def trains(subject: FigureSubject) -> list[Grid]:
    subject.model.train()
    return [grid()]


def prunes(subject: FigureSubject) -> list[Grid]:
    with torch.no_grad():
        next(subject.model.parameters()).flatten()[0] += 1
    return [grid()]


def backward(subject: FigureSubject) -> list[Grid]:
    subject.model(subject.inputs([subject.pictures[0].pixels])).sum().backward()
    return [grid()]


def hooks(subject: FigureSubject) -> list[Grid]:
    next(subject.model.children()).register_forward_hook(lambda *_: None)
    return [grid()]


def freezes(subject: FigureSubject) -> list[Grid]:
    subject.model.requires_grad_(False)
    return [grid()]


def patches(subject: FigureSubject) -> list[Grid]:
    subject.model.forward = lambda images: images
    return [grid()]


def inverts(subject: FigureSubject) -> list[Grid]:
    pixels = subject.pictures[0].pixels
    np.subtract(255, pixels, out=pixels)
    return [grid(tiles=(Tile(pixels=pixels),), scale=None)]


def scales_kept(subject: FigureSubject) -> list[Grid]:
    next(iter(subject.kept["of-the-kit"].values())).mul_(2)
    return [grid()]


def halves(subject: FigureSubject) -> list[Grid]:
    torch.set_grad_enabled(False)
    return [grid()]


def picky(subject: FigureSubject, method: str) -> list[Grid]:
    return [grid(title={"mean": "Mean"}[method])]


def clamps(subject: FigureSubject, target: int) -> list[Grid]:
    return [grid(title=subject.class_names[min(target, subject.num_classes - 1)])]


def index_of(subject: FigureSubject, target: int) -> list[Grid]:
    return [grid(title=subject.class_names[target])]


def measured(**fields: Any) -> Draw:
    given = Measurement(**{"name": "area", "value": 0.5, "unit": "fraction", **fields})
    return lambda subject: [grid(), given]


BAD: dict[str, tuple[str, str, Draw, dict[str, Any]]] = {
    "downloads": ("check_figure_offline", "draw asks names.example of the network; ship", downloads, {}),
    "connects and goes on": ("check_figure_offline", "draw asks 192.0.2.1 of the network", connects, {}),
    "needs attention": (
        "check_figure_draws",
        "draw raised AttributeError: '_Encoder' object has no attribute 'blocks' (test_figures.py, line ",
        needs_attention,
        {},
    ),
    "needs what it does not say": ("check_figure_draws", "'NoneType' object has no attribute 'labels'", confusion, {}),
    "one alone": (
        "check_figure_draws",
        "draw returned one Grid; yield it, or return a list",
        lambda subject: grid(),
        {},
    ),
    "no return": ("check_figure_draws", "draw returned one NoneType; yield it", lambda subject: None, {}),
    "an array": (
        "check_figure_draws",
        "draw returned ndarray; return vitbench.figures.Grid",
        lambda subject: [np.ones(2)],
        {},
    ),
    "nothing": ("check_figure_draws", "draw returned no picture; raise Skip if", lambda subject: [], {}),
    "numbers alone": (
        "check_figure_draws",
        "draw returned no picture",
        lambda subject: [Measurement(name="area", value=1.0, unit="1")],
        {},
    ),
    "an option that it does not take": (
        "check_figure_draws",
        "draw raised TypeError: trains does not take 'layer', which its spec declares",
        trains,
        {"options": LAYER},
    ),
    "a reason of two lines": ("check_figure_draws", "draw raised Skip('no\\nlayers'); say", "no\nlayers", {}),
    "no reason": ("check_figure_draws", "draw raised Skip(''); say why in one line (a Vision Transformer)", "", {}),
    "no title": ("check_figure_words", "a Grid has no title", lambda subject: [grid(title=" ")], {}),
    "two lines": (
        "check_figure_words",
        "'a\\nb' must be one line",
        lambda subject: [grid(column_labels=("a\nb",))],
        {},
    ),
    "half of a character": (
        "check_figure_words",
        "must be one line of text",
        lambda subject: [grid(note="\ud800")],
        {},
    ),
    "twice the same": (
        "check_figure_words",
        '2 pictures are called "Ones", "layer 1"; give each its own step or title',
        lambda subject: [grid(step="layer 1"), grid(step="layer 1", note="again"), grid(step="layer 2")],
        {},
    ),
    "beyond its scale": (
        "check_figure_scale",
        '"Ones" has values from 1 to 1, its scale goes from 0 to 0.5; widen it',
        lambda subject: [grid(scale=Scale(label="weight", low=0.0, high=0.5))],
        {},
    ),
    "the same measurement twice": (
        "check_figure_measurements",
        'draw returned "area" 2 times',
        lambda subject: [grid(), *[Measurement(name="area", value=1.0, unit="1")] * 2],
        {},
    ),
    "an odd name": ("check_figure_measurements", "'area %' must be letters, digits", measured(name="area %"), {}),
    "no unit": ("check_figure_measurements", 'area has no unit; give one, "1" for', measured(unit=""), {}),
    "not a number": ("check_figure_measurements", "area is nan; give None", measured(value=float("nan")), {}),
    "no value": ("check_figure_measurements", "area has no value and no reason", measured(value=None), {}),
    "outside of its interval": (
        "check_figure_measurements",
        "area is 0.5, outside of its interval from 0.6 to 0.7",
        measured(low=0.6, high=0.7),
        {},
    ),
    "draws from the global generator": ("check_figure_repeatable", "with another seed; use a separate", noisy, {}),
    "all cached images": ("check_figure_sees_its_split", "does not name change what it gives", of_all_cached, {}),
    "train mode": ("check_figure_leaves_model", "draw changed the mode of the whole of the model", trains, {}),
    "changes a weight": ("check_figure_leaves_model", "draw changed the values of ", prunes, {}),
    "leaves gradients": ("check_figure_leaves_model", "draw changed the gradient of ", backward, {}),
    "leaves a hook": ("check_figure_leaves_model", "draw changed the hooks of module ", hooks, {}),
    "freezes": ("check_figure_leaves_model", "draw changed requires_grad of ", freezes, {}),
    "puts another forward": ("check_figure_leaves_model", "draw changed forward of the whole", patches, {}),
    "inverts in place": ("check_figure_leaves_inputs", "draw changed the pictures that it reads", inverts, {}),
    "scales what is kept": (
        "check_figure_leaves_inputs",
        "draw changed the kept that it reads",
        scales_kept,
        {"needs": ("kept",)},
    ),
    "leaves the grad mode": ("check_figure_leaves_flags", "draw changes torch's grad_enabled; leave", halves, {}),
    "a choice that it does not know": (
        "check_figure_options",
        "with the option method=median draw raised KeyError: 'median' (test_figures.py, line ",
        picky,
        {"options": {"method": Option("mean", choices=("mean", "median"))}},
    ),
    "another class than was asked for": (
        "check_figure_refuses_what_is_not_there",
        "with target=9999 it draws, and the model has no such target; raise vitbench.UsageError in one line (a Vision",
        clamps,
        {"options": {"target": 0}},
    ),
    "a class that there is not": (
        "check_figure_refuses_what_is_not_there",
        "with target=9999 draw raised IndexError: tuple index out of range",
        index_of,
        {"options": {"target": 0}},
    ),
}


def drawing(draw: Draw | str) -> Draw:
    """Return a function that draws, or one that skips with a reason."""
    if not isinstance(draw, str):
        return draw

    def skip(subject: FigureSubject) -> Iterator[Grid]:
        raise Skip(draw)
        yield

    return skip


@pytest.mark.parametrize("case", BAD)
def test_each_bad_figure_is_caught_by_name_and_fails_no_other_check(case: str) -> None:
    check, words, draw, fields = BAD[case]
    found = failed(run(drawing(draw), **fields))
    assert list(found) == [check]
    assert words in found[check]


def test_every_check_has_a_bad_figure() -> None:
    names = {check.name for check in checks_for("m", FigureCase(spec=FigureSpec(name="f", draw=trains, summary="x")))}
    assert {check for check, *_ in BAD.values()} == names - {"check_figure_device"}
