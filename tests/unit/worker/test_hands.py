"""A checkpoint survives a kill at any moment, tells damage, and holds what it should; what a recipe keeps is stored."""

from __future__ import annotations

import hashlib
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_resumable
import toy_training
from safetensors.torch import load_file
from torch import nn

from vitbench.errors import UsageError
from vitbench.execution.messages import kept_file
from vitbench.worker import hands as module
from vitbench.worker.hands import Hands
from vitbench.worker.runtime import seed_all

STEPS = 96 // toy_resumable.BATCH * toy_resumable.EPOCHS


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def new(tmp_path: Path, said: list[str]) -> Callable[[], Hands]:
    """Make the hands of one more attempt."""
    return lambda: Hands(tmp_path / "key.pt", curve=[], say=said.append)


def train(path: Path, watch: Callable[[int], None] = lambda step: None) -> tuple[list[torch.Tensor], Any]:
    """Train by the toy recipe with the checkpoint at a path; return the weights and the curve."""
    curve: list[dict[str, float]] = []
    hands = Hands(path, curve=curve, say=lambda _: None)

    def save(step: int, state: Any) -> None:
        watch(step)
        hands.save(step, state)

    run = toy_training.run(log=lambda **row: curve.append(row), save=save, resume=hands.resume)
    seed_all(5)
    model = toy_resumable.fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), toy_training.bars_data(), run)
    return list(model.parameters()), curve


def test_a_state_of_another_length_is_not_gone_on_from(tmp_path: Path, said: list[str]) -> None:
    """The plan of a budget can be lost: what is planned anew has other steps, and its rate falls otherwise."""
    Hands(tmp_path / "key.pt", curve=[], say=said.append, steps=100).save(40, {})
    anew = Hands(tmp_path / "key.pt", curve=[], say=said.append, steps=90)
    assert anew.resume() is None
    assert (anew.earlier_steps, anew.earlier_seconds) == (0, 0.0)
    assert said == ["the saved state of a killed training is for a different length; training starts over"]
    again = Hands(tmp_path / "key.pt", curve=[], say=said.append, steps=100).resume()
    assert again == (40, {})


