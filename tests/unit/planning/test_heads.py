"""How many classes a head has, which of them judge the data, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import factories
import msgspec
import pytest
from safetensors.torch import save_file
from torch import nn

from vitbench.catalog import Plugin
from vitbench.errors import UnusableError
from vitbench.planning.heads import describe_head, own_head, resolve_head
from vitbench.planning.resolve import ResolvedModel
from vitbench.records import Head
from vitbench.specs import ModelSpec

PLUGIN = Plugin(name="zoo", distribution="d", version="1", module="m", sha256="5ha")
DATA = msgspec.structs.replace(factories.data_info(), class_names=("cat", "dog"), title="pets", shape=(1, 2, 2))
NAMES = tuple((name,) for name in ("dog", "cow", "cat", "output 1"))


def net(*, num_classes: int, in_channels: int, **_: Any) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4 * in_channels, 3), nn.Linear(3, num_classes))


def model(tmp_path: Path, *, outputs: Any = (), source: str = "", classes: int = 0, **fields: Any) -> ResolvedModel:
    """Return a model, with a checkpoint that has a head for so many classes."""
    options, files = {}, {}
    if classes:
        path = tmp_path / "net.safetensors"
        save_file(net(num_classes=classes, in_channels=1).state_dict(), path)
        options, files = {"checkpoint": str(path)}, {"checkpoint": "5ha"}
    spec = ModelSpec(name="net", build=net, summary="x", options={"checkpoint": ""})
    return ResolvedModel(
        name="zoo/net",
        label="net",
        plugin=PLUGIN,
        spec=spec,
        options=options,
        files=files,
        outputs=outputs,
        names_source=source,
        **fields,
    )


@pytest.mark.parametrize(
    ("outputs", "source", "classes", "head"),
    [
        (NAMES, "the checkpoint", 0, Head(outputs=4, of_classes=((2,), (0,)))),
        (NAMES, "the model's spec", 4, Head(outputs=4, of_classes=((2,), (0,)))),
        (NAMES, "the model's spec", 2, Head(outputs=2)),  # of other weights than those that the spec names
        ((), "", 2, Head(outputs=2)),
        ((), "", 0, Head(outputs=2)),
        (((),) * 2, "the model's spec", 0, Head(outputs=2)),
    ],
)
def test_a_head_is_as_its_names_say_else_as_the_checkpoint_has_it(
    tmp_path: Path, outputs: Any, source: str, classes: int, head: Head
) -> None:
    own = own_head(model(tmp_path, outputs=outputs, source=source, classes=classes), DATA)
    assert resolve_head(own, DATA, {})[0] == head


def test_a_head_of_which_only_the_size_is_known_wants_a_class_map(tmp_path: Path) -> None:
    given = own_head(model(tmp_path, classes=5), DATA)
    with pytest.raises(UnusableError, match=r"head has 5 classes without a name, but the data has 2; map outputs"):
        resolve_head(given, DATA, {"class_map": ""})
    (tmp_path / "map.csv").write_text("cat,4\ndog,1\ndog,0\n")
    found = resolve_head(given, DATA, {"class_map": str(tmp_path / "map.csv"), "classes": "subset"})
    assert found == (Head(outputs=5, of_classes=((4,), (1, 0))), "by the class map")


def test_a_file_of_class_names_has_one_for_each_output(tmp_path: Path) -> None:
    given = model(tmp_path, outputs=NAMES, source="the model's name", classes=5)
    with pytest.raises(UnusableError, match="checkpoint has 5 classes, and its class_names are 4; give one line"):
        own_head(given, DATA)


def test_a_checkpoint_that_cannot_be_read_leaves_its_head_to_building(tmp_path: Path) -> None:
    given = model(tmp_path, classes=5)
    Path(str(given.options["checkpoint"])).write_bytes(b"")
    assert own_head(given, DATA).outputs == 2


def test_classes_that_compete_have_names_of_their_own(tmp_path: Path) -> None:
    outputs = (("dog",), (), ("mouse",), ("cat", "puss"), ("puss",))
    given = own_head(model(tmp_path, outputs=outputs, source="the checkpoint"), DATA)
    data = msgspec.structs.replace(DATA, class_names=("dog", "mouse"))
    assert resolve_head(given, data, {"classes": "all"})[0].others == ("output 1", "cat", "puss")
    (tmp_path / "map.json").write_text('{"dog": "cat", "mouse": "mouse"}')
    found, _ = resolve_head(given, data, {"classes": "all", "class_map": str(tmp_path / "map.json")})
    assert found == Head(outputs=5, of_classes=((3,), (2,)), others=("dog (output 0)", "output 1", "puss"))


@pytest.mark.parametrize(
    ("head", "how", "source", "words"),
    [
        (
            Head(outputs=2),
            "",
            "",
            "net: the classes of its weights are unnamed; its outputs are taken in the order of pets's",
        ),
        (Head(outputs=2), "by name", "the checkpoint", ""),
        (
            Head(outputs=2),
            "by name",
            "the model's spec",
            "its outputs are pets's classes in their order, matched by name",
        ),
        (Head(outputs=2), "by number", "the checkpoint", "in their order, matched by number"),
        (
            Head(outputs=2, of_classes=((1,), (0,))),
            "by name",
            "the checkpoint",
            "in a different order from pets's, and are",
        ),
        (
            Head(outputs=9, of_classes=((1,), (0,))),
            "by name",
            "the checkpoint",
            "scored on 2 of the head's 9 classes, mat",
        ),
    ],
)
def test_what_is_taken_for_granted_is_said(tmp_path: Path, head: Head, how: str, source: str, words: str) -> None:
    said = [*describe_head(model(tmp_path, classes=2, source=source), DATA, head, how)]
    assert len(said) == bool(words)
    assert words in "".join(said)
