"""Blocks in turn with the reference network: order, lengths, and when they end. A false clock is the machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, groupby
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from vitbench.measuring import in_turn, timing
from vitbench.measuring.evidence import Moment, disturbance
from vitbench.measuring.gpu import GpuMoment
from vitbench.measuring.in_turn import ENOUGH_QUADS, MOST_TURN_SECONDS, SLOW_TURN_SECONDS, UNTIMED_MOST, time_in_turn
from vitbench.measuring.reference import Reference
from vitbench.measuring.timing import ENOUGH_CALLS, MOST_CALL_SECONDS, MOST_CALLS
from vitbench.protocols import InTurn, Timing
from vitbench.records import Mode

pytestmark = pytest.mark.compute

CPU = torch.device("cpu")
CLASSES = 3
REFERENCE_BATCH = 4


@dataclass(kw_only=True)
class Machine:
    """A clock that stands still but for what steps add, and the log of who was called, timed or not."""

    now: float = 100.0
    calls: list[tuple[str, bool]] = field(default_factory=list)
    timing: bool = False
    waited: float = 0.0
    """Seconds that the thread has waited for a processor, as the kernel counts them."""
    taken: Callable[[float], float] = lambda now: 0.0
    """What the kernel says was taken from a quad that ended at a time."""

    def step(self, name: str, seconds: Callable[[float, int], float], output: Tensor) -> Callable[[], Tensor]:
        """Return a step that takes seconds by the time and the number of its call."""
        number = 0

        def step() -> Tensor:
            nonlocal number
            self.now += seconds(self.now, number)
            number += 1
            self.calls.append((name, self.timing))
            return output

        return step

    def seconds_of(self, call: Callable[[], object], device: torch.device) -> float:
        """Stand in for the clock of blocks."""
        before, self.timing = self.now, True
        call()
        self.timing = False
        return self.now - before


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    monkeypatch.setattr(timing, "seconds_of", found.seconds_of)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: found.now)
    monkeypatch.setattr(timing, "observe", lambda device: found.now)
    monkeypatch.setattr(timing, "disturbances", lambda start, end, **_: ([], []))
    monkeypatch.setattr(timing, "facts", lambda start, end, **_: {})
    monkeypatch.setattr(in_turn, "glance", lambda gpu: SimpleNamespace(wall=found.now, gpu=gpu))
    monkeypatch.setattr(in_turn, "disturbance", lambda start, end, on_cpu, since: found.taken(end.wall))
    monkeypatch.setattr(in_turn, "run_delay", lambda: found.waited)
    return found


def timed(
    machine: Machine,
    model: Callable[[float, int], float] | float,
    reference: Callable[[float, int], float] | float,
    *,
    mode: Mode = "inference",
    images: int = 8,
    **fields: object,
) -> Timing:
    """Time a model in turn with a reference, each call of which takes seconds."""
    seconds = [each if callable(each) else lambda now, number, each=each: each for each in (model, reference)]
    batch = torch.zeros(images, 3, 2, 2)
    output = torch.zeros(images, CLASSES) if mode == "inference" else torch.zeros(())
    other = Reference(
        step=machine.step("reference", seconds[1], torch.zeros(1, CLASSES)),
        batch_size=REFERENCE_BATCH,
        name="of the test",
        **fields,  # type: ignore[arg-type]
    )
    return time_in_turn(machine.step("model", seconds[0], output), other, mode, batch, CLASSES)


def turns_of(found: Timing) -> InTurn:
    assert found.in_turn is not None
    return found.in_turn


def blocks(machine: Machine) -> list[tuple[str, int, int]]:
    """Return of each side's turn the calls that were not timed and those that were."""
    turns = []
    for name, group in groupby(machine.calls, key=lambda call: call[0]):
        timed = [each for _, each in group]
        turns.append((name, timed.count(False), timed.count(True)))
    return turns


