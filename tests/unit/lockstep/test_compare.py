"""The rule by which two speeds are compared, on machines that are made up; no process is started.

The machines are noisier than they should be: their blocks have heavy tails, bursts and a mood that lasts, each process
has a speed of its own, and the clock drifts for both. What is simulated are the seconds of blocks; all else is the
production code.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import factories
import numpy as np
import pytest

from vitbench.lockstep import Quad, SpeedComparison, compare_speeds, decide_by_pairs, quads_of_pair
from vitbench.lockstep import compare as lockstep
from vitbench.lockstep.process import Ran, Ready, Side

SIMULATIONS = 400
FEW_QUADS = 8
"""Of a pair, whose number makes its figure sharper, but not the rule over pairs another one."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The noise of a machine, as standard deviations of log seconds."""

    process: float = 0.01
    """Of each process, for its whole life."""
    block: float = 0.03
    """Of each block, with Student's t of three degrees of freedom."""
    memory: float = 0.5
    """Correlation of a block's noise with the one's before."""
    drift: float = 0.003
    """Of each step of the machine's random walk."""
    burst: float = 0.05
    """How likely a block is to meet a neighbour, who takes 30 % more time on average."""
    core: float = 0.0
    """What a neighbour costs one process of each pair, either of the two, on whose core it is."""
    disturbed: bool = False
    """Whether the machine says that it is disturbed."""

    def pairs(self, slowdown: float, rng: np.random.Generator) -> Iterator[tuple[Quad, ...]]:
        """Give pairs of processes, of which the second's model takes `slowdown` times as long."""
        for number in itertools.count():
            noise = self._noise(rng)
            process = rng.normal(0, self.process, 2)
            process[rng.integers(2)] += self.core

            def runner(side: int, noise: Iterator[float] = noise, process: np.ndarray = process):  # type: ignore[no-untyped-def]
                seconds = 0.1 * (1.0, slowdown)[side] * math.exp(process[side])
                return lambda calls: Ran(seconds=seconds * math.exp(next(noise)), disturbance=float(self.disturbed))

            yield quads_of_pair(
                (runner(0), runner(1)), (1, 1), (1, 1), fewest=FEW_QUADS, most=FEW_QUADS, leader=number % 2
            )

    def _noise(self, rng: np.random.Generator) -> Iterator[float]:
        """Give what the blocks of a pair of processes meet, in the order in which they run."""
        count = 4 * (FEW_QUADS + 1)
        fresh = self.block * rng.standard_t(3, count) / math.sqrt(3)
        drift = np.cumsum(rng.normal(0, self.drift, count))
        bursts = (rng.random(count) < self.burst) * rng.exponential(0.3, count)
        mood = fresh[0]
        for i in range(count):
            mood = self.memory * mood + math.sqrt(1 - self.memory**2) * fresh[i]
            yield mood + drift[i] + bursts[i]


QUIET = Machine(process=0, block=0, drift=0, burst=0)
FIVE_PER_CENT = {"process": 0.05 / math.sqrt(2)}
"""Between the two processes of a pair, as a standard deviation."""
ONE_CORE = {"process": 0.01, "core": 0.1}


def findings(machine: Machine, slowdown: float, simulations: int = SIMULATIONS) -> Counter[str]:
    rng = np.random.default_rng(0)
    return Counter(decide_by_pairs(machine.pairs(slowdown, rng), threshold=0.03)[2] for _ in range(simulations))


def different(found: Counter[str]) -> int:
    return found["slower"] + found["faster"]


@pytest.mark.simulation
def test_equal_speeds_are_seldom_called_different() -> None:
    assert different(findings(Machine(process=0.02, block=0.08), 1.0)) <= 0.05 * SIMULATIONS


@pytest.mark.simulation
def test_equal_speeds_are_called_the_same_on_a_realistic_machine() -> None:
    found = findings(Machine(), 1.0)
    assert different(found) <= 0.05 * SIMULATIONS
    assert found["same"] >= 0.9 * SIMULATIONS