def killed(path: Path, at: int, how: str) -> None:
    """Train in a process of its own, which is killed at a step: before it saves, or while it does."""

    def kill(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def watch(step: int) -> None:
        if step == at:
            {"before": kill, "writing": slow, "written": late, "renamed": after}[how]()

    def slow() -> None:
        module._Writer.write = kill  # type: ignore[method-assign]

    def late() -> None:
        os.fsync = kill

    def after() -> None:
        replace = Path.replace
        Path.replace = lambda *paths: (replace(*paths), kill())  # type: ignore[method-assign]

    if not (child := os.fork()):
        try:
            train(path, watch)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows")
def test_a_training_killed_at_four_moments_ends_with_the_same_bits(tmp_path: Path) -> None:
    weights, curve = train(tmp_path / "whole.pt")
    path = tmp_path / "killed.pt"
    for number, step in enumerate(sorted(random.Random(0).sample(range(1, STEPS), 4))):
        killed(path, step, ("before", "writing", "written", "renamed")[number % 4])
        found = module.read_checkpoint(path)
        assert found["step"] == (step if number % 4 == 3 else step - 1)
    again, rows = train(path)
    assert all(map(torch.equal, weights, again))
    assert rows == curve


def test_the_seconds_of_all_attempts_are_added(new: Callable[[], Hands], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    first = new()
    clock[0] += 40
    first.save(4, {})
    clock[0] += 1000  # lost
    second = new()
    assert second.earlier_seconds == 0
    assert second.resume() == (4, {})
    clock[0] += 5
    second.save(6, {})
    third = new()
    third.resume()
    assert (second.earlier_seconds, third.earlier_seconds) == (40, 45)


def test_without_a_checkpoint_it_starts_anew_and_without_a_place_nothing_is_saved(
    new: Callable[[], Hands], said: list[str], tmp_path: Path
) -> None:
    assert new().resume() is None
    nowhere = Hands(None, curve=[], say=said.append)
    nowhere.save(1, {})
    assert nowhere.resume() is None
    assert said == list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["a bit", "cut", "empty", "other", "folder"])
def test_a_damaged_checkpoint_is_told_and_the_training_starts_anew(
    damage: str, new: Callable[[], Hands], said: list[str], tmp_path: Path
) -> None:
    new().save(3, {"weight": torch.ones(1000)})
    path = tmp_path / "key.pt"
    content = bytearray(path.read_bytes())
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "other":
        content[:-32] = b"no zip file"
        content[-32:] = hashlib.sha256(content[:-32]).digest()
    elif damage == "a bit":
        content[len(content) // 2] ^= 1
    if damage != "folder":
        path.write_bytes(content[: {"cut": -40, "empty": 0}.get(damage, len(content))])
    assert new().resume() is None
    (sentence,) = said
    assert sentence.startswith("the saved state of a killed training is damaged (")
    assert sentence.endswith("); training starts over")
    new().save(4, {})
    assert damage == "folder" or new().resume() == (4, {})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="not Linux")
def test_a_full_disk_is_told_once_and_leaves_the_last_checkpoint(
    new: Callable[[], Hands], said: list[str], tmp_path: Path
) -> None:
    hands = new()
    hands.save(1, {})
    for size in (1, 1_000_000):  # it shows as the file is flushed, or amid it
        (tmp_path / "key.pt.part").symlink_to("/dev/full")
        hands.save(2, {"weight": torch.ones(size)})
    (sentence,) = said
    assert "key.pt cannot be written: No space left on device; training continues, but" in sentence
    assert [path.name for path in tmp_path.iterdir()] == ["key.pt"]
    assert new().resume() == (1, {})


def test_a_state_is_read_as_it_was(new: Callable[[], Hands], tmp_path: Path) -> None:
    class Rate(float):
        """What a library might use as a number."""

    base = torch.arange(100_000.0)
    state = {
        "numbers": (1, 2.5, True, None, np.float64(0.1), np.int32(7), Rate(0.5)),
        "by number": {0: [torch.eye(2), nn.Parameter(torch.ones(1))]},
        "view": base[:3],
        "kind": torch.float16,
    }
    new().save(1, state)
    _, found = new().resume()
    assert found["numbers"] == (1, 2.5, True, None, 0.1, 7, 0.5)
    assert torch.equal(found["by number"][0][0], torch.eye(2))
    assert found["view"].tolist() == [0, 1, 2]
    assert found["kind"] is torch.float16
    assert (tmp_path / "key.pt").stat().st_size < 10_000


def test_what_no_checkpoint_can_hold_is_named_with_its_place_and_the_training_goes_on(new: Callable[[], Hands]) -> None:
    hands = new()
    hands.save(1, {"optimizer": [1, object()]})
    assert hands.lost.startswith("run.save: state['optimizer'][1] is object; a checkpoint may contain tensors")


def test_what_is_kept_is_stored_and_survives_a_kill(new: Callable[[], Hands], tmp_path: Path) -> None:
    first, tied = new(), torch.arange(6.0).reshape(2, 3)
    first.keep("mask-token", {"old": torch.zeros(1)})
    first.keep("mask-token", {"one": tied, "same": tied.T})
    first.save(1, {})
    second = new()
    second.resume()
    second.keep("decoder", {})
    digests = second.write_kept(tmp_path)
    assert list(digests) == ["mask-token", "decoder"]
    path = tmp_path / kept_file("mask-token")
    assert torch.equal(load_file(path)["same"], tied.T)
    assert set(load_file(path)) == {"one", "same"}
    assert digests["mask-token"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "tensors", "words"),
    [
        ("../escape", {}, "'../escape' is not a name; use up to 64 lower-case letters"),
        ("Decoder", {}, "'Decoder' is not a name"),
        (3, {}, "3 is not a name"),
        ("decoder", nn.Linear(1, 1), 'run.keep("decoder"): give a dict of tensors by name, not Linear'),
        ("decoder", {"weight": np.ones(3)}, "not one with 'weight': ndarray"),
        ("decoder", {1: torch.ones(3)}, "not one with 1: Tensor"),
    ],
)
def test_what_cannot_be_kept_is_refused(name: Any, tensors: Any, words: str, new: Callable[[], Hands]) -> None:
    with pytest.raises(UsageError) as caught:
        new().keep(name, tensors)
    assert words in str(caught.value)
