"""A plugin's function gets what it names, whatever is offered one day; a spec that breaks a rule can be kept."""

from __future__ import annotations

import ast
import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import factories
import pytest
import torch
from torch import Tensor, nn

import vitbench
from vitbench import contract
from vitbench.catalog import PluginSelection, load_catalog
from vitbench.catalog.plugin_files import read_files
from vitbench.catalog.selecting import select
from vitbench.contract import API, OFFERED, Declared, gathering, judge, tolerant
from vitbench.data.locate import locate
from vitbench.data.opening import open_splits
from vitbench.protocols import Subject
from vitbench.pytest_plugin.model import BenchmarkConditions, given_model
from vitbench.specs import MeasurementSpec, MetricSpec, ModelSpec, Option, Preprocess
from vitbench.testing import run_checks
from vitbench.testing.plan import checks_of
from vitbench.worker.build import build_model, meta_architecture
from vitbench.worker.metrics import measure

# Calls ----------------------------------------------------------------------------------------------------------------

LATER = {"first_later": 1, "second_later": 2, "third_later": 3}
STYLES: dict[str, str] = {
    "keywords": "def f(*, {names}):\n    return dict({passed})",
    "by place": "def f({names}):\n    return dict({passed})",
    "by place alone": "def f({names}, /):\n    return dict({passed})",
    "with defaults of its own": "def f(*, {names}, deep=False):\n    assert not deep\n    return dict({passed})",
    "passed on": "def f(**given):\n    def g(*, {names}):\n        return dict({passed})\n    return g(**given)",
    "decorated": (
        "import functools\n"
        "def logged(g):\n"
        "    @functools.wraps(g)\n"
        "    def wrapper(*args, **kwargs):\n"
        "        return g(*args, **kwargs)\n"
        "    return wrapper\n"
        "@logged\n"
        "def f(*, {names}):\n"
        "    return dict({passed})"
    ),
    "decorated without functools.wraps": (
        "def logged(g):\n"
        "    return lambda *args, **kwargs: g(*args, **kwargs)\n"
        "@logged\n"
        "def f(*, {names}):\n"
        "    return dict({passed})"
    ),
    "a method": "class C:\n    def __call__(self, {names}):\n        return dict({passed})\nf = C()",
    "a class": "class f(dict):\n    def __init__(self, *, {names}):\n        super().__init__({passed})",
    "a partial": (
        "import functools\ndef g(deep, *, {names}):\n    return dict({passed})\nf = functools.partial(g, True)"
    ),
}


@pytest.mark.parametrize("style", STYLES)
def test_a_function_of_contract_1_runs_when_three_more_arguments_are_offered(style: str) -> None:
    for role in [role for role, names in OFFERED.items() if names]:
        own = {"width": 8} if role in ("build", "open") else {}
        names = [*OFFERED[role], *own]
        space: dict[str, Any] = {}
        code = STYLES[style].format(names=", ".join(names), passed=", ".join(f"{name}={name}" for name in names))
        exec(code, space)
        offered = {name: f"the {name}" for name in OFFERED[role]}
        assert contract.call(space["f"], offered, own, later=LATER) == {**offered, **own}, role


def test_a_function_may_leave_out_what_it_does_not_need_and_name_what_came_later() -> None:
    assert contract.call(lambda: "nothing", {"root": 1}) == "nothing"
    assert contract.call(lambda split: split, {"root": 1, "split": "train"}) == "train"
    assert contract.call(lambda *, third_later=None: third_later, {"root": 1}, later=LATER) == 3
    assert contract.call(lambda *, third_later=None: third_later, {"root": 1}) is None


def test_an_option_goes_before_what_is_offered_later_under_its_name() -> None:
    def build(*, num_classes: int, third_later: int) -> tuple[int, int]:
        return num_classes, third_later

    assert contract.call(build, {"num_classes": 7}, {"third_later": 30}, later=LATER) == (7, 30)


