"""Options: as a command line writes them, with their declared types, complete or refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitbench.catalog.options import complete_model, complete_options, model_options, parse_dataset, parse_model
from vitbench.errors import UsageError
from vitbench.records import canonical_name
from vitbench.specs import ModelSpec, Option, OptionValue, RecipeSpec

DEFAULTS: Mapping[str, OptionValue] = {"patch_size": 4, "dropout": 0.0, "frozen": True, "head": ""}
DECLARED = {name: Option(value) for name, value in DEFAULTS.items()}


@pytest.mark.parametrize(
    ("given", "complete"),
    [
        ({}, {}),
        ({"patch-size": 2}, {"patch_size": 2}),
        ({"patch_size": "2"}, {"patch_size": 2}),
        ({"dropout": 1}, {"dropout": 1.0}),
        ({"dropout": "1e-1"}, {"dropout": 0.1}),
        ({"frozen": "False"}, {"frozen": False}),
        ({"frozen": "yes"}, {"frozen": True}),
        ({"head": "own"}, {"head": "own"}),
    ],
)
def test_options_take_their_declared_type(given: dict[str, OptionValue], complete: dict[str, OptionValue]) -> None:
    made = complete_options("model vit", DECLARED, given)
    assert made == {**DEFAULTS, **complete}
    assert {name: type(value) for name, value in made.items()} == {k: type(v) for k, v in DEFAULTS.items()}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"patchsize": 2}, 'has no option "patchsize". Did you mean "patch_size"? Its options: dropout, frozen'),
        ({"patch_size": "two"}, "option patch_size must be a whole number, not 'two'"),
        ({"patch_size": 2.0}, "option patch_size must be a whole number, not 2.0"),
        ({"patch_size": True}, "option patch_size must be a whole number, not True"),
        ({"dropout": "much"}, "option dropout must be a number, not 'much'"),
        ({"dropout": True}, "option dropout must be a number, not True"),
        ({"frozen": 1}, "option frozen must be true or false, not 1"),
        ({"frozen": "maybe"}, "option frozen must be true or false, not 'maybe'"),
        ({"head": 5}, "option head must be text, not 5"),
        ({"patch_size": str(2**63)}, "option patch_size is too large: 9223372036854775808"),
    ],
)
def test_a_wrong_option_is_refused(given: dict[str, OptionValue], words: str) -> None:
    with pytest.raises(UsageError, match=f"^model vit.*{re.escape(words)}"):
        complete_options("model vit", DECLARED, given)


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("scratch/vit", "scratch/vit", {}),
        ("vit:depth=4,patch-size=2", "vit", {"depth": "4", "patch_size": "2"}),
        ("vit:checkpoint=a,b.pt,depth=4", "vit", {"checkpoint": "a,b.pt", "depth": "4"}),
        (r"vit:checkpoint=C:\a=b.pt", "vit", {"checkpoint": r"C:\a=b.pt"}),
        ("vit:checkpoint=", "vit", {"checkpoint": ""}),
        ('vit:checkpoint="run=3,lr=2.pt",depth=4', "vit", {"checkpoint": "run=3,lr=2.pt", "depth": "4"}),
        ('vit:checkpoint="say ""a,b=c"".pt"', "vit", {"checkpoint": 'say "a,b=c".pt'}),
        ('vit:checkpoint="",depth=4', "vit", {"checkpoint": "", "depth": "4"}),
        ('vit:checkpoint=a"b,c".pt', "vit", {"checkpoint": 'a"b,c".pt'}),
    ],
)
def test_a_model_with_options_is_split(text: str, name: str, options: dict[str, str]) -> None:
    assert parse_model(text) == (name, options)


def test_a_dataset_is_split_alike_and_named_in_errors() -> None:
    assert parse_dataset("mine/shades:fold=2,tags=a,b") == ("mine/shades", {"fold": "2", "tags": "a,b"})
    with pytest.raises(UsageError, match=r'^dataset "shades:fold": option "fold" must be written key=value'):
        parse_dataset("shades:fold")


@pytest.mark.parametrize("text", ["vit:depth=2,depth=3", "vit:patch-size=2,patch_size=4"])
def test_an_option_that_is_given_twice_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is given twice"):
        parse_model(text)


@pytest.mark.parametrize("text", ["vit:", "vit:depth", "vit:=4"])
def test_an_option_without_a_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="must be written key=value"):
        parse_model(text)


@pytest.mark.parametrize("text", ['vit:checkpoint="a.pt', 'vit:checkpoint="a.pt"x,depth=2'])
def test_a_quote_that_is_not_closed_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match='the quoted value of option "checkpoint" must end in a quote'):
        parse_model(text)


@given(st.text(), st.text())
def test_a_name_with_any_text_in_its_options_reads_back(first: str, second: str) -> None:
    options: dict[str, OptionValue] = {"checkpoint": first, "head": second}
    assert parse_model(canonical_name("zoo/net", options, {})) == ("zoo/net", options)


STATED = ModelSpec(name="net", build="m:b", summary="x", options={"checkpoint": "", "channels": 5})


def test_what_is_stated_of_weights_is_kept_beside_the_options_where_it_was_given() -> None:
    assert complete_model("model net", STATED, {}) == {"checkpoint": "", "channels": 5}
    stated = {"mean": "0.5,0.4,0.3", "crop-mode": "squash", "image_size": "", "channels": "3"}
    assert complete_model("model net", STATED, stated) == {
        "checkpoint": "", "channels": 3, "mean": (0.5, 0.4, 0.3), "crop_mode": "squash"
    }  # fmt: skip
    assert STATED.build_arguments({"checkpoint": "", "channels": 3, "mean": (0.5,)}) == {
        "checkpoint": "",
        "channels": 3,
    }
    without = ModelSpec(name="net", build="m:b", summary="x")
    with pytest.raises(UsageError, match='model net has no option "mean"'):
        complete_model("model net", without, {"mean": "0.5"})


def sized(**fields: Any) -> ModelSpec:
    return ModelSpec(name="net", build="m:b", summary="x", **fields)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(160, "160"), ("160", "160"), ("160x160", "160"), ("96x160", "96x160"), ((96, 160), "96x160"), ("none", None)],
)
def test_an_image_size_is_kept_as_tables_write_it(given: OptionValue, kept: str | None) -> None:
    found = complete_model("model net", sized(), {"image-size" if kept == "160" else "image_size": given})
    assert found == ({} if kept is None else {"image_size": kept})


@pytest.mark.parametrize(
    ("head", "taken"),
    [
        (Option("own", choices=("own", "new")), "new"),
        (Option("linear", choices=("linear", "mlp")), "linear"),
        (Option(True), True),
    ],
)
def test_a_recipe_sets_an_option_that_can_take_its_value(head: Option, taken: OptionValue) -> None:
    spec = ModelSpec(name="net", build="m:b", summary="x", options={"head": head})
    recipe = RecipeSpec(name="tune", fit="m:f", summary="x", model_options={"head": "new"})
    assert model_options("model net", spec, recipe, {}) == {"head": taken}


def test_a_model_of_its_own_size_is_the_same_model() -> None:
    spec = sized(image_size=(96, 160), any_size=True)
    assert complete_model("model net", spec, {"image_size": "96x160"}) == {}
    assert complete_model("model net", spec, {"image_size": 96}) == {"image_size": "96"}


@pytest.mark.parametrize("given", ["0", -32, "32x", "32x32x3", "large", 1.5, True, "9000", (1, 2, 3), "³"])
def test_what_is_no_image_size_is_refused_in_a_sentence(given: OptionValue) -> None:
    with pytest.raises(
        UsageError, match=r"^model net: option image_size must be a side of 1 to 8192 pixels, or height"
    ):
        complete_model("model net", sized(), {"image_size": given})


def test_a_model_of_one_size_alone_takes_no_other() -> None:
    with pytest.raises(UsageError, match=r"^model net takes images of 224x224 pixels only; leave image_size out\.$"):
        complete_model("model net", sized(image_size=224), {"image_size": "160"})
