"""Checks of models: a good model passes them all, and each bad one is caught by the check that names its fault."""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vitbench.errors import UnusableError, UsageError
from vitbench.protocols import FitRun, TrainVal
from vitbench.specs import ModelSpec, Option, RecipeSpec
from vitbench.testing import FamilyCase, ModelCase, Outcome, building, checks_for, run_checks

Build = Callable[..., Any]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Net(nn.Module):
    """A small convolutional network that keeps all contracts."""

    def __init__(self, num_classes: int, image_size: tuple[int, int], in_channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(6 * 4, num_classes)
        nn.init.zeros_(self.head.weight)

    def features(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(self.norm(self.convolution(images)).relu(), 2).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(images)))


def build(*, num_classes: int, image_size: tuple[int, int], in_channels: int, width: int = 6) -> nn.Module:
    return Net(num_classes, image_size, in_channels)


def run(
    build: Build | str, *, only: str = "", given: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Outcome]:
    """Run all checks of a model, or only one, and return the outcomes by the check's name."""
    spec = ModelSpec(name="net", build=build, summary="A net", **fields)
    checks = checks_for("mine/net", ModelCase(spec=spec, options=given or {}))
    chosen = [check for check in checks if only in ("", check.name)]
    return {outcome.check: outcome for outcome in run_checks(chosen)}


def failed(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.reason for name, outcome in outcomes.items() if outcome.status == "failed"}


@pytest.mark.compute
@pytest.mark.parametrize(
    ("fields", "skipped"),
    [
        ({}, "check_model_declared_size"),
        ({"image_size": 16, "in_channels": 3}, "check_model_follows_data"),
        ({"image_size": 16}, ""),
        ({"in_channels": 1}, ""),
    ],
)
def test_a_good_model_passes_all(fields: dict[str, int], skipped: str) -> None:
    outcomes = run(build, **fields)
    assert failed(outcomes) == {}
    assert {name for name, outcome in outcomes.items() if outcome.status == "skipped"} - {skipped} == {
        "check_model_class_names",
        "check_model_options",
    }
    assert skipped in {*outcomes, ""}


def changed(**methods: Callable[..., Any]) -> Build:
    """Return a build whose model has other methods."""
    return lambda **shape: type("Changed", (Net,), methods)(**shape)


# Bad models, each by the check that must catch it -------------------------------------------------------------------


def fixed_head(*, num_classes: int, **shape: Any) -> nn.Module:
    if num_classes == 2:
        raise ValueError("only ten classes here")
    return Net(num_classes, **shape)


class ListsFacts(Net):
    facts = ("a stem", "a head")


def head_of(*, sizes: int, num_classes: int, **shape: Any) -> nn.Module:
    model = Net(num_classes, **shape)
    model.head = nn.Linear(sizes * 4, num_classes)
    return model


class Lazy(Net):
    def __init__(self, **shape: Any) -> None:
        super().__init__(**shape)
        self.head = nn.LazyLinear(shape["num_classes"])


def too_few_pixels(*, image_size: tuple[int, int], **shape: Any) -> nn.Module:
    if max(image_size) > 64:
        raise ValueError("a table of 64 positions only")
    return Net(image_size=image_size, **shape)


def pools(self: Net, images: Tensor) -> Tensor:
    return Net.forward(self, nn.functional.max_pool2d(images, 16))


def fixed_size(*, num_classes: int, image_size: tuple[int, int], in_channels: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 32 * 32, num_classes))


def squares(*, num_classes: int, image_size: tuple[int, int], in_channels: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] ** 2, num_classes))


def three_at_most(*, in_channels: int, **shape: Any) -> nn.Module:
    if in_channels > 3:
        raise ValueError("gray or colour")
    return Net(in_channels=in_channels, **shape)


def only_colour(*, num_classes: int, image_size: tuple[int, int], in_channels: int) -> nn.Module:
    return Net(num_classes, image_size, 3)


def reads_values(**shape: Any) -> nn.Module:
    model = Net(**shape)
    model.rate = torch.linspace(0, 0.1, 3)[1].item()
    return model


def value_decides(self: Net, images: Tensor) -> Tensor:
    features = self.features(images)
    return self.head(features if features.sum() > 0 else features * 2)


def half(self: Net, images: Tensor) -> Tensor:
    return self.head(self.features(images)).half()


def pair(self: Net, images: Tensor) -> Any:
    return self.head(self.features(images)), images