def test_what_is_collected_never_grows() -> None:
    def build(*, num_classes: int, **rest: int) -> dict[str, int]:
        return rest

    offered = {"num_classes": 7, "image_size": 8}
    assert contract.call(build, offered, {"width": 2}, later=LATER) == {"image_size": 8, "width": 2}


def test_what_a_partial_has_set_is_not_offered_and_an_option_goes_before_it() -> None:
    def build(*, num_classes: int, third_later: int, width: int) -> tuple[int, int, int]:
        return num_classes, third_later, width

    given = functools.partial(build, third_later=30, width=1)
    assert contract.call(given, {"num_classes": 7}, {"width": 2}, later=LATER) == (7, 30, 2)


def test_a_wrapper_that_passes_no_keywords_on_is_given_what_it_names_itself() -> None:
    def inner(*, num_classes: int, image_size: int) -> tuple[int, int]:
        return num_classes, image_size

    @functools.wraps(inner)
    def wrapper(*, num_classes: int) -> tuple[int, int]:
        return inner(num_classes=num_classes, image_size=32)

    assert contract.call(wrapper, {"num_classes": 7, "image_size": 8}) == (7, 32)


def test_a_wrapper_may_bring_an_argument_of_its_own() -> None:
    def inner(*, num_classes: int, verbose: bool) -> tuple[int, bool]:
        return num_classes, verbose

    @functools.wraps(inner)
    def wrapper(**given: Any) -> tuple[int, bool]:
        return inner(verbose=True, **given)

    assert contract.call(wrapper, {"num_classes": 7, "image_size": 8}) == (7, True)


def test_a_module_that_passes_its_sizes_on_is_a_build_function() -> None:
    class Base(nn.Module):
        def __init__(self, *, num_classes: int, in_channels: int) -> None:
            super().__init__()
            self.given = (num_classes, in_channels)

    class Net(Base):
        def __init__(self, **sizes: int) -> None:
            sizes.pop("image_size")
            super().__init__(**sizes)

    offered = {"num_classes": 7, "image_size": 8, "in_channels": 3}
    assert contract.call(Net, offered, later=LATER).given == (7, 3)


@pytest.mark.parametrize(
    ("function", "own", "words"),
    [
        (
            lambda image_sizes: 0,
            {},
            "takes 'image_sizes', which it is not given. Did you mean \"image_size\"? It may take: image_size",
        ),
        (lambda image_size, /, depth: 0, {}, "takes 'depth', which it is not given. It may take: image_size"),
        (functools.partial(lambda depth, image_size: 0), {}, "<lambda> takes 'depth', which it is not given."),
        (lambda image_size: 0, {"depth": 2}, "does not take 'depth', which its spec declares"),
        (print, {"depth": 2}, "print does not take 'depth', which its spec declares"),
        (dict, {}, "dict has no signature that Python can read; wrap it in a Python function"),
    ],
)
def test_what_cannot_be_called_is_told_in_words(function: Any, own: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError) as caught:
        contract.call(function, {"image_size": 8}, own)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({}, "It may take: image_size; declare its own arguments in the spec's `options`, or a model's `arguments`"),
        ({"width": 2}, "It may take: image_size, width; declare its own arguments in the spec's `options`"),
        (None, "It may take: image_size"),
    ],
)
def test_an_argument_that_is_not_given_is_to_be_declared_where_a_spec_can(
    own: dict[str, Any] | None, words: str
) -> None:
    with pytest.raises(TypeError) as caught:
        contract.call(lambda depth, **_: 0, {"image_size": 8}, own)
    assert words in str(caught.value)
    assert own is not None or str(caught.value).endswith(words)


def test_what_the_function_raises_is_its_own() -> None:
    def build(*, num_classes: int) -> None:
        raise KeyError("depth")

    with pytest.raises(KeyError, match="depth"):
        contract.call(build, {"num_classes": 7})


