"""What an environment says it would measure, and what it says to a vitbench of another version."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from vitbench.catalog import Catalog, Offer, Plugin
from vitbench.lockstep import process as live
from vitbench.records import digest, id_of
from vitbench.specs import ModelSpec
from vitbench.tracking import describe as module
from vitbench.tracking.describe import describe
from vitbench.tracking.messages import PROTOCOL, Described, Description, Greeting, Refusal, Request

ROOT = Path(__file__).parents[3]


COPIED = """
import vitbench


@vitbench.hookimpl
def vitbench_models():
    yield vitbench.ModelSpec(name="net", build="copied:build", summary="A model")
"""


def request(*models: str, **fields: Any) -> Request:
    known: dict[str, Any] = {
        "modes": ("inference",),
        "batch_size": 4,
        "image_size": 16,
        "num_classes": 5,
        "device": "cpu",
        "threads": 1,
        "folder": str(ROOT),
        "tree": str(fields.get("folder", ROOT)),
    }
    return Request(models=models, **{**known, **fields})


def model(text: str, **fields: Any) -> Described | Refusal:
    return describe(request(text, **fields)).models[text]


def test_a_model_becomes_a_speed_cell_for_each_mode() -> None:
    found = model("vit:depth=2,patch-size=4", modes=("training", "inference"))
    assert isinstance(found, Described)
    assert [planned.cell.mode for planned in found.cells] == ["training", "inference"]
    planned = found.cells[0]
    cell = planned.cell
    assert (cell.model, cell.options["depth"], planned.label) == ("scratch/vit", 2, "scratch/vit:depth=2")
    assert (cell.batch_size, cell.num_classes, cell.input_shape, cell.threads) == (4, 5, (3, 16, 16), 1)
    assert (planned.image_size, planned.in_channels, planned.device) == ((16, 16), 3, "cpu")
    assert planned.id == id_of(cell)
    assert planned.provenance.model.distribution == "vitbench"


@pytest.mark.compute
def test_a_model_of_fixed_size_keeps_it_and_nothing_is_downloaded() -> None:
    found = model("timm/vit_small_patch16_224.augreg_in21k")
    assert isinstance(found, Described)
    cell = found.cells[0].cell
    assert cell.input_shape == (3, 224, 224)
    assert cell.options["pretrained"] is False
    assert "pretrained" not in found.cells[0].label
    assert "timm" in found.cells[0].provenance.libraries


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("resnet81", 2, 'Did you mean "resnet18"?'),
        ("vit:depht=2", 2, 'Did you mean "depth"?'),
        ("vit:depth", 2, "must be written key=value"),
    ],
)
def test_what_a_model_lacks_is_told_with_the_model(text: str, code: int, words: str) -> None:
    found = model(text)
    assert isinstance(found, Refusal)
    assert found.exit_code == code
    assert words in found.message


def test_a_device_that_is_not_there_refuses_everything() -> None:
    refusal = describe(request("vit", device="gpu")).refusal
    assert refusal is not None
    assert refusal.exit_code == 2
    assert "unknown device 'gpu'" in refusal.message


@pytest.mark.compute
def test_without_names_it_is_the_checkouts_own_models_without_families_and_baselines(tmp_path: Path) -> None:
    own = describe(request()).models
    assert "scratch/vit" in own
    assert all(isinstance(each, Described) and each.of_checkout for each in own.values())
    assert not [name for name in own if name.startswith("baseline/") or name.endswith("*")]
    assert describe(request(folder=str(tmp_path))).models == {}


def test_a_copy_in_an_environment_inside_the_checkout_is_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sysconfig, "get_path", lambda kind: str(ROOT / "plugins"))
    assert describe(request()).models == {}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a copy of a plugin from a folder, as ``pip install .`` does, and return the folder."""
    tree, site = tmp_path / "tree", tmp_path / "site"
    info = site / "copied_dist-1.0.dist-info"
    info.mkdir(parents=True)
    tree.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: copied-dist\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vitbench]\ncopied = copied\n")
    (info / "direct_url.json").write_text(json.dumps({"url": tree.as_uri(), "dir_info": {}}))
    (site / "copied.py").write_text(COPIED)
    monkeypatch.syspath_prepend(str(site))
    module._installed_from.cache_clear()
    yield tree
    module._installed_from.cache_clear()
    sys.modules.pop("copied", None)


