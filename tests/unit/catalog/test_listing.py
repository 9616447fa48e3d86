"""What ``vitbench ls`` prints: complete, aligned, and JSON that reads back."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from vitbench.catalog import Catalog, Offer, Plugin, Problem
from vitbench.catalog.listing import as_data, as_text, options_data, options_text
from vitbench.catalog.selecting import WithOptions
from vitbench.specs import FigureSpec, ModelSpec, Option, Preprocess, RecipeSpec

PLUGIN = Plugin(name="mine", distribution="vitbench-mine", version="1.2", module="mine")
PROBLEM = Problem(
    plugin="bad", distribution="vitbench-bad", version="2", stage="load", error="no torch", traceback="Traceback ..."
)
NET = ModelSpec(
    name="net",
    build=len,
    summary="A net",
    image_size=224,
    pretrained_on="ImageNet-1k",
    preprocess=Preprocess(mean=(0.5,), std=(0.25,)),
    options={"depth": 4, "frozen": True, "checkpoint": ""},
)
CATALOG = Catalog(
    plugins=(PLUGIN, Plugin(name="empty", distribution="e", version="0", module="e")),
    problems=(PROBLEM,),
    models={
        "mine/net": Offer(name="mine/net", plugin=PLUGIN, spec=NET),
        "mine/longer": Offer(
            name="mine/longer", plugin=PLUGIN, spec=ModelSpec(name="longer", build="mine:b", summary="Another net")
        ),
    },
    recipes={
        "mine/sgd": Offer(
            name="mine/sgd",
            plugin=PLUGIN,
            spec=RecipeSpec(name="sgd", fit="mine:fit", summary="SGD", options={"lr": 0.1}),
        )
    },
    figures={
        "mine/looks": Offer(
            name="mine/looks",
            plugin=PLUGIN,
            spec=FigureSpec(name="looks", draw="mine:draw", summary="Where it looks", options={"layer": -1}),
        )
    },
)


@pytest.fixture(autouse=True)
def _a_terminal_of_100_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def test_models_are_listed_with_their_options_below() -> None:
    assert as_text(CATALOG, "models").splitlines() == [
        "mine/net     A net",
        "             224 px  pretrained on ImageNet-1k  depth=4  frozen=true  checkpoint=''",
        "mine/longer  Another net",
    ]


def test_other_offers_are_listed_with_their_defaults() -> None:
    assert as_text(CATALOG, "recipes").splitlines() == ["mine/sgd  SGD", "          lr=0.1"]
    assert as_text(CATALOG, "figures").splitlines() == ["mine/looks  Where it looks", "            layer=-1"]


def test_a_narrow_terminal_gets_wrapped_and_indented_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = as_text(CATALOG, "models").splitlines()
    assert max(map(len, lines)) <= 60
    assert all(line.startswith(("mine/", " " * 13)) for line in lines)


@pytest.mark.parametrize("kind", ["datasets", "metrics", "suites"])
def test_a_kind_that_nobody_offers_says_so(kind: str) -> None:
    assert as_text(CATALOG, kind) == f"no {kind}"
    assert json.loads(as_data(CATALOG, kind)) == []


def test_plugins_are_listed_with_what_they_offer_and_with_their_problems() -> None:
    assert as_text(CATALOG, "plugins").splitlines() == [
        "mine   vitbench-mine 1.2: 2 models, 1 recipe, 1 figure",
        "empty  e 0: offers nothing",
        "",
        "Problems:",
        "  plugin bad (vitbench-bad 2), load: no torch",
    ]
    assert as_text(Catalog(), "plugins") == "no plugins"


def test_json_of_models_holds_every_field_and_the_origin() -> None:
    net, longer = json.loads(as_data(CATALOG, "models"))
    assert net["name"] == "mine/net"
    assert (net["plugin"], net["distribution"], net["version"]) == ("mine", "vitbench-mine", "1.2")
    bare = {"help": "", "kind": "value", "choices": [], "minimum": None, "maximum": None}
    assert net["options"] == {
        "depth": {**bare, "default": 4, "type": "int"},
        "frozen": {**bare, "default": True, "type": "bool"},
        "checkpoint": {
            **bare,
            "default": "",
            "type": "str",
            "kind": "file",
            "help": "Weights to start from",
        },
    }
    assert net["preprocess"] == {
        "mean": [0.5],
        "std": [0.25],
        "interpolation": "bicubic",
        "crop_fraction": 1.0,
        "crop_mode": "center",
        "fill": [],
    }
    assert net["build"] == "builtins:len"
    assert longer["build"] == "mine:b"
    assert set(ModelSpec.__dataclass_fields__) <= set(net)


class Weights:
    def __repr__(self) -> str:
        return "Weights(v2)"


def test_json_holds_whatever_a_spec_holds() -> None:
    odd = {
        "weights": Path("w.pt"),
        "layers": {(1, 2): Weights()},
        "share": float("nan"),
        "kinds": [functools.partial(max, 1), len],
    }
    spec = ModelSpec(name="net", build=functools.partial(len), summary="A net", arguments=odd)
    catalog = Catalog(models={"mine/net": Offer(name="mine/net", plugin=PLUGIN, spec=spec)})
    [net] = json.loads(as_data(catalog, "models"))
    assert net["build"] == "functools.partial(<built-in function len>)"
    assert net["arguments"] == {
        "weights": "w.pt",
        "layers": {"(1, 2)": "Weights(v2)"},
        "share": None,
        "kinds": ["functools.partial(<built-in function max>, 1)", "builtins:len"],
    }


def test_plugins_that_are_left_out_are_listed() -> None:
    catalog = Catalog(plugins=(PLUGIN,), left_out=("suites", "timm"), problems=(PROBLEM,))
    lines = as_text(catalog, "plugins").splitlines()
    assert lines[1:4] == ["", "Left out:  suites, timm", ""]
    assert json.loads(as_data(catalog, "plugins"))["left_out"] == ["suites", "timm"]


def test_json_of_plugins_holds_problems_with_their_traceback() -> None:
    content = json.loads(as_data(CATALOG, "plugins"))
    assert [plugin["name"] for plugin in content["plugins"]] == ["mine", "empty"]
    assert content["problems"] == [
        {
            "plugin": "bad",
            "distribution": "vitbench-bad",
            "version": "2",
            "stage": "load",
            "error": "no torch",
            "traceback": "Traceback ...",
            "severity": "error",
        }
    ]


def test_a_plugin_file_is_listed_by_its_path_and_hash() -> None:
    plugin = Plugin(name="mine", distribution="models/mine.py", version="", module="mine", sha256="0f" * 32)
    catalog = Catalog(plugins=(plugin,))
    assert as_text(catalog, "plugins") == "mine  models/mine.py: offers nothing"
    [listed] = json.loads(as_data(catalog, "plugins"))["plugins"]
    assert (listed["distribution"], listed["version"], listed["sha256"]) == ("models/mine.py", "", "0f" * 32)


def test_words_from_outside_are_only_text() -> None:
    evil = "\x1b[2J\u202e<script>"
    plugin = Plugin(name="mine", distribution=evil, version="1", module="mine")
    problem = Problem(plugin="bad", distribution="d", version="1", stage="load", error=evil)
    net = ModelSpec(name="net", build=len, summary=evil, options={"checkpoint": evil})
    offer = Offer(name="mine/net", plugin=plugin, spec=net)
    catalog = Catalog(plugins=(plugin,), problems=(problem,), models={"mine/net": offer})
    for text in (as_text(catalog, "plugins"), as_text(catalog, "models")):
        assert text.count("\\x1b[2J\\u202e<script>") == 2
        assert "\x1b" not in text
        assert "\u202e" not in text


FAMILY = Offer(
    name="mine/mixer-*",
    plugin=PLUGIN,
    spec=ModelSpec(name="mixer-*", build="mine:b", summary="Mixers", resolve="mine:resolve", members="mine:members"),
)
MEMBERS = {"mine/mixer-b16": FAMILY, "mine/mixer-s16": FAMILY}


def test_members_are_listed_by_their_names_after_the_offers() -> None:
    one = Catalog(models={"mine/net": CATALOG.models["mine/net"]})
    assert as_text(one, "models", MEMBERS).splitlines()[-2:] == ["mine/mixer-b16", "mine/mixer-s16"]
    assert as_text(Catalog(), "models", MEMBERS).splitlines() == list(MEMBERS)
    listed = json.loads(as_data(one, "models", MEMBERS))
    assert [each["name"] for each in listed] == ["mine/net", *MEMBERS]
    assert listed[1] == {
        "name": "mine/mixer-b16",
        "family": "mine/mixer-*",
        "plugin": "mine",
        "distribution": "vitbench-mine",
        "version": "1.2",
    }


RICH = RecipeSpec(
    name="distil",
    fit="mine:fit",
    summary="Learn from a teacher",
    options={
        "teacher": Option("", kind="model", help="The model to learn from"),
        "weights": Option("", kind="file"),
        "temperature": Option(4.0, minimum=0.5, maximum=8, help="Of both softmaxes"),
        "loss": Option("kl", choices=("kl", "mse")),
        "stages": Option((2, 2), choices=(1, 2)),
        "none_yet": Option((), type="float"),
        "seed": Option(None, type="int", minimum=0),
        "hard": True,
    },
)


def test_options_are_told_with_type_default_limits_and_meaning() -> None:
    own = {"distil": {"hard": False, "stages": (1, 2)}, "other/sgd": {"lr": 0.1}}
    net = ModelSpec(name="net", build="a:b", summary="A net", recipe_options=own)
    plain = WithOptions(kind="model", name="mine/net", spec=net)
    told = options_text([WithOptions(kind="recipe", name="mine/distil", spec=RICH), plain])
    assert told.splitlines() == [
        "recipe mine/distil:  Learn from a teacher",
        "  teacher      model; default ''. The model to learn from",
        "  weights      file; default ''",
        "  temperature  float; default 4.0; at least 0.5; at most 8. Of both softmaxes",
        "  loss         str; default kl; one of kl, mse",
        "  stages       several int; default 2,2; one of 1, 2",
        "  none_yet     several float; default ''",
        "  seed         int; default none; at least 0",
        "  hard         bool; default true",
        "",
        "model mine/net:  A net",
        "  image_size  str; default none. Size of its input in pixels: the side of a square, or height x",
        "              width as in 96x160",
        "  crop_mode   str; default none; one of center, squash, border. How images of other shapes are",
        "              fitted to the input",
        "  its defaults for recipe distil:  hard=false  stages=1,2",
        "  its defaults for recipe other/sgd:  lr=0.1",
    ]
    assert json.loads(options_data([plain]))[0]["recipe_options"] == json.loads(json.dumps(own))


def test_json_of_options_names_every_field_of_each() -> None:
    [told] = json.loads(options_data([WithOptions(kind="recipe", name="mine/distil", spec=RICH)]))
    assert (told["kind"], told["name"], list(told["options"])) == ("recipe", "mine/distil", list(RICH.options))
    assert told["options"]["temperature"] == {
        "default": 4.0,
        "type": "float",
        "help": "Of both softmaxes",
        "choices": [],
        "minimum": 0.5,
        "maximum": 8,
        "kind": "value",
    }
    assert (told["options"]["stages"]["default"], told["options"]["stages"]["type"]) == ([2, 2], "int")
    assert told["options"]["seed"]["default"] is None


def test_the_words_of_options_are_only_text() -> None:
    evil = "\x1b[2J"
    spec = RecipeSpec(name="r", fit="a:b", summary=evil, options={"o": Option(evil, help=evil)})
    assert "\x1b" not in options_text([WithOptions(kind="recipe", name="mine/r", spec=spec)])