PLUGIN = """
import numpy as np
import torch
from torch import nn

import vitbench
from vitbench.figures import Grid, Tile
from vitbench.training import batches, preprocess


@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="net", build=build, summary="A net", options={"width": 4})
    yield vitbench.ModelSpec(name="nets-*", build=build, summary="Nets", resolve=resolve, members=members)


@vitbench.hookimpl
def vitbench_datasets():
    yield vitbench.DatasetSpec(name="shades", open=open, summary="Shades", needs_root=False)
    yield vitbench.DatasetSpec(name="layout", open=open, summary="A layout", detect=detect)


@vitbench.hookimpl
def vitbench_recipes():
    yield vitbench.RecipeSpec(name="few", fit=fit, summary="A few steps")


@vitbench.hookimpl
def vitbench_metrics():
    yield vitbench.MetricSpec(
        name="of_all", measure=measure, unit="1", better="lower", needs="architecture", summary="Parameters"
    )


@vitbench.hookimpl
def vitbench_figures():
    yield vitbench.FigureSpec(name="first", draw=draw, summary="The first image")


def build(*, num_classes, image_size, in_channels, width):
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(4 * width, num_classes),
    )


def resolve(name):
    if not name.startswith("nets-w"):
        raise LookupError(f"there is no net {name} in this family")
    return vitbench.ModelSpec(name=name, build=build, summary="A net", arguments={"width": int(name[6:])})


def members(pattern):
    return [f"nets-w{width}" for width in (2, 4)]


class Shades:
    class_names = ("dark", "light")

    def __init__(self, count):
        self.labels = np.arange(count, dtype=np.int64) % 2
        noise = np.random.default_rng(count).integers(0, 128, size=(count, 1, 8, 8))
        self.pixels = (noise + 127 * self.labels[:, None, None, None]).astype(np.uint8)

    def images(self, index):
        return self.pixels[index]


def open(*, root, split, download):
    return Shades(40 if split == "train" else 30)


def detect(root):
    return True


def fit(model, data, run):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator(run.device).manual_seed(run.seed)
    epochs = run.budget.epochs or 2
    model.train()
    for epoch in range(epochs):
        for images, labels in batches(data.train, batch_size=16, device=run.device, generator=generator):
            inputs = preprocess(images, data.preprocess, image_size=data.image_size, in_channels=data.in_channels)
            loss = nn.functional.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        run.log(epoch=epoch + 1, epochs=epochs, loss=loss.item())
    return model


def measure(subject):
    count = sum(each.numel() for each in subject.architecture().parameters())
    yield vitbench.Measurement(name="of_all", value=float(count))


def draw(subject):
    tile = Tile(pixels=subject.pictures[0].pixels)
    yield Grid(title="The first image", tiles=(tile,), columns=1)
"""


CHECKS = {
    "check_model_logits",
    "check_family_refuses_unknown_names",
    "check_dataset_labels",
    "check_recipe_returns_model",
    "check_metric_measurements",
    "check_figure_draws",
}
"""One of each kind, which calls the function of its role."""


