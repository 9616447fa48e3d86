"""What files say of their weights: vitbench's own, and those of other trainers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from vitbench.errors import UnusableError
from vitbench.training.card import Card, read_card, save_weights
from vitbench.training.checkpoint import load_checkpoint

CARD = Card(
    mean=(0.1, 0.2, 0.3),
    std=(0.4, 0.5, 0.6),
    interpolation="bilinear",
    crop_fraction=0.875,
    crop_mode="squash",
    image_size=(32, 48),
    in_channels=3,
    class_names=("ö", "b"),
)


def test_what_is_saved_with_weights_is_read_again(tmp_path: Path) -> None:
    net = nn.Linear(3, 2)
    save_weights(net, tmp_path / "net.safetensors", CARD)
    assert read_card(tmp_path / "net.safetensors") == CARD
    other = nn.Linear(3, 2)
    load_checkpoint(other, tmp_path / "net.safetensors")
    assert torch.equal(net.weight, other.weight)
    assert load_file(tmp_path / "net.safetensors").keys() == {"weight", "bias"}


class Odd(nn.Module):
    """Weights of types and shapes that are not those of numpy: a scalar, nothing, bfloat16, truth values."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scalar", torch.tensor(3))
        self.register_buffer("nothing", torch.zeros(0, 4))
        self.register_buffer("small", torch.randn(4, 3).to(torch.bfloat16).T)
        self.register_buffer("truth", torch.tensor([True, False]))


@pytest.mark.parametrize("make", [lambda: nn.Linear(3, 2), Odd], ids=["linear", "odd types"])
def test_numbers_that_were_damaged_since_are_noticed(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_weights(make(), path, CARD)
    load_checkpoint(make(), path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnusableError, match=r"net\.safetensors is damaged: its weights are not those"):
        load_checkpoint(make(), path)
    save_file(load_file(path), path)
    load_checkpoint(make(), path)  # one that says nothing of its numbers is read


TIMM = {"mean": None, "std": None, "interpolation": "", "crop_pct": None, "img_size": None, "input_size": None}


@pytest.mark.parametrize(
    ("content", "card"),
    [
        ({}, Card()),
        ({"class_to_idx": {"b": 1, "a": 0, "c": 2}}, Card(class_names=("a", "b", "c"))),
        ({"class_to_idx": {"b": 1, "a": 5}}, Card()),
        ({"classes": ["x", "y"]}, Card(class_names=("x", "y"))),
        ({"classes": 10}, Card()),
        ({"arch": "resnet18", "args": argparse.Namespace(**TIMM)}, Card()),
        (
            {"arch": "resnet18", "args": argparse.Namespace(**TIMM | {"mean": [0.5], "std": [0.25], "img_size": 96})},
            Card(mean=(0.5,), std=(0.25,), image_size=(96, 96)),
        ),
        (
            {"arch": "a", "args": {**TIMM, "crop_pct": 0.95, "interpolation": "bilinear", "input_size": [1, 32, 48]}},
            Card(crop_fraction=0.95, interpolation="bilinear", image_size=(32, 48), in_channels=1),
        ),
        ({"args": argparse.Namespace(mean=[7.0])}, Card()),
    ],
)
def test_what_other_trainers_leave_is_read(content: dict[str, Any], card: Card, tmp_path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(2)}, **content}, tmp_path / "net.pth")
    assert read_card(tmp_path / "net.pth") == card


@pytest.mark.parametrize("name", ["net.npz", "net.safetensors"])
def test_files_that_only_their_model_reads_say_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"something else")
    assert read_card(tmp_path / name) == Card()


def test_a_card_that_cannot_be_used_is_refused_with_its_field(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "a.safetensors", metadata={"vitbench": '{"image_size": [1, 2, 3]}'})
    with pytest.raises(UnusableError, match=r"a.safetensors has unusable information about its weights: .*image_size"):
        read_card(tmp_path / "a.safetensors")
