"""Weights are kept whole, or what is lost is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import factories
import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from vitbench.records import Allotted
from vitbench.specs import Preprocess
from vitbench.training.card import Card
from vitbench.training.checkpoint import load_checkpoint
from vitbench.training.module_state import unsaved_buffers
from vitbench.worker.keeping import card_of, keep_weights


class Extra(nn.Module):
    """Keeps something beside tensors."""

    def __init__(self, kept: Any = None) -> None:
        super().__init__()
        self.head, self.kept = nn.Linear(3, 2), kept

    def get_extra_state(self) -> Any:
        return self.kept

    def set_extra_state(self, state: Any) -> None:
        self.kept = state


class Tied(nn.Module):
    """Has one tensor under two names, and a buffer that its state dict leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("seen", torch.zeros(1), persistent=False)


def normalised() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 2)))


def grown(model: nn.Module) -> nn.Module:
    model.add_module("late", nn.Linear(3, 3))
    return model


def seeing(model: nn.Module) -> nn.Module:
    model.seen.add_(1)
    return model


def thinned(model: nn.Module) -> nn.Module:
    model.weight = nn.Parameter(model.weight.detach().to_sparse())
    return model


def same(model: nn.Module) -> nn.Module:
    return model


@pytest.mark.parametrize(
    ("build", "train", "lost"),
    [
        (lambda: Extra({"steps": 3, "names": ["a (b)"]}), same, ""),
        (lambda: Extra(torch.ones(2)), same, ""),
        (lambda: Extra((1, 2)), same, "not kept: _extra_state is of type tuple, which safetensors do not hold"),
        (lambda: Extra({1: float("nan")}), same, "not kept: _extra_state is of type dict"),
        (Tied, same, ""),
        (Tied, seeing, "kept without the buffer seen, which training changed but the state dict does not include"),
        (Tied, grown, "kept, but do not fit the model as it is built: of its keys 2 unexpected (first: late.weight)"),
        (normalised, same, ""),
        (lambda: nn.Linear(3, 2), lambda model: parametrizations.weight_norm(model), "kept, but do not fit the model"),
        (lambda: nn.Linear(3, 2), thinned, "not kept: weight is a sparse or quantised tensor"),
    ],
)
def test_weights_are_kept_whole_or_what_is_lost_is_said(
    build: Callable[[], nn.Module], train: Callable[[nn.Module], nn.Module], lost: str, tmp_path: Path
) -> None:
    def anew() -> nn.Module:
        with torch.device("meta"):
            return build()

    model, path = build(), tmp_path / "weights.safetensors"
    before = unsaved_buffers(model)
    found = keep_weights(train(model), path, Card(), before=before, architecture=anew)
    assert found.startswith(lost)
    assert bool(found) == bool(lost)
    assert path.exists() != lost.startswith("not kept")
    if not lost:
        other = build()
        if isinstance(other, Extra):
            other.kept = torch.zeros(2) if isinstance(other.kept, Tensor) else None
        load_checkpoint(other, path)
        assert all(map(torch.equal, other.parameters(), model.parameters()))
        assert str(getattr(other, "kept", "")) == str(getattr(model, "kept", ""))


def test_weights_say_how_they_were_trained_a_file_by_its_hash_and_a_budget_by_what_it_left() -> None:
    planned = factories.quality_cell("vit", options={"depth": 2, "checkpoint": "/home/me/w.pt"}, epochs=3, seed=5)
    made_of = msgspec.structs.replace(planned.provenance, files={"model.checkpoint": "ab12"})
    card = card_of(
        Preprocess(mean=(0.5,), std=(0.2,), fill=(0.1,)), msgspec.structs.replace(planned, provenance=made_of)
    )
    assert planned.data is not None
    assert (card.mean, card.fill, card.class_names) == ((0.5,), (0.1,), planned.data.class_names)
    assert card.trained == {
        "model": "scratch/vit",
        "options": {"depth": 2, "checkpoint": "ab12"},
        "recipe": planned.cell.recipe,
        "recipe_options": planned.cell.recipe_options,
        "dataset": planned.data.title,
        "data_fingerprint": planned.data.fingerprint,
        "seed": 5,
        "epochs": 3,
    }

    planned = factories.quality_cell("vit")
    cell = msgspec.structs.replace(planned.cell, budget=600.0)
    allotted = Allotted(steps=120, planned_steps=130, step_seconds=0.1, seconds=12.0)
    card = card_of(Preprocess(mean=(0.5,), std=(0.2,)), msgspec.structs.replace(planned, cell=cell, allotted=allotted))
    assert (card.trained["budget"], card.trained["steps"]) == (600.0, 120)
