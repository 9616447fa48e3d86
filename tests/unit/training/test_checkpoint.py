from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vitbench.errors import UnusableError
from vitbench.training.checkpoint import load_checkpoint, load_state, read_state


def small_net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return small_net().state_dict()


def assert_loads(path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(2)
    module = small_net()
    assert not torch.equal(module[0].weight, state["0.weight"])
    load_checkpoint(module, path)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_safetensors(tmp_path, state):
    save_file(state, tmp_path / "net.safetensors")
    assert_loads(tmp_path / "net.safetensors", state)


@pytest.mark.parametrize("wrap", [dict, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
def test_torch_file(tmp_path, state, wrap):
    torch.save(wrap(state), tmp_path / "net.pt")
    assert_loads(tmp_path / "net.pt", state)


class Bomb:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self):
        return Path.touch, (self.flag,)


def test_pickled_objects_are_refused_and_never_run(tmp_path):
    flag = tmp_path / "it ran"
    with (tmp_path / "bomb.pt").open("wb") as file:
        pickle.dump({"weight": Bomb(flag)}, file)
    torch.save({"weight": Bomb(flag)}, tmp_path / "bomb.pth")
    for name in ("bomb.pt", "bomb.pth"):
        with pytest.raises(UnusableError, match=rf"{name} cannot be read by torch.load\(weights_only=True\)"):
            read_state(tmp_path / name)
    assert not flag.exists()


@pytest.mark.parametrize("name", ["net.safetensors", "net.pt"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_broken_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableError, match=f"{name} cannot be read by"):
        read_state(tmp_path / name)


def test_missing_file(tmp_path):
    with pytest.raises(UnusableError, match=r"nothing.pt is not a file"):
        read_state(tmp_path / "nothing.pt")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.zeros(2)])
def test_no_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(UnusableError, match=r"net.pt holds no state dict"):
        read_state(tmp_path / "net.pt")


def test_misfit_names_first_keys_and_counts(state):
    module = small_net()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    del state["0.bias"], state["2.weight"]
    state["fc.weight"] = torch.zeros(1)
    with pytest.raises(
        UnusableError, match=r"^checkpoint a.pt .* 2 missing \(first: 0.bias\) and 1 unexpected \(first: fc.weight\)$"
    ):
        load_state(module, state, source="a.pt")
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_only_the_sides_that_misfit_are_named(state):
    del state["0.bias"]
    with pytest.raises(UnusableError, match=r"of its keys 1 missing \(first: 0.bias\)$"):
        load_state(small_net(), state, source="a.pt")


def test_shape_mismatch_names_both_shapes(state):
    state["2.weight"] = torch.zeros(10, 4)
    with pytest.raises(UnusableError, match=r"2.weight is 10x4, the model needs 2x4"):
        load_state(small_net(), state, source="a.pt")