@pytest.mark.parametrize(("model", "reference", "mode"), [(0.0004, 0.0015, "inference"), (0.03, 0.0004, "training")])
def test_the_ratio_is_of_images_per_second(machine: Machine, model: float, reference: float, mode: Mode) -> None:
    found = timed(machine, model, reference, mode=mode)
    turns = turns_of(found)
    expected = (8 / model) / (REFERENCE_BATCH / reference)
    assert turns.speed_ratio == pytest.approx(expected)
    assert turns.speed_ratio_of_all == pytest.approx(expected)
    ratio = turns.of_speed()
    assert (ratio.value, ratio.reference) == (turns.speed_ratio, pytest.approx(REFERENCE_BATCH / reference))
    seconds = turns.of_seconds(8)
    assert (seconds.value, seconds.reference) == (pytest.approx(model / reference), pytest.approx(reference))
    assert (ratio.network, ratio.quads, ratio.left_out) == ("of the test", turns.quads, 0)
    assert found.block_seconds == pytest.approx([found.calls_per_block * model] * 2 * turns.quads)
    assert turns.reference_seconds == pytest.approx([turns.reference_calls * reference] * 2 * turns.quads)


def test_a_mood_of_the_machine_divides_out_of_the_ratio_and_not_of_the_time(machine: Machine) -> None:
    """Its speed falls and rises every seventh of a second, by half."""

    def slow(now: float) -> int:
        return 1 + int(7 * now) % 2

    found = timed(machine, lambda now, _: 0.002 * slow(now), lambda now, _: 0.001 * slow(now))
    assert turns_of(found).speed_ratio == pytest.approx(8 / 0.002 / (REFERENCE_BATCH / 0.001))
    assert max(found.block_seconds) > 1.9 * min(found.block_seconds)


def test_blocks_take_turns_and_each_starts_with_untimed_calls(machine: Machine) -> None:
    found = timed(machine, 0.0003, 0.0002)
    turns = turns_of(found)
    in_quads = blocks(machine)[-(2 * turns.quads + 1) :]
    # The model's second block of a quad and the first one of the next one stand together.
    assert [name for name, *_ in in_quads] == ["model", "reference"] * turns.quads + ["model"]
    for name, untimed, together in in_quads[1:-1]:
        calls = found.calls_per_block if name == "model" else turns.reference_calls
        assert together == 2 * calls
        assert untimed >= 2
        assert untimed % 2 == 0
    assert in_quads[-1][1] >= 1


def test_a_call_that_takes_long_has_no_untimed_ones_and_the_reference_keeps_its_own(machine: Machine) -> None:
    timed(machine, 1.5 * UNTIMED_MOST, 0.001)
    in_quads = blocks(machine)[-7:]
    assert all(untimed == 0 for name, untimed, _ in in_quads if name == "model")
    assert all(untimed > 0 for name, untimed, _ in in_quads if name == "reference")


def test_what_is_timed_before_the_second_quad_does_not_count(machine: Machine) -> None:
    """The clock of the first quad shows ten times what those after it do."""
    quads = iter([10.0])
    pace = 1.0

    def glance(gpu: object) -> SimpleNamespace:
        nonlocal pace
        pace = next(quads, 1.0) if pace == 1.0 else 1.0
        return SimpleNamespace(wall=machine.now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_turn, "glance", glance)
        found = timed(machine, lambda *_: 0.002 * pace, lambda *_: 0.001 * pace)
    turns = turns_of(found)
    assert max(found.block_seconds) == pytest.approx(found.calls_per_block * 0.002)
    assert max(turns.reference_seconds) == pytest.approx(turns.reference_calls * 0.001)
    assert (len(found.block_seconds), len(turns.reference_seconds)) == (2 * turns.quads,) * 2