@pytest.mark.simulation
def test_ten_per_cent_are_found() -> None:
    found = findings(Machine(), 1.1)
    assert found["slower"] >= 0.9 * SIMULATIONS
    assert found["faster"] == 0


@pytest.mark.simulation
def test_looking_again_and_again_does_not_make_a_difference() -> None:
    # At the threshold itself a wrong answer is likeliest. Looks of 95 % each would give 8 %.
    found = findings(Machine(), 1 / 0.97)
    assert found["slower"] <= 0.06 * SIMULATIONS


def test_noise_beyond_measure_is_not_resolved_with_all_pairs() -> None:
    pairs, _, finding = decide_by_pairs(
        Machine(process=0.1, block=0.4).pairs(1.05, np.random.default_rng(1)), threshold=0.03
    )
    assert (finding, len(pairs)) == ("not resolved", lockstep.MOST_PAIRS)


@pytest.mark.parametrize(
    ("slowdown", "finding"), [(1.0, "same"), (1.02, "same"), (1.1, "slower"), (0.9, "faster"), (1.04, "slower")]
)
def test_without_noise_three_pairs_are_enough(slowdown: float, finding: str) -> None:
    pairs, estimate, found = decide_by_pairs(QUIET.pairs(slowdown, np.random.default_rng(0)), threshold=0.03)
    assert (found, len(pairs)) == (finding, 3)
    assert estimate.value == pytest.approx(1 / slowdown)


@pytest.mark.simulation
def test_equal_speeds_are_seldom_called_different_on_a_disturbed_machine() -> None:
    assert different(findings(Machine(**ONE_CORE, disturbed=True), 1.0)) <= 0.05 * SIMULATIONS


@pytest.mark.simulation
def test_a_neighbour_on_one_core_would_deceive_a_machine_that_did_not_notice() -> None:
    # All of three pairs agree in a quarter of the cases: why the rule for a disturbed machine is there.
    assert different(findings(Machine(**ONE_CORE), 1.0, simulations=200)) >= 20


@pytest.mark.simulation
def test_a_large_difference_is_found_on_a_disturbed_machine_too() -> None:
    assert findings(Machine(**FIVE_PER_CENT, disturbed=True), 1.3, simulations=100)["slower"] >= 90


def pairs_of(*ratios: float, disturbed: int = 4, quads: int = 4) -> list[tuple[Quad, ...]]:
    """Return one pair of processes for each ratio of speeds, so many of whose quads are disturbed."""
    return [
        tuple(
            Quad(first=(1.0, 1.0), second=(1 / ratio, 1 / ratio), images=(1, 1), disturbance=float(i < disturbed))
            for i in range(quads)
        )
        for ratio in ratios
    ]


@pytest.mark.parametrize(
    ("ratio", "finding", "disturbed", "pairs"),
    [(0.8, "slower", 2, 3), (0.8, "slower", 3, 10), (1.25, "faster", 3, 10), (1.0, "same", 3, 10)],
)
def test_where_most_quads_are_disturbed_only_the_last_pair_decides(
    ratio: float, finding: str, disturbed: int, pairs: int
) -> None:
    taken, _, found = decide_by_pairs(pairs_of(*[ratio] * 12, disturbed=disturbed), threshold=0.03)
    assert (found, len(taken)) == (finding, pairs)


def test_an_early_look_decides_once_most_quads_are_quiet() -> None:
    measured = [*pairs_of(*[0.8] * 2), *pairs_of(*[0.8] * 8, disturbed=0)]
    taken, _, found = decide_by_pairs(measured, threshold=0.03)
    assert (found, len(taken)) == ("slower", 4)


@pytest.mark.parametrize(("odd", "finding"), [(0.995, "slower"), (1.005, "not resolved")])
def test_on_a_disturbed_machine_all_pairs_must_agree_on_the_sign(odd: float, finding: str) -> None:
    _, estimate, found = decide_by_pairs(pairs_of(*[0.8] * 9, odd), threshold=0.03)
    assert estimate.high is not None
    assert estimate.high < 0.97, "by the interval alone it would be slower"
    assert found == finding


