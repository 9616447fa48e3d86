"""The best epoch: which one is kept, when patience runs out, and what does not go together."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vitbench.errors import UsageError
from vitbench.training import BestEpoch


def play(scores: list[float], *, keep: str = "best", patience: int = 0) -> tuple[BestEpoch, nn.Module, list[float]]:
    """Train a model whose only weight is the number of the epoch; return what it ends with."""
    model = nn.Linear(1, 1, bias=False)
    best, kept = BestEpoch(model, keep=keep, patience=patience), []
    for epoch, score in enumerate(scores, start=1):
        if best.is_over:
            break
        nn.init.constant_(model.weight, epoch)
        kept.append(best.add(epoch, score).get("best_epoch", 0))
    best.apply()
    return best, model, kept


@pytest.mark.parametrize(
    ("scores", "kept"), [([0.1, 0.5, 0.3], [1, 2, 2]), ([0.5, 0.5, 0.2], [1, 2, 2]), ([0.0, 0.0], [1, 2])]
)
def test_the_best_epoch_is_kept_the_latest_of_equals(scores: list[float], kept: list[float]) -> None:
    _, model, found = play(scores)
    assert found == kept
    assert model.weight.item() == kept[-1]


def test_the_last_epoch_is_as_it_is() -> None:
    best, model, found = play([0.9, 0.1], keep="last")
    assert (model.weight.item(), found, best.state_dict()["weights"]) == (2, [0, 0], {})


def test_patience_ends_after_so_many_epochs_without_a_better_one() -> None:
    assert play([0.1, 0.5, 0.5, 0.4, 0.9], patience=2)[2] == [1, 2, 3, 3]
    assert len(play([0.1, 0.5, 0.4, 0.6, 0.1], patience=2)[2]) == 5


def test_it_goes_on_from_its_state() -> None:
    best, _, _ = play([0.1, 0.5, 0.4], patience=2)
    model = nn.Linear(1, 1, bias=False)
    again = BestEpoch(model, keep="best", patience=2)
    again.load_state_dict(best.state_dict())
    again.add(4, 0.3)
    assert again.is_over
    again.apply()
    assert torch.equal(model.weight.detach(), torch.tensor([[2.0]]))


def test_patience_with_the_last_epoch_is_refused() -> None:
    with pytest.raises(UsageError, match='needs keep = "best"'):
        BestEpoch(nn.Linear(1, 1), keep="last", patience=3)
