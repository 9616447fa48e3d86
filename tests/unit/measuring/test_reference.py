"""The reference network is the same in each process and under all flags, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch

from vitbench.measuring import reference
from vitbench.measuring.reference import REFERENCE, make_reference, reference_network
from vitbench.records import Mode

pytestmark = pytest.mark.compute

CPU = torch.device("cpu")


def test_its_weights_are_the_same_each_time_and_torchs_generator_stays_as_it_was() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = reference_network().state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    second = reference_network().state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_a_step_leaves_torchs_generator_as_it_was(mode: Mode) -> None:
    before = torch.get_rng_state()
    make_reference(mode, CPU).step()
    assert torch.equal(torch.get_rng_state(), before)


@contextmanager
def float64_by_default() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("around", [float64_by_default, lambda: torch.device("meta")])
def test_its_weights_are_float32_on_the_cpu_whatever_is_the_default(
    around: Callable[[], AbstractContextManager[object]],
) -> None:
    with around():
        network = reference_network()
    assert {(each.dtype, each.device.type) for each in network.parameters()} == {(torch.float32, "cpu")}


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_so_is_what_it_computes(mode: Mode) -> None:
    with float64_by_default():
        assert make_reference(mode, CPU).step().dtype == torch.float32


def test_its_batch_is_its_own_and_processes_give_the_same_outputs() -> None:
    references = [make_reference("inference", CPU) for _ in range(2)]
    with torch.inference_mode():
        first, second = (reference.step() for reference in references)
    assert {(each.name, each.batch_size) for each in references} == {(REFERENCE, len(first))}
    assert torch.equal(first, second)
    assert bool(first.std() > 0)


def test_a_training_step_changes_all_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    network = reference_network()
    monkeypatch.setattr(reference, "reference_network", lambda: network)
    before = {name: weights.detach().clone() for name, weights in network.named_parameters()}
    make_reference("training", CPU).step()
    unchanged = [name for name, weights in network.named_parameters() if torch.equal(weights, before[name])]
    assert unchanged == []