@pytest.mark.parametrize("images", [8, 1], ids=["blocks", "single calls"])
def test_the_ratio_leaves_out_what_a_thread_waits_for_a_processor_and_the_measured_times_hold_it(
    images: int, machine: Machine
) -> None:
    """Each call of the reference is kept waiting as long as it runs, and the model's never."""

    def reference(now: float, number: int) -> float:
        machine.waited += 0.001
        return 0.002

    found = timed(machine, 0.004, reference, images=images)
    turns = turns_of(found)
    assert turns.speed_ratio == pytest.approx(images * 0.001 / (REFERENCE_BATCH * 0.004))
    assert turns.reference_seconds == pytest.approx([0.002 * turns.reference_calls] * len(turns.reference_seconds))


def test_a_latency_is_of_single_calls_of_both_and_each_block_of_their_median(machine: Machine) -> None:
    """Every eleventh call of the model is slow, which a mean would take in, and a block that is timed as a whole."""
    found = timed(machine, lambda now, number: 0.02 if number % 11 == 0 else 0.0021, 0.001, images=1)
    turns = turns_of(found)
    assert (found.block_seconds, found.calls_per_block, turns.reference_calls) == ((), 1, 1)
    assert {round(each, 4) for each in found.call_seconds} == {0.0021, 0.02}
    assert turns.reference_seconds == pytest.approx([0.001] * len(turns.reference_seconds))
    ratio = turns.of_seconds(1)
    assert (ratio.value, ratio.reference) == (pytest.approx(2.1), pytest.approx(0.001))
    assert ratio.samples == (turns.reference_seconds,)


def test_training_on_one_image_is_no_latency(machine: Machine) -> None:
    found = timed(machine, 0.002, 0.001, mode="training", images=1)
    assert found.call_seconds == ()
    assert found.calls_per_block > 1


@pytest.mark.parametrize(
    ("model", "images", "fewest"),
    [(0.0005, 8, ENOUGH_QUADS), (0.3, 8, 3), (2.0, 1, 1), (20.0, 8, 1)],
)
def test_a_steady_machine_gets_few_quads(machine: Machine, model: float, images: int, fewest: int) -> None:
    before = machine.now
    quads = turns_of(timed(machine, model, 0.001, images=images)).quads
    assert fewest <= quads <= ENOUGH_QUADS
    # A call that is cold and one that is warm, a pair in a quad, and the reference beside it: no more of a slow model.
    assert machine.now - before <= in_turn.WARM_UP.slow_seconds + SLOW_TURN_SECONDS + 5 * model


def test_an_unsteady_one_more_and_no_end_of_them(machine: Machine) -> None:
    """Calls of the model differ by factors of up to three, in no order that the blocks have."""
    random = torch.Generator().manual_seed(0)

    def wild(now: float, number: int) -> float:
        return 0.015 * 3 ** float(torch.rand((), generator=random))

    before = machine.now
    turns = turns_of(timed(machine, wild, 0.001))
    assert turns.quads > ENOUGH_QUADS
    warm_up = in_turn.WARM_UP.seconds + 1
    assert machine.now - before < warm_up + MOST_TURN_SECONDS + 1


def test_a_latency_has_the_calls_that_its_percentiles_need(machine: Machine) -> None:
    calls = len(timed(machine, 0.002, 0.001, images=1).call_seconds)
    assert calls >= ENOUGH_CALLS
    fast = timed(machine, 2e-5, 1e-5, images=1)
    per_quad = len(fast.call_seconds) / turns_of(fast).quads
    assert MOST_CALLS <= len(fast.call_seconds) < MOST_CALLS + per_quad * (ENOUGH_QUADS + 1)
    assert len(timed(machine, 0.04, 0.001, images=1).call_seconds) >= ENOUGH_CALLS
    before = machine.now
    timed(machine, 0.5, 0.001, images=1)
    assert machine.now - before < MOST_CALL_SECONDS, "so many are out of reach"