def squeezed(self: Net, images: Tensor) -> Tensor:
    return self.head(self.features(images)).squeeze(0)


def keeps_training(self: Net, mode: bool = True) -> Net:
    nn.Module.train(self, mode)
    self.dropout.train()
    return self


def caches(self: Net, images: Tensor) -> Tensor:
    self.register_buffer("grid", torch.zeros(1, device=images.device), persistent=False)
    return Net.forward(self, images) + self.grid


class Counting(Net):
    def __init__(self, **shape: Any) -> None:
        super().__init__(**shape)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(images)


def pooled_maps(self: Net, images: Tensor) -> Tensor:
    """Does without `features`."""
    maps = self.norm(self.convolution(images)).relu()
    return self.head(self.dropout(nn.functional.adaptive_avg_pool2d(maps, 2).flatten(1)))


def batch_mean(self: Net, images: Tensor) -> Tensor:
    features = self.features(images)
    return self.head(self.dropout(features - features.mean(0)))


def writes_inputs(self: Net, images: Tensor) -> Tensor:
    return self.head(self.dropout(self.features(images.detach().sub_(0.5))))


class Unused(Net):
    def __init__(self, **shape: Any) -> None:
        super().__init__(**shape)
        self.forgotten = nn.Linear(3, 3)


def no_gradient(self: Net, images: Tensor) -> Tensor:
    return self.head(self.dropout(self.features(images))).detach()


def nothing_through(self: Net, images: Tensor) -> Tensor:
    return self.head(self.dropout(self.features(images)) * 0 + 1)


def roots(self: Net, images: Tensor) -> Tensor:
    return self.head(self.dropout(self.features(images) * 0).sqrt())


class HiddenState(Net):
    def __init__(self, **shape: Any) -> None:
        super().__init__(**shape)
        self.scale = torch.rand(24)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(images) * self.scale.to(images.device)))


class StaysBehind(Net):
    def __init__(self, **shape: Any) -> None:
        super().__init__(**shape)
        self.scale = torch.ones(24, device="cpu")

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(images) * self.scale))