@pytest.mark.compute
def test_every_call_of_a_plugins_function_may_offer_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "grown.py").write_text(PLUGIN)
    offered: dict[str, set[frozenset[str]]] = {}
    call = contract.call

    def generous(
        function: Callable[..., Any],
        given: Mapping[str, Any],
        own: Mapping[str, Any] | None = None,
        *,
        later: Mapping[str, Any] | None = None,
    ) -> Any:
        offered.setdefault(function.__name__, set()).add(frozenset(given))
        return call(function, given, own, later={**(later or {}), **LATER})

    monkeypatch.setattr(contract, "call", generous)
    plugins = PluginSelection(allowed=(), files=read_files([tmp_path / "grown.py"]))
    catalog = load_catalog(plugins)
    assert catalog.problems == ()
    assert set(select(catalog, "models", "grown/nets*").members) == {"grown/nets-w2", "grown/nets-w4"}
    spec = catalog.member("grown/nets-w2")
    cell = factories.speed_cell(options={}, in_channels=1)
    assert isinstance(build_model(cell, spec, 3), nn.Module)
    architecture = meta_architecture(cell, spec, 3)
    subject = Subject(
        num_classes=3, input_shape=(1, 8, 8), device="cpu", precision="float32", architecture=architecture
    )
    [found] = measure(catalog, subject, "quality").measurements
    assert found.value == 2 * 9 + 2 + 8 * 3 + 3
    shades, layout = catalog.dataset("grown/shades").spec, catalog.dataset("grown/layout").spec
    (tmp_path / "images" / "dark").mkdir(parents=True)
    layouts, images = [("grown", layout)], tmp_path / "images"
    located = locate("own", spec=None, plugin="", layouts=layouts, data_path=images, data_root=tmp_path)
    assert located.spec is layout
    own = locate("grown/shades", spec=shades, plugin="grown", layouts=[], data_path=None, data_root=tmp_path)
    assert open_splits(own).class_names == ("dark", "light")
    outcomes = run_checks([check for check in checks_of("grown", plugins=plugins) if check.name in CHECKS])
    assert [(outcome.check, outcome.reason) for outcome in outcomes if outcome.status == "failed"] == []
    assert {outcome.check for outcome in outcomes} == CHECKS
    assert {name: set(*sets) for name, sets in offered.items() if name in OFFERED} == {
        role: set(names) for role, names in OFFERED.items() if role not in ("step", "revision", "class_names", "write")
    }


def test_no_module_calls_a_plugins_function_by_itself() -> None:
    package = Path(vitbench.__file__).parent
    direct = [
        f"{file.relative_to(package)}:{node.lineno}"
        for file in package.rglob("*.py")
        if "load_target(" in (text := file.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Call) and _loads_a_role(node.func)
    ]
    assert direct == []
    assert _loads_a_role(ast.parse("load_target(spec.build)(num_classes=2)", mode="eval").body.func)  # type: ignore[attr-defined]


def _loads_a_role(call: ast.Call) -> bool:
    """Whether this is ``load_target(....build)``, or that of another role."""
    loads = isinstance(call.func, ast.Name) and call.func.id == "load_target"
    return loads and any(isinstance(each, ast.Attribute) and each.attr in OFFERED for each in call.args)


def test_a_function_for_the_benchmark_fixture_is_called_in_the_same_way() -> None:
    class Net(nn.Module):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.head = nn.Linear(3, num_classes)

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.head(images.mean(dim=(2, 3)))
            return logits

    asked = {"mode": "inference", "batch_size": 1, "device": "cpu", "precision": "float32", "image_size": None}
    built = given_model(Net, BenchmarkConditions(**asked, num_classes=5)).build()  # type: ignore[arg-type]
    assert built(torch.zeros(2, 3, 8, 8)).shape == (2, 5)


# Specs ----------------------------------------------------------------------------------------------------------------


def model(**fields: Any) -> ModelSpec:
    return ModelSpec(**{"name": "net", "build": "mine:build", "summary": "A net", **fields})


FAULTY: dict[str, tuple[Callable[[], Declared], str]] = {
    "a rule": (lambda: model(name="a b"), "model name 'a b' must be letters"),
    "an unknown field": (
        lambda: model(bild="a:b"),
        "model net has no field 'bild'. Did you mean \"build\"? There are: ",
    ),
    "a lacking field": (lambda: ModelSpec(name="net", summary="A net"), "model net lacks build"),  # type: ignore[call-arg]
    "an option": (lambda: model(options={"depth": {1}}), "model net: option depth must default to a bool, int"),
    "a bare option": (lambda: model(options={"a": None}), "model net: option a needs a type"),
    "an option's field": (
        lambda: model(options={"depth": Option(4, hlep="x")}),  # type: ignore[call-arg]
        "model net: option depth has no field 'hlep'. Did you mean \"help\"?",
    ),
    "an option without a default": (
        lambda: model(options={"depth": Option()}),  # type: ignore[call-arg]
        "model net: option depth lacks default",
    ),
    "a preprocessing": (
        lambda: model(preprocess=Preprocess(mean=(0.5,), std=(0.0,))),
        "model net: preprocess: std must be positive",
    ),
    "a measurement": (
        lambda: MetricSpec(
            name="m",
            measure="a:b",
            unit="1",
            better="lower",
            needs="timing",
            summary="x",
            measurements=("a", MeasurementSpec(name="b", scale=-1)),
        ),
        "metric m: measurement b: scale must be a positive number, not -1",
    ),
}