@pytest.mark.parametrize(
    ("pattern", "of_all"),
    [("..x", 1.0), (".x.xxx.xxx", 0.5)],
    ids=["a third is disturbed", "seven tenths, of which half of all is left out"],
)
def test_disturbed_quads_are_left_out_and_counted_and_shown_with_and_without(
    machine: Machine, pattern: str, of_all: float
) -> None:
    """The machine halves the model's speed in some quads, and the kernel says so of these."""
    hits = cycle(each == "x" for each in pattern)
    hit, told = False, []

    def taken(now: float) -> float:
        nonlocal hit
        told.append(0.5 if hit else 0.0)
        hit = next(hits)
        return told[-1]

    machine.taken = taken
    turns = turns_of(timed(machine, lambda *_: 0.004 if hit else 0.002, 0.001))
    calm = 8 / 0.002 / (REFERENCE_BATCH / 0.001)
    disturbed = sum(each > 0 for each in told[-turns.quads :])
    assert turns.left_out == min(disturbed, turns.quads // 2)
    assert turns.speed_ratio == pytest.approx(calm)
    assert turns.speed_ratio_of_all == pytest.approx(of_all * calm)
    assert turns.of_speed().value_of_all == turns.speed_ratio_of_all
    assert turns.of_seconds(8).value_of_all == pytest.approx(2 / of_all)


def test_quads_beside_which_another_process_used_the_gpu_are_left_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernels run in the first third of each 0.3 s, and halve the model's speed; only the GPU says so."""

    def busy(now: float) -> bool:
        return now % 0.3 < 0.1

    class Watch:
        moments: ClassVar[list[GpuMoment]] = []

        def __init__(self, device: torch.device) -> None:
            self.looks = 0

        @property
        def latest(self) -> GpuMoment:
            return GpuMoment(
                sm_clock_mhz=1980,
                max_sm_clock_mhz=1980,
                temperature_c=50,
                slowdown_c=90,
                utilisation=1.0,
                clock_reasons=(),
                other_processes=1,
                others_busy=0.5 * busy(machine.now),
            )

        def look(self) -> None:
            self.looks += 1

        def forget(self) -> None:
            self.looks = 0

    def glance(gpu: GpuMoment | None) -> Moment:
        now = machine.now
        return Moment(wall=now, thread=now, ran=now, waited=0.0, stolen=0.0, switches=0, load=0.0, gpu=gpu)

    monkeypatch.setattr(timing, "GpuWatch", Watch)
    monkeypatch.setattr(in_turn, "glance", glance)
    monkeypatch.setattr(
        in_turn, "disturbance", lambda start, end, on_cpu, since: disturbance(start, end, on_cpu=False, since=since)
    )
    turns = turns_of(timed(machine, lambda now, _: 0.0004 if busy(now) else 0.0002, 0.0001))
    assert 0 < turns.left_out <= turns.quads // 2
    assert turns.speed_ratio == pytest.approx(8 / 0.0002 / (REFERENCE_BATCH / 0.0001), rel=0.02)


def test_its_blocks_run_in_its_own_conditions_and_the_models_do_not(machine: Machine) -> None:
    inside = False
    seen: set[tuple[str, bool]] = set()

    @contextmanager
    def conditions() -> Iterator[None]:
        nonlocal inside
        inside = True
        yield
        inside = False

    def look(name: str) -> Callable[[float, int], float]:
        def seconds(now: float, number: int) -> float:
            seen.add((name, inside))
            return 0.001

        return seconds

    timed(machine, look("model"), look("reference"), conditions=conditions)
    assert seen == {("model", False), ("reference", True)}


def test_an_output_that_is_not_finite_makes_the_ratio_invalid(machine: Machine) -> None:
    batch, number = torch.zeros(8, 3, 2, 2), 0

    def step() -> Tensor:
        nonlocal number
        machine.now += 0.002
        number += 1
        return torch.full((8, CLASSES), math.nan if number > 100 else 0.0)

    other = Reference(step=machine.step("reference", lambda *_: 0.001, torch.zeros(1, CLASSES)))
    found = time_in_turn(step, other, "inference", batch, CLASSES)
    assert turns_of(found).errors == ("the model's output was not finite",)
    assert turns_of(found).errors[0] in found.errors