def test_a_copy_is_the_checkouts_where_it_was_installed_just_now_but_not_in_place(installed: Path) -> None:
    made, in_place = (
        describe(request("copied/net", folder=str(installed), tree=str(tree)))
        for tree in (installed.with_name("elsewhere"), installed)
    )
    found = [description.models["copied/net"] for description in (made, in_place)]
    assert [one.of_checkout for one in found if isinstance(one, Described)] == [True, False]


def test_a_package_of_the_working_tree_in_another_checkouts_environment_is_told(
    installed: Path, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    assert describe(request("vit", folder=str(checkout), tree=str(installed))).elsewhere == ("copied-dist",)
    assert describe(request("vit", folder=str(installed), tree=str(installed))).elsewhere == ()


def test_a_plugin_that_is_broken_is_told(installed: Path) -> None:
    (installed.with_name("site") / "copied.py").write_text("import no_such_module_anywhere")
    problems = describe(request("vit")).problems
    assert "copied-dist 1.0), load: ModuleNotFoundError" in problems["copied"]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModelSpec], None]:
    """Make one model the only one."""

    def only(spec: ModelSpec) -> None:
        plugin = Plugin(name="tiny", distribution="tiny", version="1", module="factories")
        name = f"tiny/{spec.name}"
        catalog = Catalog(plugins=(plugin,), models={name: Offer(name=name, plugin=plugin, spec=spec)})
        monkeypatch.setattr(module, "load_catalog", lambda: catalog)

    return only


def test_a_module_that_is_not_installed_is_told(offer: Callable[[ModelSpec], None]) -> None:
    offer(ModelSpec(name="net", build="x:y", summary="s", requires=("no_such_module",)))
    assert model("net") == Refusal(
        message="model tiny/net needs the module no_such_module, which is not installed.", exit_code=3
    )


def test_an_error_of_a_plugin_is_told_with_the_model(offer: Callable[[ModelSpec], None]) -> None:
    def resolve(name: str) -> ModelSpec:
        raise RuntimeError(f"no\n{name}")

    offer(ModelSpec(name="*", build="x:y", summary="s", resolve=resolve))
    assert model("tiny/net") == Refusal(
        message="model tiny/net: its family could not be queried: RuntimeError: no net", exit_code=3
    )


def test_a_member_of_a_family_is_completed(offer: Callable[[ModelSpec], None]) -> None:
    def resolve(name: str) -> ModelSpec:
        if name != "wide":
            raise LookupError(f"no {name} here")
        return ModelSpec(name=name, build="x:y", summary="s", image_size=48, in_channels=1, options={"width": 8})

    offer(ModelSpec(name="*", build="x:y", summary="s", resolve=resolve))
    found = model("tiny/wide:width=9")
    assert isinstance(found, Described)
    cell = found.cells[0].cell
    assert (cell.model, cell.options, cell.input_shape) == ("tiny/wide", {"width": 9}, (1, 48, 48))
    assert model("tiny/thin") == Refusal(message="model tiny/thin: no thin here", exit_code=2)


def ask(text: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "vitbench.tracking.describe"]
    return subprocess.run(command, input=text, capture_output=True, check=True)


@pytest.mark.process
def test_the_answer_is_all_that_is_on_stdout() -> None:
    asked = request("vit", device="gpu")  # a refusal, which takes no model
    done = ask(msgspec.json.encode(asked))
    assert msgspec.json.decode(done.stdout, type=Description) == describe(asked)


@pytest.mark.process
def test_to_another_protocol_it_says_its_own_whatever_else_is_asked() -> None:
    done = ask(json.dumps({"protocol": PROTOCOL + 1, "unheard": "of"}).encode())
    assert msgspec.json.decode(done.stdout) == {"protocol": PROTOCOL}
    assert msgspec.json.decode(msgspec.json.encode(Description()), type=Greeting) == Greeting(protocol=PROTOCOL)


def test_the_protocol_is_raised_with_its_messages() -> None:
    """Where this fails, raise `PROTOCOL`: a vitbench of before does not understand what has changed."""
    messages = (Request, Description, live.Order, live.RunCalls, live.Ready, live.Ran, live.Failed)
    assert (PROTOCOL, digest([shape(message) for message in messages])) == (12, "4a41c16fffcf7d81")


def shape(kind: Any) -> Any:
    """Return the names and types of a message's fields, all the way down."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {field.name: shape(field.type) for field in msgspec.structs.fields(kind)}
    return [shape(part) for part in get_args(kind)] or str(kind)