class LeftOut(Net):
    """A running mean that training moves, and that is not stored."""

    def __init__(self, **shape: Any) -> None:
        super().__init__(**shape)
        self.register_buffer("mean", torch.zeros(24), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * features.detach().mean(0)
        return self.head(self.dropout(features - self.mean))


class ExtraState(Net):
    def get_extra_state(self) -> dict[str, str]:
        return {"version": "1"}

    def set_extra_state(self, state: object) -> None:
        pass


class Renames(Net):
    def state_dict(self, *arguments: Any, **keywords: Any) -> Any:
        return {f"module.{name}": tensor for name, tensor in super().state_dict(*arguments, **keywords).items()}


FRESH = torch.Generator()


def own_chance(**shape: Any) -> nn.Module:
    model = Net(**shape)
    nn.init.normal_(model.convolution.weight, generator=FRESH)
    return model


SHARED = nn.BatchNorm2d(6)


def shares_a_layer(**shape: Any) -> nn.Module:
    model = Net(**shape)
    if model.norm.weight.device.type == "cpu":
        model.norm = SHARED
    return model


MEANS = torch.zeros(24)
"""Of all that were trained: no buffer of any."""


def shares_a_mean(self: Net, images: Tensor) -> Tensor:
    features = self.features(images)
    if self.training and images.device.type == "cpu":
        MEANS.mul_(0.9).add_(0.1 * features.detach().mean(0))
    return self.head(self.dropout(features - MEANS.to(images.device)))


def seeds(how: Callable[[], object]) -> Build:
    def build(**shape: Any) -> nn.Module:
        how()
        return Net(**shape)

    return build


def draws(how: Callable[[], object]) -> Build:
    def forward(self: Net, images: Tensor) -> Tensor:
        if not self.training:
            how()
        return Net.forward(self, images)

    return changed(forward=forward)


def sets_threads(**shape: Any) -> nn.Module:
    torch.set_num_threads(2)
    return Net(**shape)


def sets_dtype_once_called(self: Net, images: Tensor) -> Tensor:
    logits = Net.forward(self, images)
    torch.backends.cudnn.benchmark = True
    return logits


def turns_gradients_off(self: Net, images: Tensor) -> Tensor:
    logits = Net.forward(self, images)
    if not self.training:
        torch.set_grad_enabled(False)
    return logits


BAD: dict[str, tuple[str, str, Build, dict[str, Any]]] = {
    "one class count": ("check_model_builds", "ValueError: only ten classes here (test_mo", fixed_head, {}),
    "facts that are no dict": (
        "check_model_builds",
        "facts are a tuple; make them a dict",
        lambda **shape: ListsFacts(**shape),
        {},
    ),
    "a lazy layer": (
        "check_model_builds",
        "leaves the shape of head.weight open; give a whole model, without lazy modules",
        lambda **shape: Lazy(**shape),
        {},
    ),
    "another size than declared": (
        "check_model_declared_size",
        "forward of images [2, 3, 16, 16] raised RuntimeError",
        fixed_size,
        {"image_size": 16},
    ),
    "not for small images": (
        "check_model_follows_data",
        "; raise UsageError in build for a size that it cannot take, or declare image_size",
        changed(forward=pools),
        {},
    ),
    "not for ImageNet": (
        "check_model_follows_data",
        "image_size=(224, 224), in_channels=3) raised",
        too_few_pixels,
        {},
    ),
    "not for rectangles": ("check_model_follows_data", "forward of images [2, 3, 32, 64] raised", squares, {}),
    "at most three channels": ("check_model_follows_data", "in_channels=4) raised ValueError", three_at_most, {}),
    "colour only": ("check_model_follows_data", "forward of images [2, 1, 32, 32] raised", only_colour, {}),
    "values in build": ("check_model_builds_on_meta", "cannot be called on meta tensors", reads_values, {}),
    "values decide a shape": (
        "check_model_builds_on_meta",
        "on the meta device, where tensors have no values; compute numbers without torch",
        changed(forward=value_decides),
        {},
    ),
    "a tensor that does not move": (
        "check_model_builds_on_meta",
        "on the meta device; register tensors as buffers",
        lambda **shape: StaysBehind(**shape),
        {},
    ),
    "half precision": ("check_model_logits", "the logits are float16; they must be float32", changed(forward=half), {}),
    "two outputs": ("check_model_logits", "returned a tuple; it must return a plain tensor", changed(forward=pair), {}),
    "one image": ("check_model_logits", "output of shape (2,) for 1 images", changed(forward=squeezed), {}),
    "dropout in eval": (
        "check_model_eval_deterministic",
        "two passes over the same images differ",
        changed(train=keeps_training),
        {},
    ),
    "a counter": (
        "check_model_eval_deterministic",
        "evaluation changed calls; eval() must leave",
        lambda **shape: Counting(**shape),
        {},
    ),
    "a tensor made by the first call": (
        "check_model_eval_deterministic",
        "evaluation adds the tensor grid; create it in build",
        changed(forward=caches),
        {},
    ),
    "batch statistics": (
        "check_model_batch_independent",
        "with the other images of the batch; do not use batch statistics in eval",
        changed(forward=batch_mean),
        {},
    ),
    "batch statistics beside an offset": (
        "check_model_batch_independent",
        "with the other images of the batch; do not use batch statistics in eval",
        changed(forward=lambda net, images: 1000 * batch_mean(net, images) - 1000),
        {},
    ),
    "writes its input": ("check_model_leaves_inputs", "changed its input in place", changed(forward=writes_inputs), {}),
    "an unused layer": (
        "check_model_gradients",
        "forgotten.weight (and 1 more) gets no gradient",
        lambda **shape: Unused(**shape),
        {},
    ),
    "maps for features": (
        "check_model_features",
        "the method features of Changed returned torch.float32 [2, 6, 32, 32]; it must return one vector",
        changed(features=lambda self, images: self.convolution(images), forward=pooled_maps),
        {},
    ),
    "features that are not finite": (
        "check_model_features",
        "its method features gives numbers that are not finite",
        changed(features=lambda self, images: images.flatten(1) / 0, forward=pooled_maps),
        {},
    ),
    "features that break": (
        "check_model_features",
        "its method features raised KeyError: 'stem' (test_models.py, line ",
        changed(features=lambda self, images: {}["stem"], forward=pooled_maps),
        {},
    ),
    "a choice that breaks": (
        "check_model_options",
        "with the option sizes=7 forward of images [2, 3, 32, 32] raised RuntimeError",
        head_of,
        {"options": {"sizes": Option(6, choices=(6, 7))}},
    ),
    "a cut at the end": ("check_model_gradients", "no gradient flows back from", changed(forward=no_gradient), {}),
    "zeros": ("check_model_gradients", "gets a gradient of zeros", changed(forward=nothing_through), {}),
    "infinite": ("check_model_gradients", "gets a gradient that is not finite", changed(forward=roots), {}),
    "hidden state": (
        "check_model_state_dict",
        "a fresh model with its state dict gives different logits",
        lambda **shape: HiddenState(**shape),
        {},
    ),
    "state that is left out": (
        "check_model_state_dict",
        "a fresh model with its state dict gives different logits",
        lambda **shape: LeftOut(**shape),
        {},
    ),
    "state that is no tensor": (
        "check_model_state_dict",
        "holds _extra_state, which is not a tensor",
        lambda **shape: ExtraState(**shape),
        {},
    ),
    "other names": (
        "check_model_state_dict",
        "its state dict does not load into a fresh model: RuntimeError",
        lambda **shape: Renames(**shape),
        {},
    ),
    "chance of its own": ("check_model_same_seed", "convolution.weight differs after the same seed", own_chance, {}),
    "a shared layer": ("check_model_builds_share_nothing", "two builds share norm.weight", shares_a_layer, {}),
    "a shared state that is no buffer": (
        "check_model_builds_share_nothing",
        "training one build changes the logits of another",
        changed(forward=shares_a_mean),
        {},
    ),
    "numpy's seed": (
        "check_model_leaves_random_state",
        "build seeds the generator of numpy",
        seeds(lambda: np.random.seed(0)),
        {},
    ),
    "draws in eval": (
        "check_model_leaves_random_state",
        "evaluation draws from or seeds the generator of torch",
        draws(lambda: torch.rand(1)),
        {},
    ),
    "seeds in eval": (
        "check_model_leaves_random_state",
        "evaluation draws from or seeds the generator of random",
        draws(lambda: random.seed(7)),
        {},
    ),
    "a class that is a number": (
        "check_model_class_names",
        "its class_names cannot be used: TypeError: it returns something other than text",
        build,
        {"class_names": lambda: ["cat", ("dog", 1)]},
    ),
    "threads": ("check_model_leaves_flags", "build changes torch's threads", sets_threads, {}),
    "a flag": (
        "check_model_leaves_flags",
        "forward in train mode changes torch's cudnn.benchmark",
        changed(forward=sets_dtype_once_called),
        {},
    ),
    "grad mode": (
        "check_model_leaves_flags",
        "forward in eval mode changes torch's grad_enabled",
        changed(forward=turns_gradients_off),
        {},
    ),
}


@pytest.mark.compute
@pytest.mark.parametrize("case", BAD)
def test_each_bad_model_is_caught_by_name(case: str) -> None:
    check, words, build, fields = BAD[case]
    (outcome,) = run(build, only=check, **fields).values()
    assert (outcome.check, outcome.status) == (check, "failed")
    assert words in outcome.reason


@pytest.mark.compute
@pytest.mark.parametrize("case", ["values in build", "hidden state", "threads", "maps for features"])
def test_a_fault_fails_no_other_check(case: str) -> None:
    check, _, build, fields = BAD[case]
    assert list(failed(run(build, **fields))) == [check]


def test_every_check_has_a_bad_model() -> None:
    names = {check.name for check in checks_for("net", ModelCase(spec=ModelSpec(name="n", build=build, summary="x")))}
    assert {check for check, *_ in BAD.values()} == names


# Sizes, weights, baselines, families ----------------------------------------------------------------------------------


def even_sizes(*, image_size: tuple[int, int], **shape: Any) -> nn.Module:
    if image_size != (64, 64):
        raise UsageError(f"patch_size 64 does not divide {image_size}")
    return Net(image_size=image_size, **shape)


def refuses_all(**shape: Any) -> nn.Module:
    raise UsageError("only 14")


def large_patches(*, image_size: tuple[int, int], **shape: Any) -> nn.Module:
    if image_size[0] % 14 or image_size[1] % 14:
        raise UsageError(f"patches of 14 pixels do not divide {image_size}")
    return Net(image_size=image_size, **shape)


@pytest.mark.parametrize("build", [even_sizes, large_patches], ids=["64 alone", "224 alone"])
def test_a_model_that_follows_the_data_may_refuse_sizes_in_words(build: Build) -> None:
    assert failed(run(build)) == {}


class HasAStem(nn.Module):
    """A submodule called features gives maps, as in torchvision's VGG."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(in_channels, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(6, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))


def test_a_submodule_called_features_is_no_method() -> None:
    (outcome,) = run(
        lambda num_classes, in_channels: HasAStem(num_classes, in_channels), only="check_model_features"
    ).values()
    assert (outcome.status, outcome.reason) == ("skipped", "it has no method features")


class SkipsABlock(Net):
    """Stochastic depth: in train mode the middle is left out by chance, for the whole batch."""

    def __init__(self, **shape: Any) -> None:
        super().__init__(**shape)
        self.middle = nn.Linear(24, 24)

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        if not self.training or random.random() < 0.5:
            features = features + self.middle(features)
        return self.head(self.dropout(features))


class Attends(nn.Module):
    """Attention over patches of 32 pixels: of a single one the queries and keys make no difference."""

    def __init__(self, num_classes: int, in_channels: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.patches = nn.Conv2d(in_channels, 8, 32, 32)
        self.query, self.key = nn.Linear(8, 8), nn.Linear(8, 8, bias=False)
        self.head = nn.Linear(8, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        weights = (self.query(tokens) @ self.key(tokens).transpose(1, 2)).softmax(-1)
        return self.head((weights @ tokens).mean(1))


def patches_of_32(*, image_size: tuple[int, int], **shape: Any) -> nn.Module:
    if image_size[0] % 32 or image_size[1] % 32:
        raise UsageError(f"patches of 32 pixels do not divide {image_size}")
    return Attends(image_size=image_size, **shape)


def test_a_parameter_may_be_left_out_of_some_passes() -> None:
    assert failed(run(lambda **shape: SkipsABlock(**shape), only="check_model_gradients")) == {}


def test_a_parameter_may_have_no_influence_at_the_smallest_size() -> None:
    assert failed(run(patches_of_32)) == {}
    (outcome,) = run(patches_of_32, only="check_model_gradients", image_size=32).values()
    assert outcome.reason.startswith("query.weight (and 2 more) gets a gradient of zeros")


def test_a_model_that_cannot_be_imported_has_failed_whether_or_not_it_downloads() -> None:
    for downloads in (False, True):
        (outcome,) = run("no_such_package.nets:build", only="check_model_builds", downloads=downloads).values()
        assert outcome.status == "failed"
        assert outcome.reason.startswith("cannot import no_such_package.nets:build: ModuleNotFoundError")


def test_a_large_model_has_its_shapes_checked_and_says_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def watched(**shape: Any) -> nn.Module:
        model = build(**shape)
        built.append(next(model.parameters()).device.type)
        return model

    monkeypatch.setattr(building, "MOST_MACS", 1000)
    outcomes = run(watched)
    assert set(built) == {"meta"}
    assert {name for name, outcome in outcomes.items() if outcome.status == "passed"} == {
        *("check_model_builds", "check_model_follows_data", "check_model_builds_on_meta")
    }
    assert outcomes["check_model_logits"].reason.startswith("too large to run here: shape and type of its logits")
    assert outcomes["check_model_gradients"].reason.startswith("too large to run here (0 M parameters, 0.0 GMACs)")
    assert failed(run(fixed_head, only="check_model_builds"))
    ten = failed(run(lambda num_classes, **shape: Net(10, **shape), only="check_model_logits"))
    assert "output of shape (1, 10) for 1 images" in ten["check_model_logits"]
    low = failed(run(changed(forward=half), only="check_model_logits"))
    assert low == {"check_model_logits": "the logits are float16; they must be float32"}


def from_hub(*, pretrained: bool, **shape: Any) -> nn.Module:
    if pretrained:
        raise UnusableError("the hub cannot be reached")
    return Net(**shape)


def test_no_check_needs_weights_where_the_model_offers_pretrained() -> None:
    weights = {"pretrained_on": "ImageNet-1k", "downloads": True, "image_size": 16}
    options = {"pretrained": True}
    (outcome,) = run(from_hub, only="check_model_logits", options=options, **weights).values()
    assert outcome.status == "passed"
    (outcome,) = run(from_hub, only="check_model_logits", options=options, given=options, **weights).values()
    assert outcome.status == "skipped", "weights that were asked for"


def always_from_hub(**shape: Any) -> nn.Module:
    raise UnusableError("the hub cannot be reached")


def test_a_model_without_weights_at_hand_is_skipped_and_a_broken_one_is_not() -> None:
    (outcome,) = run(always_from_hub, only="check_model_logits", image_size=16, downloads=True).values()
    assert (outcome.status, outcome.reason) == ("skipped", "needs weights: the hub cannot be reached")
    (outcome,) = run(always_from_hub, only="check_model_builds", image_size=16).values()
    assert outcome.status == "failed"


@pytest.mark.parametrize("declared", [{}, {"image_size": 16}])
def test_a_model_whose_module_is_not_installed_is_skipped(declared: dict[str, int]) -> None:
    outcomes = run(build, requires=("no_such_module_anywhere",), **declared)
    reasons = {outcome.reason for outcome in outcomes.values() if outcome.status == "skipped"}
    assert {outcome.status for outcome in outcomes.values()} == {"skipped"}
    assert "it needs the module no_such_module_anywhere, which is not installed" in reasons


def refuses_no_config(*, config: str, table: str, **shape: Any) -> nn.Module:
    if not config:
        raise UsageError("give config=FILE")
    return Net(**shape)


def reads_config(*, config: str, table: str, **shape: Any) -> nn.Module:
    Path(config or "no_such_file").read_bytes()
    return Net(**shape)


CONFIG = {"table": Option("", kind="file"), "config": Option("", kind="file"), "bias": True}


@pytest.mark.parametrize(
    ("build", "option", "words"),
    [
        (refuses_no_config, "config", "check net:config=PATH (give config=FILE)"),
        (reads_config, "table or config", "check net:table=PATH ([Errno 2] No such file or directory: 'no_such_file')"),
    ],
)
@pytest.mark.parametrize("declared", [{}, {"image_size": 16, "in_channels": 3}])
def test_a_model_that_needs_a_file_is_skipped_and_its_option_named(
    build: Build, option: str, words: str, declared: dict[str, int]
) -> None:
    def flagged(*, bias: bool, **shape: Any) -> nn.Module:
        return build(**shape)

    outcomes = run(flagged, options=CONFIG, **declared)
    assert {outcome.status for outcome in outcomes.values()} == {"skipped"}
    own = {"it declares neither image_size nor in_channels", "it declares image_size and in_channels"}
    own |= {"it does not name the classes of its weights"}
    assert {outcome.reason for outcome in outcomes.values()} - own == {
        f"its option {option} needs a file, which the kit does not have; {words}"
    }


@pytest.mark.compute
@pytest.mark.parametrize("build", [refuses_no_config, reads_config])
def test_a_model_is_checked_with_the_file_that_is_given(build: Build) -> None:
    options = {"table": Option("", kind="file"), "config": Option("", kind="file")}
    outcomes = run(build, options=options, given={"config": __file__})
    assert failed(outcomes) == {}
    assert outcomes["check_model_gradients"].status == "passed"


def test_an_empty_checkpoint_excuses_no_refusal() -> None:
    (outcome,) = run(refuses_all, only="check_model_builds", options={"checkpoint": ""}).values()
    assert (outcome.status, outcome.reason[:28]) == ("failed", "build refuses images of 8, 3")


class Mean(nn.Module):
    """A baseline that gives nothing before its recipe has been called."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("logits", torch.empty(0), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits.expand(len(images), -1)


def fit_mean(model: nn.Module, data: TrainVal, run: FitRun) -> nn.Module:
    model.logits = torch.bincount(torch.from_numpy(data.train.labels), minlength=data.num_classes).float()
    return model


def test_a_baseline_is_checked_after_its_own_recipe() -> None:
    spec = ModelSpec(name="mean", build=lambda **_: Mean(), summary="x", recipe="mine/mean", tags=("baseline",))
    recipe = RecipeSpec(name="mean", fit=fit_mean, summary="x")
    outcomes = {one.check: one for one in run_checks(checks_for("m", ModelCase(spec=spec, recipe=recipe)))}
    assert failed(outcomes) == {}
    assert {name: one.reason for name, one in outcomes.items() if one.status == "skipped"} == {
        "check_model_declared_size": "it declares neither image_size nor in_channels",
        "check_model_options": "no option has choices or a minimum, or is a flag",
        "check_model_class_names": "it does not name the classes of its weights",
        "check_model_builds_on_meta": "nothing is counted of a baseline",
        "check_model_gradients": "it has no trainable parameters",
        "check_model_state_dict": "a baseline's weights are not stored",
        "check_model_features": "it has no method features",
    }


def refuse(name: str) -> ModelSpec:
    raise LookupError(f"zoo has no model {name}")


def key_error(name: str) -> ModelSpec:
    return {}[name]


def value_error(name: str) -> ModelSpec:
    raise ValueError("unknown")


def accept(name: str) -> ModelSpec:
    return ModelSpec(name=name, build=build, summary="x")


@pytest.mark.parametrize(
    ("resolve", "words"),
    [
        (refuse, ""),
        (key_error, "resolve(\"no-such-model\") says 'no-such-model'; say in a sentence what is wrong"),
        (value_error, 'resolve("no-such-model") raised ValueError: unknown'),
        (accept, 'resolve("no-such-model") returned ModelSpec('),
    ],
)
def test_a_family_refuses_unknown_names_in_a_sentence(resolve: Callable[[str], ModelSpec], words: str) -> None:
    case = FamilyCase(spec=ModelSpec(name="*", build=build, summary="x", resolve=resolve))
    outcome, members = run_checks(checks_for("zoo/*", case))
    assert outcome.check == "check_family_refuses_unknown_names"
    assert members.status == "skipped"
    assert outcome.status == ("failed" if words else "passed")
    assert outcome.reason.startswith(words)


def test_a_family_with_a_pattern_is_asked_for_a_name_that_fits() -> None:
    asked: list[str] = []

    def resolve(name: str) -> ModelSpec:
        asked.append(name)
        raise LookupError(f"there is no {name}")

    case = FamilyCase(spec=ModelSpec(name="mixer-*", build=build, summary="x", resolve=resolve))
    assert run_checks(checks_for("zoo/mixer-*", case))[0].status == "passed"
    assert asked == ["mixer-no-such-model"]


def mixers(name: str) -> ModelSpec:
    if name not in ("mixer-s", "mixer-b"):
        raise LookupError(f"there is no {name}")
    return ModelSpec(name=name, build=build, summary="x")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (lambda pattern: fnmatch.filter(["mixer-s", "mixer-b"], pattern), ""),
        (lambda pattern: ["mixer-s", "mixer-b"], 'members("mixer-s*") returned mixer-b; return the names that match'),
        (lambda: iter(["vit-s"]), 'members("mixer-*") returned vit-s; return the names that match the pattern'),
        (lambda pattern: ["zoo/mixer-s"], 'members("mixer-*") returned zoo/mixer-s; return the names that match'),
        (lambda pattern: ["mixer-s", "mixer-s"], 'members("mixer-*") returned a name twice'),
        (lambda pattern: [3], 'members("mixer-*") returned int; return strings'),
        (lambda pattern: "mixer-s", 'members("mixer-*") returned str; return the names one after the other'),
        (lambda pattern: [], 'members("mixer-*") returns no name'),
        (lambda pattern: ["mixer-s"] * pattern.endswith("-*"), 'members("mixer-s*") lacks mixer-s'),
        (lambda pattern: fnmatch.filter(["mixer-h"], pattern), "gives mixer-h, for which resolve raised LookupError"),
        (lambda pattern: 1 / 0, 'members("mixer-*") raised ZeroDivisionError'),
    ],
)
def test_the_members_of_a_family_fit_its_pattern(members: Callable[..., Any], words: str) -> None:
    case = FamilyCase(
        spec=ModelSpec(name="mixer-*", build=build, summary="x", resolve=mixers, members=members),
    )
    known, outcome = run_checks(checks_for("zoo/mixer-*", case))
    assert (known.status, outcome.check) == ("passed", "check_family_members")
    assert outcome.status == ("failed" if words else "passed")
    assert words in outcome.reason


