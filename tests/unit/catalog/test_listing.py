"""What ``vitbench ls`` prints: complete, aligned, and JSON that reads back."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from vitbench.catalog import Catalog, Offer, Plugin, Problem
from vitbench.catalog.listing import as_data, as_text
from vitbench.specs import ModelSpec, Preprocess, RecipeSpec

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


def test_recipes_are_listed_with_their_defaults() -> None:
    assert as_text(CATALOG, "recipes").splitlines() == ["mine/sgd  SGD", "          lr=0.1"]


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
        "mine   vitbench-mine 1.2: 2 models, 1 recipe",
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
    assert net["options"] == {"depth": 4, "frozen": True, "checkpoint": ""}
    assert net["preprocess"] == {"mean": [0.5], "std": [0.25], "interpolation": "bicubic", "crop_fraction": 1.0}
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
        "cut": "\ud800",
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
        "cut": "\\ud800",
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