def test_pairs_of_equal_speed_need_not_agree_on_the_sign() -> None:
    assert decide_by_pairs(pairs_of(*[0.998, 1.002] * 5), threshold=0.03)[2] == "same"


@pytest.mark.parametrize(("ratio", "pairs", "resolved"), [(0.8, 5, False), (1.0, 5, False), (0.8, 6, True)])
def test_where_time_ends_it_a_disturbed_machine_needs_six_pairs(
    monkeypatch: pytest.MonkeyPatch, ratio: float, pairs: int, resolved: bool
) -> None:
    now = 0

    def measured() -> Iterator[tuple[Quad, ...]]:
        nonlocal now
        for pair in pairs_of(*[ratio] * 10):
            now += 1
            yield pair

    monkeypatch.setattr(time, "monotonic", lambda: now)
    taken, _, found = decide_by_pairs(measured(), threshold=0.03, seconds=pairs)
    assert len(taken) == pairs
    assert (found != "not resolved") == resolved


def test_a_steady_drift_cancels_in_each_quad() -> None:
    clock = itertools.count()

    def drifting(calls: int) -> Ran:
        return Ran(seconds=0.1 * math.exp(0.05 * next(clock)))

    for quad in quads_of_pair((drifting, drifting), (1, 1), (1, 1), fewest=4, most=4):
        assert quad.log_ratio == pytest.approx(0)


def test_time_ends_it_but_not_before_three_pairs() -> None:
    unclear = Machine(process=0.1).pairs(1.05, np.random.default_rng(0))
    pairs, _, finding = decide_by_pairs(unclear, threshold=0.03, seconds=0)
    assert (finding, len(pairs)) == ("not resolved", 3)


def test_fewer_than_three_pairs_are_no_comparison() -> None:
    few = itertools.islice(QUIET.pairs(1.0, np.random.default_rng(0)), 2)
    with pytest.raises(ValueError, match="at least 3 pairs of processes, not 2"):
        decide_by_pairs(few, threshold=0.03)


@pytest.mark.parametrize("block", [4, 6])
def test_a_quad_is_as_disturbed_as_the_worst_of_its_blocks(block: int) -> None:
    clock = itertools.count()

    def run(calls: int) -> Ran:
        return Ran(seconds=1.0, disturbance=0.7 if next(clock) == block else 0.01)

    found = quads_of_pair((run, run), (1, 1), (1, 1), fewest=2, most=2)
    assert [quad.disturbance for quad in found] == [0.7, 0.01]


def test_disturbed_quads_do_not_count() -> None:
    """In each pair two of four quads are disturbed, and say that the second is half as fast."""

    def pair(ratio: float) -> tuple[Quad, ...]:
        calm, disturbed = pairs_of(ratio, disturbed=0)[0], pairs_of(0.5 * ratio)[0]
        return (*calm[:2], *disturbed[:2])

    _, estimate, found = decide_by_pairs([pair(1.0), pair(1.001), pair(0.999)], threshold=0.03)
    assert (found, estimate.value) == ("same", pytest.approx(1.0, abs=1e-3))