# Options --------------------------------------------------------------------------------------------------------------


OPTIONS = {
    "pool": Option("mean", choices=("mean", "token", "map")),
    "bias": True,
    "depth": Option(4, minimum=1, maximum=12),
    "rates": Option((0.1, 0.2), minimum=0.0),
    "name": "free",
    "checkpoint": "",
    "pretrained": True,
}


def test_a_model_is_built_with_each_choice_and_within_its_bounds() -> None:
    built: list[dict[str, Any]] = []

    def watched(*, num_classes: int, image_size: tuple[int, int], in_channels: int, **options: Any) -> nn.Module:
        built.append(options)
        return Net(num_classes, image_size, in_channels)

    (outcome,) = run(watched, only="check_model_options", options=OPTIONS).values()
    assert outcome.status == "passed", outcome.reason
    usual = {name: option.default if isinstance(option, Option) else option for name, option in OPTIONS.items()}
    usual["pretrained"] = False
    changes = [{key: value for key, value in one.items() if value != usual[key]} for one in built]
    assert [change for change in changes if change] == [
        {"pool": "token"},
        {"pool": "map"},
        {"bias": False},
        {"depth": 1},
        {"rates": (0.0, 0.0)},
    ]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (KeyError("map"), "with the option pool=map build(num_classes=10, "),
        (UsageError("pool=map goes without a class token alone"), ""),
    ],
)
def test_a_choice_that_breaks_is_found_and_one_that_is_refused_in_words_is_not(fault: Exception, words: str) -> None:
    def picky(*, pool: str, **shape: Any) -> nn.Module:
        if pool == "map":
            raise fault
        return Net(**shape)

    outcomes = run(picky, options={"pool": OPTIONS["pool"]})
    assert list(failed(outcomes)) == (["check_model_options"] if words else [])
    assert outcomes["check_model_options"].reason.startswith(words)


