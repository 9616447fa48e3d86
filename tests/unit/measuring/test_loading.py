"""Loading: full batches, in turn without and with the model, the first of each dropped."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vitbench.measuring import loading as module
from vitbench.measuring.loading import measure_loading
from vitbench.protocols import Loading

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Give a clock that only the work itself moves, on a machine that disturbs nothing."""
    now = 0.0

    def work(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(time, "perf_counter_ns", lambda: round(1e9 * now))
    monkeypatch.setattr(module, "disturbances", lambda start, end, **_: ([], []))
    return work


class Road:
    """Loads in `load` seconds and runs the model in `forward` seconds; the first call of each takes ten times that."""

    def __init__(self, work: Callable[[float], None], *, load: float, forward: float) -> None:
        self.work, self.seconds = work, {"load": load, "forward": forward}
        self.asked: list[NDArray[np.int64]] = []
        self.calls: list[str] = []

    def measure(self, *, count: int = 100, batch_size: int = 8) -> Loading:
        return measure_loading(self._load, self._forward, count=count, batch_size=batch_size, device=CPU)

    def _step(self, name: str) -> None:
        self.work(self.seconds[name] * (1 if name in self.calls else 10))
        self.calls.append(name)

    def _load(self, rows: NDArray[np.int64]) -> torch.Tensor:
        self._step("load")
        self.asked.append(rows)
        return torch.from_numpy(rows)

    def _forward(self, images: torch.Tensor) -> torch.Tensor:
        assert torch.equal(images, torch.from_numpy(self.asked[-1]))
        self._step("forward")
        return images


def test_both_are_timed_in_turn_on_the_same_rows_without_their_first_batch(work: Callable[[float], None]) -> None:
    road = Road(work, load=0.01, forward=0.03)
    found = road.measure()
    assert found.data_seconds == pytest.approx([0.01] * 8)
    assert found.end_to_end_seconds == pytest.approx([0.04] * 8)
    assert found.batch_size == 8
    assert (found.warnings, found.errors) == ((), ())
    assert road.calls == ["load", "load", "forward"] * 9
    assert all(np.array_equal(*road.asked[i : i + 2]) for i in range(0, 18, 2))


def test_batches_are_full_and_go_round_a_small_split(work: Callable[[float], None]) -> None:
    road = Road(work, load=0.1, forward=0.1)
    road.measure(count=5, batch_size=4)
    assert [rows.tolist() for rows in road.asked[::2]] == [[0, 1, 2, 3], [4, 0, 1, 2], [3, 4, 0, 1], [2, 3, 4, 0]]
    road = Road(work, load=0.1, forward=0.1)
    road.measure(count=3, batch_size=4)
    assert road.asked[0].tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(("seconds", "batches"), [(100.0, 3), (0.05, 4), (1e-6, 50)])
def test_a_slow_model_gets_a_few_batches_and_a_fast_one_no_end_of_them(
    seconds: float, batches: int, work: Callable[[float], None]
) -> None:
    found = Road(work, load=seconds, forward=0.0).measure()
    assert len(found.data_seconds) == len(found.end_to_end_seconds) == batches


def test_the_forward_pass_that_varies_is_named(work: Callable[[float], None]) -> None:
    road = Road(work, load=0.01, forward=0.03)
    slower = iter([0.03] * 4 + [0.04] * 100)

    def forward(images: torch.Tensor) -> torch.Tensor:
        work(next(slower))
        return images

    found = measure_loading(road._load, forward, count=100, batch_size=8, device=CPU)
    assert found.warnings[0].startswith("through the model: IQR ")
    assert all(warning.startswith("through the model: ") for warning in found.warnings)
    assert found.errors == ()


@pytest.mark.parametrize(
    ("pause", "warnings"),
    [(0.02, ()), (0.05, ("through the model: the slowest blocks pull the mean 13% away from the median",))],
)
def test_one_disturbed_batch_among_many_is_told_where_the_figure_moves(
    pause: float, warnings: tuple[str, ...], work: Callable[[float], None]
) -> None:
    road = Road(work, load=0.01, forward=0.0)
    pauses = iter([0.01] * 5 + [pause] + [0.01] * 100)

    def forward(images: torch.Tensor) -> torch.Tensor:
        work(next(pauses))
        return images

    found = measure_loading(road._load, forward, count=100, batch_size=8, device=CPU)
    assert max(found.end_to_end_seconds) == pytest.approx(0.01 + pause)
    assert (found.warnings, found.errors) == (warnings, ())


def test_what_disturbed_the_machine_is_told(work: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "disturbances", lambda start, end, **_: (["load average 9"], ["had no processor"]))
    found = Road(work, load=0.01, forward=0.03).measure()
    assert (found.warnings, found.errors) == (("load average 9",), ("had no processor",))
