"""A name, a module and a function become a model; what is none of them is refused in one sentence."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from vitbench.errors import UnusableError, UsageError
from vitbench.pytest_plugin import model as given
from vitbench.pytest_plugin.model import BenchmarkConditions, given_model
from vitbench.specs import ModelSpec
from vitbench.worker.build import ModelBuildError


def conditions(**changed: object) -> BenchmarkConditions:
    usual = {"mode": "inference", "batch_size": 1, "device": "cpu", "precision": "float32"}
    return BenchmarkConditions(**{**usual, "num_classes": 10, "image_size": None, **changed})  # type: ignore[arg-type]


def linear(*, num_classes: int, image_size: tuple[int, int], in_channels: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], num_classes))


def test_a_name_is_completed_as_in_a_run() -> None:
    found = given_model("vit:depth=2,width=32,heads=4,patch-size=4", conditions(num_classes=7))
    assert found.label == "scratch/vit:depth=2,heads=4,width=32"
    assert (found.num_classes, found.image_size, found.in_channels) == (7, (32, 32), 3)
    assert found.build()(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


def test_the_size_is_that_of_the_test_then_that_of_the_spec() -> None:
    assert given_model("scratch/vit-tiny:depth=1", conditions()).image_size == (224, 224)
    small = given_model("scratch/vit-tiny:depth=1", conditions(image_size=32))
    assert small.image_size == (32, 32)
    wide = given_model("scratch/vit-tiny:depth=1", conditions(image_size=(32, 64)))
    assert wide.image_size == (32, 64)
    assert given_model("scratch/vit:image_size=16,depth=1", conditions(image_size=16)).image_size == (16, 16)
    with pytest.raises(UsageError, match="its name and the test ask for two image sizes"):
        given_model("scratch/vit:image_size=16,depth=1", conditions(image_size=32))
    assert wide.build().pos_embed.shape[1] == 2 * 4 + 1
    assert small.build()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_a_member_of_a_family_is_resolved() -> None:
    found = given_model("timm/test_vit:pretrained=false", conditions(image_size=160))
    assert found.label == "timm/test_vit:pretrained=false"
    assert found.build()(torch.zeros(1, 3, 160, 160)).shape == (1, 10)


def test_a_module_is_copied_and_keeps_its_own_head() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    found = given_model(module, conditions(image_size=2))
    assert (found.label, found.num_classes, found.image_size) == ("Sequential", None, (2, 2))
    built = found.build()
    assert built is not module
    assert torch.equal(built[1].weight, module[1].weight)  # type: ignore[index]
    assert built[1].weight is not module[1].weight  # type: ignore[index]


def test_a_function_builds_with_the_arguments_of_a_plugins_build() -> None:
    found = given_model(linear, conditions(num_classes=3, image_size=8))
    assert (found.label, found.num_classes, found.image_size) == ("linear", 3, (8, 8))
    assert found.build()(torch.zeros(2, 3, 8, 8)).shape == (2, 3)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("scratch/vitt", 'unknown model "scratch/vitt". Did you mean "scratch/vit"?'),
        ("scratch/vit:dept=2", 'model scratch/vit has no option "dept". Did you mean "depth"?'),
        ("scratch/vit:depth=two", "model scratch/vit: option depth must be a whole number, not 'two'."),
        ("majority", "model baseline/majority is a baseline; its speed is meaningless."),
        (3, "the model must be a name, a torch.nn.Module or a function that builds one, not int."),
    ],
)
def test_what_is_no_model_is_refused(model: object, words: str) -> None:
    with pytest.raises(UsageError, match="^" + re.escape(words)):
        given_model(model, conditions())  # type: ignore[arg-type]


def test_a_function_that_builds_no_module_is_refused() -> None:
    found = given_model(lambda **_: "a model", conditions())  # type: ignore[arg-type,return-value]
    with pytest.raises(ModelBuildError, match="<lambda>: build returned str, not a"):
        found.build()


def test_a_module_that_cannot_be_copied_is_refused() -> None:
    module = nn.Linear(2, 2)
    module.cache = module.weight * 2  # type: ignore[assignment] # torch copies no tensor with a history
    with pytest.raises(UsageError, match="the module Linear cannot be copied; give a function that builds it"):
        given_model(module, conditions()).build()


def test_a_model_that_lacks_a_module_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModelSpec(name="net", build=linear, summary="needs more", requires=("absent_module",))
    catalog = given.load_catalog()
    offer = catalog.model("scratch/vit")
    lacking = type(offer)(name="mine/net", plugin=offer.plugin, spec=spec)
    changed = {name: getattr(catalog, name) for name in ("plugins", "problems", "recipes")}
    monkeypatch.setattr(given, "load_catalog", lambda: type(catalog)(**changed, models={"mine/net": lacking}))
    with pytest.raises(UnusableError, match="it needs the module absent_module, which is not installed"):
        given_model("mine/net", conditions())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mode": "infrence"}, "mode must be inference or training, not 'infrence'. Did you mean \"inference\"?"),
        ({"mode": None}, "mode must be inference or training, not None."),
        ({"precision": "float33"}, "precision must be float32, bfloat16, float16 or tf32, not 'float33'."),
        ({"batch_size": 0}, "batch_size must be a positive whole number, not 0."),
        ({"batch_size": 2.0}, "batch_size must be a positive whole number, not 2.0."),
        ({"batch_size": None}, "batch_size must be a positive whole number, not None."),
        ({"num_classes": -1}, "num_classes must be a positive whole number, not -1."),
        ({"image_size": "32"}, "image_size must be a positive whole number, or two, not '32'."),
    ],
)
def test_wrong_conditions_are_refused(changed: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match="^" + re.escape(words)):
        conditions(**changed)