@pytest.mark.parametrize("case", FAULTY)
def test_a_faulty_spec_is_kept_and_told_once_with_its_owner(case: str) -> None:
    make, words = FAULTY[case]
    with gathering() as gathered:
        spec, other = make(), model(name="other")
    assert judge(other, API) == contract.Judgement()
    judgement = judge(spec, API)
    assert str(judgement.fault).startswith(words)
    assert judgement.remarks == ()
    assert any(each is spec or any(each is part for _, part in contract.parts_of(spec)) for each in gathered)
    with pytest.raises((TypeError, ValueError)):
        make()


def test_a_faulty_spec_can_be_looked_at_by_the_code_that_made_it() -> None:
    with gathering():
        spec = model(bild="a:b", name="a b")
    assert (spec.name, spec.summary, "a b" in repr(spec)) == ("a b", "A net", True)
    assert str(judge(spec, API).fault).startswith("model a b has no field 'bild'")


def test_the_field_of_a_later_contract_is_left_out_and_named() -> None:
    with gathering():
        spec = model(homepage="https://example.org", options={"depth": Option(4, group="size")})  # type: ignore[call-arg]
    judgement = judge(spec, API + 1)
    assert judgement.fault is None
    keeps = f"needs contract {API + 1}, but this vitbench implements {API}; it is ignored"
    assert judgement.remarks == (
        f"model net: option depth: the field 'group' {keeps}",
        f"model net: the field 'homepage' {keeps}",
    )
    assert (spec.name, spec.defaults) == ("net", {"depth": 4})
    assert "has no field 'group'" in str(judge(spec, API).fault)


def test_a_later_contract_excuses_no_broken_rule() -> None:
    with gathering():
        spec = model(homepage="https://example.org", image_size=0)
    assert "image_size must be" in str(judge(spec, API + 1).fault)


def test_gathering_ends_where_it_ends() -> None:
    with contextlib.suppress(RuntimeError), gathering():
        model(name="a b")
        raise RuntimeError
    with pytest.raises(ValueError, match="must be letters"):
        model(name="a b")


def test_a_sound_spec_is_the_same_whether_gathered_or_not() -> None:
    with gathering() as gathered:
        spec = model(options={"depth": 4})
    assert gathered == []
    assert spec == model(options={"depth": 4})
    assert replace(spec, name="other") == model(name="other", options={"depth": 4})


def test_a_later_contract_may_add_a_field_by_a_subclass() -> None:
    @tolerant
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Grown(ModelSpec):
        homepage: str = ""
        notes: tuple[str, ...] = field(default=())

    with gathering() as gathered:
        spec = Grown(name="net", build="mine:build", summary="A net", homepage="https://example.org")
    assert (gathered, spec.homepage, judge(spec, 2).remarks) == ([], "https://example.org", ())
    assert vitbench.API == API


def test_a_square_computes_as_its_side() -> None:
    def build(image_size):  # type: ignore[no-untyped-def]
        return image_size, image_size**2, image_size // 16, image_size % 16, int(image_size), image_size[1]

    assert contract.call(build, {"image_size": (40, 40)}) == ((40, 40), 1600, 2, 8, 40, 40)


def test_a_rectangle_is_no_number() -> None:
    with pytest.raises(
        ValueError, match=r"^the input is 40x32, not a square: use image_size\[0\] and image_size\[1\]$"
    ):
        contract.call(lambda image_size: image_size // 16, {"image_size": (40, 32)})