@pytest.mark.parametrize(
    ("spread", "count"),
    [(0.0, 4), (0.004, 4), (0.05, 12)],
    ids=["without noise", "with little", "with much"],
)
def test_quads_are_added_while_they_scatter(spread: float, count: int) -> None:
    # The ratios are 1 - s and 1 + s in turn: their IQR is 2 s, and the standard error of their median 1.86 s / sqrt(n).
    numbers = itertools.count()

    def slow(calls: int) -> Ran:
        return Ran(seconds=math.exp(spread * (-1) ** (next(numbers) // 2)))

    quads = quads_of_pair((lambda calls: Ran(seconds=1.0), slow), (1, 1), (1, 1), fewest=4, most=12)
    assert len(quads) == count


@pytest.mark.parametrize(("leader", "order"), [(0, "ABBA" * 3), (1, "BAAB" * 3)])
def test_turns_are_abba_and_the_first_four_blocks_are_warm_up(leader: int, order: str) -> None:
    turns: list[str] = []

    def runner(name: str, seconds: float) -> Callable[[int], Ran]:
        def run(calls: int) -> Ran:
            turns.append(name)
            return Ran(seconds=calls * seconds + len(turns), remarks=(f"{name}{len(turns)}",))

        return run

    quads = quads_of_pair((runner("A", 100), runner("B", 1000)), (3, 5), (2, 7), fewest=2, most=2, leader=leader)
    assert "".join(turns) == order
    outer, inner = (5, 8), (6, 7)
    a, b = (outer, inner) if leader == 0 else (inner, outer)
    assert quads[0] == Quad(
        first=(300.0 + a[0], 300.0 + a[1]),
        second=(5000.0 + b[0], 5000.0 + b[1]),
        images=(6, 35),
        remarks=(f"A{a[0]}", f"A{a[1]}", f"B{b[0]}", f"B{b[1]}"),
    )


class FakeWorkers:
    """Stands in for live processes: remembers who started, what each was told, and who ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds_per_call: dict[str, float]) -> None:
        self.seconds_per_call = seconds_per_call
        self.started: list[str] = []
        self.timeouts: dict[str, float] = {}
        self.alive: list[str] = []
        self.told: list[tuple[str, int]] = []
        monkeypatch.setattr(lockstep, "live_worker", self.live_worker)

    @contextlib.contextmanager
    def live_worker(self, side: Side, *, timeout: float) -> Iterator[FakeWorker]:
        self.started.append(side.label)
        self.timeouts[side.label] = timeout
        self.alive.append(side.label)
        yield FakeWorker(self, side.label)
        self.alive.remove(side.label)


@dataclass
class FakeWorker:
    workers: FakeWorkers
    label: str

    def answer(self, wanted: type[Ready]) -> Ready:
        assert len(self.workers.alive) == 2, "both build at the same time"
        return wanted()

    def run(self, calls: int) -> Ran:
        self.workers.told.append((self.label, calls))
        return Ran(seconds=calls * self.workers.seconds_per_call[self.label])


def compared(workers: FakeWorkers, **batch_sizes: int) -> SpeedComparison:
    sides = [
        Side(planned=factories.speed_cell(label, batch_size=size), label=label) for label, size in batch_sizes.items()
    ]
    told: list[int] = []
    found = compare_speeds(*sides, on_pair=told.append)
    assert workers.alive == []
    assert told == list(range(1, len(found.pairs) + 1))
    return found


def test_both_sides_get_blocks_of_equal_length_in_fresh_pairs_that_each_leads_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers = FakeWorkers(monkeypatch, {"a": 0.0012, "b": 0.015})
    found = compared(workers, a=8, b=64)
    assert found.labels == ("a", "b")
    assert workers.started == ["a", "b", "b", "a", "a", "b"]
    # Cold; two of one call to learn the pace, of ten, of 28 for 30 ms and a tenth over; then the quads.
    # b's 3 calls take longer, so a gets as many as take that long.
    assert workers.told[:10] == [
        ("a", 1),
        ("b", 1),
        *[("a", 1)] * 2,
        *[("a", 10)] * 2,
        *[("a", 28)] * 2,
        *[("b", 1)] * 2,
    ]
    assert workers.told[10:16] == [("b", 3), ("b", 3), ("a", 38), ("b", 3), ("b", 3), ("a", 38)]
    second_pair = 12 + 4 * 21
    assert workers.told[second_pair : second_pair + 3] == [("b", 1), ("a", 1), ("b", 3)], "cold, too"
    assert workers.told[-1] == ("a", 38), "calls stay as they are"
    assert len(workers.told) == 12 + 2 * 2 + 3 * 4 * 21
    assert found.quads == 60
    # 8 images in 1.2 ms against 64 images in 15 ms.
    assert found.ratio == pytest.approx((64 / 0.015) / (8 / 0.0012))
    assert found.verdict == "slower"


@pytest.mark.parametrize(("given", "timeouts"), [(None, {"a": 300.0, "b": 900.0}), (7.0, {"a": 7.0, "b": 7.0})])
def test_a_compiled_side_gets_more_time(
    monkeypatch: pytest.MonkeyPatch, given: float | None, timeouts: dict[str, float]
) -> None:
    workers = FakeWorkers(monkeypatch, {"a": 0.1, "b": 0.1})
    plain, compiled = (
        Side(planned=factories.speed_cell(label, compile="default" if label == "b" else ""), label=label)
        for label in ("a", "b")
    )
    compare_speeds(plain, compiled, timeout=given)
    assert workers.timeouts == timeouts


def test_one_disturbed_block_does_not_make_all_blocks_short() -> None:
    disturbed = iter([1, 1, 1, 5, 5, 1, 1, 1])  # times as long

    def run(calls: int) -> Ran:
        return Ran(seconds=0.0012 * calls * next(disturbed))

    calls, seconds = lockstep._calibrate(run)
    assert (calls, seconds) == (28, pytest.approx(0.0336))


@pytest.mark.parametrize(("seconds", "quads"), [(0.3, 8), (0.6, 4), (20.0, 3)])
def test_long_blocks_come_in_fewer_quads(monkeypatch: pytest.MonkeyPatch, seconds: float, quads: int) -> None:
    found = compared(FakeWorkers(monkeypatch, {"a": seconds, "b": seconds}), a=1, b=1)
    assert [len(pair) for pair in found.pairs] == [quads] * 3
    assert (found.verdict, found.ratio) == ("same", 1.0)


def comparison(
    verdict: str = "same", ratio: float = 1.0, remarks: tuple[tuple[str, ...], ...] = ((), ()), disturbed: int = 0
) -> SpeedComparison:
    quads = tuple(
        Quad(first=(1, 1), second=(1, 1), images=(1, 1), remarks=some, disturbance=float(i < disturbed))
        for i, some in enumerate(remarks)
    )
    return SpeedComparison(
        labels=("base", "head"), ratio=ratio, low=0.8, high=1.2, verdict=verdict, threshold=0.03, pairs=(quads, quads)
    )


@pytest.mark.parametrize(
    ("verdict", "ratio", "words"),
    [
        ("faster", 1.1, "head is 10.0% faster than base: ratio 1.100"),
        ("slower", 0.9, "head is 10.0% slower than base: ratio 0.900"),
        ("same", 1.01, "head is as fast as base, within 3.0%: ratio 1.010"),
        ("not resolved", 0.95, "whether head is as fast as base is not resolved: ratio 0.950"),
    ],
)
def test_the_answer_is_a_sentence_with_its_interval(verdict: str, ratio: float, words: str) -> None:
    evidence = ", 95% interval 0.800 to 1.200, 4 quads in 2 pairs of processes"
    assert comparison(verdict, ratio).sentence() == words + evidence


def test_a_comparison_says_that_it_was_disturbed() -> None:
    share = "a: had the processor 91% of the time"
    half, most = (comparison(remarks=((share,), ()), disturbed=n) for n in (1, 2))
    assert "disturbed" not in half.sentence()
    assert half.reasons == (f"2 of 4 quads: {share}",)
    assert half.disturbed == 2
    assert most.sentence().endswith("4 quads in 2 pairs of processes, disturbed in all 4 quads")
    rule = "a difference counts only where 6 or more pairs of processes all agree on its sign"
    assert most.reasons == (f"all 4 quads were disturbed: {rule}", f"2 of 4 quads: {share}")
    two_of_three = comparison(remarks=((), (), ()), disturbed=2)
    assert two_of_three.sentence().endswith("6 quads in 2 pairs of processes, disturbed in 4 of 6 quads")


def test_reasons_count_the_quads_that_were_disturbed_by_kind() -> None:
    assert comparison().reasons == ()
    load, share = "a: load average 4.1 on 2 cores", "b: had the processor 91% of the time"
    assert comparison(remarks=((load, share), ("a: load average 4.3 on 2 cores", load))).reasons == (
        f"all 4 quads: {load}",
        f"2 of 4 quads: {share}",
    )
