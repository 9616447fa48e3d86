"""A selection is written as the command that asks for it, and vitbench reads it as it was meant."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import vitbench
from vitbench.catalog import load_catalog, select_plugins
from vitbench.cli import cli
from vitbench.errors import StoreError
from vitbench.planning.command import command_line
from vitbench.planning.expand import expand
from vitbench.planning.suite import Selection
from vitbench.planning.suite_file import read_suite

Asked = Callable[[Callable[[], object]], tuple[dict[str, Any], str]]

SUITE = 'name = "mine"\nsummary = "s"\ndatasets = ["digits"]\n[[models]]\nname = "scratch/vit"\nlabel = "vit-p2"\n'

PLUGIN = """import vitbench
from vitbench import DatasetSpec, ModelSpec, Option, RecipeSpec


@vitbench.hookimpl
def vitbench_models():
    options = {"sizes": (1, 2), "far": False}
    return [ModelSpec(name="net", build="torch.nn:Identity", summary="For a test.", recipe="learn", options=options)]


@vitbench.hookimpl
def vitbench_recipes():
    options = {
        "rates": (0.1,),
        "sizes": (1, 2),
        "limit": Option(None, type="int"),
        "teacher": Option("net", kind="model"),
    }
    return [RecipeSpec(name="learn", fit="torch.nn:Identity", summary="For a test.", options=options)]


@vitbench.hookimpl
def vitbench_datasets():
    options = {"fold": 1, "grays": (0, 255)}
    return [DatasetSpec(name="shades", open="torch.nn:Identity", summary="For a test.", options=options)]
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Tell what a run would have been, and the command that asks for it, of what starts it."""
    found: dict[str, Any] = {}

    def plan(selection: Selection, **_: object) -> None:
        plugins = select_plugins(selection.plugins, selection.no_plugins)
        catalog = load_catalog(plugins)
        path = selection.suite if selection.suite.endswith(".toml") else catalog.suite("quick").spec.path
        found.update(plugins=plugins, selection=selection)
        found.update(cells=expand(read_suite(Path(path)), catalog, selection))
        raise StoreError("no run here")

    monkeypatch.setattr("vitbench.planning.plan.plan", plan)

    def call(start: Callable[[], object]) -> tuple[dict[str, Any], str]:
        found.clear()
        with pytest.raises(StoreError, match="no run here"):
            start()
        return dict(found), command_line(found["selection"])

    return call


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"suite": "quick", "compile": "reduce-overhead", "skip_unreadable": True},
        {"suite": Path("mine.toml"), "limit": 1.0, "budget": "1h30m", "settings": {"supervised": {"by_time": True}}},
        {"models": ["scratch/vit:depth=2,patch_size=2", "resnet9-w16"], "datasets": ["digits"], "limit": 1e-05},
        {"models": ["vit-p4"], "datasets": ["mine"], "data": {"mine": Path("a b"), "digits": "/d"}, "budget": 0.5},
        {"device": "cuda:1", "precision": "bfloat16", "threads": 3, "compile": True, "channels_last": True},
        {"seeds": [3, 0], "epochs": 2, "limit": 100, "batch_size": 64, "largest_batch": True},
        {"limit": 9, "speeds": "all", "recipe": "supervised", "split": "val"},
        {"limit": 0.5, "settings": {"supervised": {"lr": 1e-05, "augment": False, "epochs": 3}}},
        {"plugins": [Path("my_net.py")], "models": ["my_net/net"], "no_plugins": ["timm"]},
        {
            "plugins": ["my_net.py"],
            "models": ["my_net/net:sizes=3,4"],
            "datasets": ["my_net/shades", "my_net/shades:fold=2,grays=1,2"],
            "settings": {
                "my_net/learn": {"rates": (0.5, 1e-05), "sizes": (), "limit": None, "teacher": "net:sizes=5,6,far=true"}
            },
        },
        {"plugins": ["my_net.py"], "models": ["my_net/net"], "settings": {"learn": {"limit": 3, "teacher": ""}}},
    ],
    ids=lambda arguments: ", ".join(arguments) or "nothing",
)
def test_a_selection_from_python_is_written_as_the_command_that_asks_for_it(
    arguments: dict[str, Any], asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_net.py").write_text(PLUGIN, encoding="utf-8")
    Path("mine.toml").write_text(SUITE, encoding="utf-8")
    from_python, text = asked(lambda: vitbench.run(**arguments))
    words = shlex.split(text)
    assert words[:2] == ["vitbench", "run"]
    from_shell, again = asked(lambda: cli.main(words[1:], standalone_mode=False))
    assert again == text
    assert from_shell["cells"] == from_python["cells"]
    assert from_shell["plugins"] == from_python["plugins"]


def written(**selection: Any) -> str:
    return command_line(msgspec.convert(selection, Selection))


def test_what_is_as_by_default_is_left_out() -> None:
    assert written() == "vitbench run"
    assert written(conditions={"device": "auto", "precision": "float32", "compile": ""}) == "vitbench run"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        *[(1e-05, "0.00001"), (3, "3"), (0.5, "0.5"), (True, "true"), (False, "false"), ("", "")],
        *[(None, "none"), ((2, 2, 6, 2), "2,2,6,2"), ((0.5, 1e-05), "0.5,0.00001"), ((), "")],
        ("zoo/net:depth=4,checkpoint=a b.pt", "zoo/net:depth=4,checkpoint=a b.pt"),
    ],
    ids=str,
)
def test_numbers_and_truth_are_written_as_they_are_read(value: object, words: str) -> None:
    assert written(settings={"mine": {"x": value}}) == f"vitbench run --set {shlex.quote(f'mine.x={words}')}"


def test_flags_are_said_once_and_lists_with_their_option_each() -> None:
    found = written(models=("a", "b"), largest_batch=True, no_plugins=("timm",), conditions={"channels_last": True})
    assert found == "vitbench run --model a --model b --largest-batch --no-plugin timm --channels-last"


def test_a_name_of_any_kind_stays_one_word() -> None:
    path = "my 'own' $(data)"
    assert shlex.split(written(data={"pets": path}))[2:] == ["--data", f"pets={path}"]
