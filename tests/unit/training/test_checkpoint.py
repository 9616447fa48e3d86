"""Checkpoints of other trainers: what is taken off and said, what is refused, and that nothing in a file is run."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vitbench.errors import UnusableError
from vitbench.training.checkpoint import load_checkpoint, load_state, read_state


def small_net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return small_net().state_dict()


def assert_loads(path: Path, state: dict[str, torch.Tensor]) -> dict[str, str]:
    """Check that a file gives a state; return what the module says of it."""
    torch.manual_seed(2)
    module = small_net()
    assert not torch.equal(module[0].weight, state["0.weight"])
    load_checkpoint(module, path)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    return getattr(module, "facts", {})


State = dict[str, torch.Tensor]


def behind(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("wrap", "taken"),
    [
        (dict, ""),
        (lambda s: {"state_dict": s, "epoch": 3}, "under state_dict"),
        (lambda s: {"model_state_dict": s, "loss": np.float32(0.5)}, "under model_state_dict"),
        (
            lambda s: {
                "state_dict": s,
                "args": argparse.Namespace(lr=0.1, best=np.float64(80.0), tag=np.str_("a"), to=Path("out")),
            },
            "under state_dict",
        ),
        (lambda s: {"state_dict_ema": s, "metric": np.bool_(True)}, "under state_dict_ema"),
        (
            lambda s: {"state_dict": s, "state_dict_ema": {name: 0 * tensor for name, tensor in s.items()}},
            "under state_dict, not the averaged ones under state_dict_ema",
        ),
        (behind("module."), "named module.*"),
        (behind("_orig_mod.module."), "named _orig_mod.module.*"),
        (lambda s: {"state_dict": behind("model.")(s)}, "under state_dict, named model.*"),
        (
            lambda s: {"n_averaged": torch.tensor(3), **behind("module.")(s)},
            "named module.* (left out: n_averaged)",
        ),
        (lambda s: {name.replace("0.", "0._orig_mod."): tensor for name, tensor in s.items()}, "inside wrappers"),
    ],
)
def test_what_trainers_lay_around_weights_is_taken_off_and_said(
    tmp_path: Path, state: State, wrap: Callable[[State], object], taken: str
) -> None:
    torch.save(wrap(state), tmp_path / "net.pt")
    assert assert_loads(tmp_path / "net.pt", state) == ({"checkpoint": taken} if taken else {})


def test_a_model_whose_own_names_begin_as_those_of_a_wrapper_keeps_them(tmp_path: Path, state: State) -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = small_net()

    torch.save(Wrapper().state_dict() | behind("model.")(state), tmp_path / "net.pt")
    wrapper = Wrapper()
    load_checkpoint(wrapper, tmp_path / "net.pt")
    assert torch.equal(wrapper.model[0].weight, state["0.weight"])


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.float8_e4m3fn])
def test_numbers_of_another_kind_are_refused_not_cast(state: State, dtype: torch.dtype) -> None:
    state["2.weight"] = state["2.weight"].to(dtype)
    with pytest.raises(UnusableError, match=rf"2.weight is {str(dtype)[6:]}, the model needs float32, and numbers of"):
        load_state(small_net(), state, source="a.pt")


def test_half_precision_is_cast_and_counters_of_another_width_are(state: State) -> None:
    state |= {"0.weight": state["0.weight"].half(), "1.num_batches_tracked": torch.tensor(3, dtype=torch.int32)}
    module = small_net()
    load_state(module, state, source="a.pt")
    assert module[0].weight.dtype == torch.float32
    assert module[1].num_batches_tracked == 3


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


class Objects:
    """A NumPy scalar of a type that holds objects: its bytes would be taken for addresses of objects."""

    def __reduce__(self):
        return np._core.multiarray.scalar, (Structured(), b"\x41" * 8)


class Structured:
    def __reduce__(self):
        return np.dtype, ([("field", "O")],)


def test_numpys_types_of_objects_are_refused(tmp_path: Path, state: State) -> None:
    torch.save({"state_dict": state, "metric": Objects()}, tmp_path / "net.pt")
    with pytest.raises(UnusableError, match=r"cannot be read by torch"):
        read_state(tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("name", "content"), [("net.safetensors", b""), ("net.safetensors", b"not a checkpoint"), ("net.pt", b"")]
)
def test_broken_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableError, match=f"{name} cannot be read by"):
        read_state(tmp_path / name)


def test_missing_file(tmp_path):
    with pytest.raises(UnusableError, match=r"nothing.pt is not a file"):
        read_state(tmp_path / "nothing.pt")


@pytest.mark.parametrize("content", [{"epoch": 3}, torch.zeros(2)])
def test_no_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(UnusableError, match=r"net.pt contains no state dict"):
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