# One cause, one failure -----------------------------------------------------------------------------------------------


class ModelOutput(dict[str, Tensor]):
    """As those of transformers: a mapping whose items are attributes, too."""

    def __getattr__(self, name: str) -> Tensor:
        return self[name]


def no_forward(self: Net, images: Tensor) -> Tensor:
    raise ValueError("not today")


ROOTS: dict[str, tuple[Build | str, dict[str, Any], str, str]] = {
    "import": ("no_such_package:build", {}, "check_model_builds", "cannot import no_such_package:build"),
    "a refusal": (refuses_all, {"image_size": 16}, "check_model_builds", "raised only 14 (test_models.py"),
    "a refusal of all sizes": (
        refuses_all,
        {},
        "check_model_builds",
        "build refuses images of 8, 32, 32x64, 64, 224 pixels (only 14); declare the image_size that it takes",
    ),
    "no module": (lambda **shape: shape, {}, "check_model_builds", "returned dict"),
    "an unknown option": (build, {"options": {"widht": 3}}, "check_model_builds", "does not take 'widht'"),
    "forward": (changed(forward=no_forward), {}, "check_model_logits", "raised ValueError: not today"),
    "forward, size declared": (
        changed(forward=no_forward),
        {"image_size": 16},
        "check_model_declared_size",
        "not today",
    ),
    "an output of transformers": (
        changed(forward=lambda self, images: ModelOutput(logits=Net.forward(self, images))),
        {},
        "check_model_logits",
        "the model returned a ModelOutput; it must return a plain tensor of logits: return output.logits",
    ),
    "a dict": (
        changed(forward=lambda self, images: {"logits": Net.forward(self, images)}),
        {},
        "check_model_logits",
        'the model returned a dict; it must return a plain tensor of logits: return output["logits"]',
    ),
    "a wrong shape": (
        changed(forward=lambda self, images: Net.forward(self, images)[:, 1:]),
        {},
        "check_model_logits",
        "it must return logits of shape (1, 2)",
    ),
    "not a number": (
        changed(forward=lambda self, images: Net.forward(self, images) * torch.nan),
        {},
        "check_model_logits",
        "logits are not finite",
    ),
}


@pytest.mark.compute
@pytest.mark.parametrize("fault", ROOTS)
def test_one_cause_is_one_failure(fault: str) -> None:
    target, fields, check, words = ROOTS[fault]
    outcomes = run(target, **fields)
    assert list(failed(outcomes)) == [check]
    assert words in outcomes[check].reason
    reason = outcomes["check_model_gradients"].reason
    assert (outcomes["check_model_gradients"].status, reason) == ("skipped", f"depends on {check}, which failed")


def test_checks_leave_flags_and_generators_as_they_were() -> None:
    torch.manual_seed(5)
    random.seed(5)
    before = torch.get_rng_state(), random.getstate(), torch.get_num_threads(), torch.get_default_dtype()
    run(sets_threads, only="check_model_logits")
    run(seeds(lambda: torch.set_default_dtype(torch.float64)), only="check_model_leaves_flags")
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), torch.get_num_threads(), torch.get_default_dtype())
