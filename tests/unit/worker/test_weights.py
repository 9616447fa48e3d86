"""Whose word counts on how weights want their images, and which of their outputs is which class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import factories
import msgspec
import numpy as np
import pytest
from torch import nn

from vitbench.errors import UnusableError, UsageError, VitbenchError
from vitbench.protocols import Split
from vitbench.specs import ModelSpec, Preprocess
from vitbench.training.card import Card, save_weights
from vitbench.worker.weights import PLAIN, Weights, preprocess_of, weights_of

OWN = Preprocess(mean=(0.1,), std=(0.2,), interpolation="bilinear", crop_fraction=0.9, crop_mode="squash")
CARD = Card(mean=(0.3,), std=(0.4,), crop_fraction=0.8, image_size=(32, 48), in_channels=1, class_names=("a", "b"))
OF_CARD = Preprocess(mean=(0.3,), std=(0.4,), crop_fraction=0.8)


def spec(**fields: Any) -> ModelSpec:
    return ModelSpec(**{"name": "net", "build": "m:b", "summary": "x", "options": {"checkpoint": ""}, **fields})


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    save_weights(nn.Linear(1, 1), tmp_path / "net.safetensors", CARD)
    return str(tmp_path / "net.safetensors")


def test_the_name_goes_before_the_file_and_the_file_before_the_spec(checkpoint: str) -> None:
    own = spec(preprocess=OWN)
    alone = weights_of(own, {"checkpoint": ""}, trains=False)
    assert (alone.spec.preprocess, alone.source, alone.class_names) == (OWN, "the model's spec", ())
    filed = weights_of(own, {"checkpoint": checkpoint}, trains=False)
    expected = Preprocess(mean=(0.3,), std=(0.4,), interpolation="bilinear", crop_fraction=0.8, crop_mode="squash")
    assert (filed.spec.preprocess, filed.source, filed.class_names) == (expected, "the checkpoint", ("a", "b"))
    said = {"checkpoint": checkpoint, "mean": (0.5,), "std": (0.6,), "crop_mode": "border"}
    named = weights_of(own, said, trains=False)
    expected = Preprocess(mean=(0.5,), std=(0.6,), interpolation="bilinear", crop_fraction=0.8, crop_mode="border")
    assert (named.spec.preprocess, named.source) == (expected, "the model's name")


def test_weights_of_which_nothing_is_known_are_not_normalised_by_the_data() -> None:
    scored = weights_of(spec(), {"checkpoint": ""}, trains=False)
    assert (scored.spec.preprocess, scored.source) == (PLAIN, "nothing that says it")
    trained = weights_of(spec(), {"checkpoint": ""}, trains=True)
    assert (trained.spec.preprocess, trained.source) == (None, "")


def test_a_border_is_that_of_the_weights_training(tmp_path: Path) -> None:
    card = msgspec.structs.replace(CARD, crop_mode="border", fill=(0.0,))
    save_weights(nn.Linear(1, 1), path := tmp_path / "net.safetensors", card)
    for trains in (True, False):
        how = weights_of(spec(), {"checkpoint": str(path)}, trains=trains).spec.preprocess
        assert how is not None
        assert (how.mean, how.fill) == (CARD.mean, (0.0,))


def test_a_spec_may_say_what_holds_for_checkpoints_alone(tmp_path: Path) -> None:
    (tmp_path / "net.bin").write_bytes(b"")
    asked = spec(checkpoint_preprocess=OWN)
    assert weights_of(asked, {"checkpoint": str(tmp_path / "net.bin")}, trains=True).spec.preprocess == OWN
    assert weights_of(asked, {"checkpoint": ""}, trains=True).spec.preprocess is None


def test_size_and_channels_are_the_weights_where_the_model_follows_the_data(checkpoint: str) -> None:
    scored = weights_of(spec(), {"checkpoint": checkpoint}, trains=False).spec
    assert (scored.preprocess, scored.input_size, scored.in_channels) == (OF_CARD, (32, 48), 1)
    trained = weights_of(spec(), {"checkpoint": checkpoint}, trains=True).spec
    assert (trained.input_size, trained.in_channels) == (None, 1)
    fixed = weights_of(spec(image_size=64), {"checkpoint": checkpoint}, trains=False).spec
    assert fixed.input_size == (64, 64)
    anyhow = weights_of(spec(image_size=64, any_size=True), {"checkpoint": checkpoint}, trains=False).spec
    assert anyhow.input_size == (32, 48)
    stated = weights_of(spec(), {"checkpoint": checkpoint, "image_size": "16", "channels": 3}, trains=False).spec
    assert (stated.input_size, stated.in_channels) == ((16, 16), 3)


@pytest.mark.parametrize(
    ("options", "trains", "error", "words"),
    [
        ({"mean": (0.5,)}, False, UsageError, "mean and std are given together"),
        ({"crop_fraction": 0.5}, True, UsageError, "give mean and std together with how its images are resized"),
        ({"mean": (0.5, 0.5), "std": (1.0, 1.0), "channels": 3}, False, UsageError, "values for 2 channels"),
        ({"mean": (0.5,), "std": (0.0,)}, False, UsageError, "std must be positive"),
    ],
)
def test_what_does_not_go_together_is_refused(
    options: dict[str, Any], trains: bool, error: type[VitbenchError], words: str
) -> None:
    with pytest.raises(error, match=words):
        weights_of(spec(), {"checkpoint": "", **options}, trains=trains)


def test_class_names_are_read_from_a_file(tmp_path: Path, checkpoint: str) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat\n dog \n\n", encoding="utf-8")
    options = {"checkpoint": checkpoint, "class_names": str(names)}
    assert weights_of(spec(), options, trains=False).class_names == ("cat", "dog")
    names.write_text("cat\ncat\n", encoding="utf-8")
    with pytest.raises(UnusableError, match="contain a name twice"):
        weights_of(spec(), options, trains=False)


def test_the_spec_names_classes_where_nothing_else_does_and_nothing_learns(checkpoint: str) -> None:
    named = spec(class_names=lambda checkpoint: ["cafe\u0301", ("dog", "n02"), ()])
    alone = weights_of(named, {"checkpoint": ""}, trains=False)
    assert (alone.outputs, alone.names_source) == ((("caf\u00e9",), ("dog", "n02"), ()), "the model's spec")
    assert alone.class_names == ("caf\u00e9", "dog", "")
    filed = weights_of(named, {"checkpoint": checkpoint}, trains=False)
    assert (filed.outputs, filed.names_source) == ((("a",), ("b",)), "the checkpoint")
    assert weights_of(named, {"checkpoint": ""}, trains=True).outputs == ()


def test_a_border_is_black_where_the_training_split_gives_the_mean() -> None:
    """The cache has laid it before the mean was known."""
    split = Split(images=np.full((4, 1, 2, 2), 102, np.uint8), index=np.arange(4), labels=np.zeros(4, np.int64))
    planned, spec = factories.quality_cell("a"), ModelSpec(name="net", build="m:b", summary="x")
    how = preprocess_of(Weights(spec=spec, crop_mode="border"), planned, split)
    assert (how.mean, how.fill) == ((0.4,), (0.0,))
    assert preprocess_of(Weights(spec=spec), planned, split).fill == ()
