"""How long do 10,000 cells take on 100 machines with 1 and 8 GPUs? The clock is simulated, the scheduling is real.

    python benchmarks/ray_simulation.py [--cells 10000] [--machines 100]

It drives `vitbench.running.scheduling` and `vitbench.execution.placing` as a run with ``--executor ray`` does, with
costs drawn from measured ones, and with expectations that are wrong by up to 30 % either way. The makespan is compared
with a lower bound for any schedule: the longest series of timings or training, or the sum of all times, each weighted
by the share of its machine that it takes, divided by the number of machines.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import random
from collections import deque
from dataclasses import dataclass

from vitbench.execution.placing import Machine, Placing, Request
from vitbench.running.scheduling import LEAST_IN_TURN

TRAININGS = (1.2, 22.5, 27.8, 34.5, 44.1, 50.2, 99.0, 146.7, 225.2, 236.7, 334.9, 403.0, 585.3, 663.1, 798.2, 1097.6)
"""Seconds of trainings with their evaluation, as records of runs on 32 x 32 images have them: a baseline, probes,
small networks and larger ones, on two cores."""
TIMINGS = (1.5, 2.6, 3.2, 3.4, 4.3, 4.9, 5.1, 8.5, 9.0)
"""Seconds of one process of a speed cell, of which a cell has five; from the same records."""
PROCESSES = 5
ERROR = 0.3
GROUPS = 8
"""Classes, batch sizes and modes by which speed cells are compared."""


@dataclass(slots=True)
class Work:
    """A training, or the processes of speed cells that take turns on one machine."""

    name: str
    seconds: list[float]
    expected: float
    alone: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a simulation."""

    makespan: float
    longest: float
    by_share: float
    decisions: int

    @property
    def bound(self) -> float:
        """Seconds that no schedule can beat."""
        return max(self.longest, self.by_share)


def work_of(cells: int, machines: int, *, timed: float, chance: random.Random) -> list[Work]:
    """Return trainings and series of timings, these divided over the machines as `scheduling.divided` does."""
    speeds = int(cells * timed)
    works: list[Work] = []
    parts = math.ceil(machines / GROUPS)
    for group in range(GROUPS):
        members = [chance.choice(TIMINGS) for _ in range(speeds // GROUPS)]
        if not members:
            continue
        count = max(1, min(parts, len(members) // LEAST_IN_TURN))
        for part in range(count):
            own = members[part::count]
            seconds = [each * chance.uniform(0.95, 1.05) for _ in range(PROCESSES) for each in own]
            works.append(Work(f"s{group}.{part}", seconds, sum(seconds) * chance.uniform(1 - ERROR, 1 + ERROR), True))
    for number in range(cells - speeds):
        seconds = chance.choice(TRAININGS) * chance.uniform(0.8, 1.25)
        works.append(Work(f"t{number}", [seconds], seconds * chance.uniform(1 - ERROR, 1 + ERROR), False))
    return sorted(works, key=lambda work: (not work.alone, -work.expected))  # as `scheduling.longest_first`


def simulate(works: list[Work], machines: list[Machine], *, ahead: int = 4) -> Outcome:
    """Run works to their end on a clock of its own.

    Args:
        works: in the order in which they are submitted.
        machines: of the cluster.
        ahead: how many more are submitted than run at most.
    """
    placing, numbers, clock = Placing(), itertools.count(), 0.0
    for machine in machines:
        placing.add(machine)
    most = sum(max(machine.cores, machine.gpus) for machine in machines) + ahead
    waiting, flying, shares = deque(works), dict[int, tuple[Work, int]](), 0.0
    ending: list[tuple[float, int, float]] = []

    def submit(work: Work, process: int) -> None:
        number = next(numbers)
        flying[number] = work, process
        expected = work.expected / len(work.seconds)
        series = work.name if work.alone else ""
        placing.submit(Request(number=number, gpu=True, alone=work.alone, series=series, seconds=expected))

    decisions = 0
    while waiting or flying:
        while waiting and len(flying) < most:
            submit(waiting.popleft(), 0)
        for request, machine in placing.placed(clock):
            work, process = flying[request.number]
            taken = work.seconds[process]
            shares += taken * machine.share(request)
            heapq.heappush(ending, (clock + taken, request.number, taken))
        decisions += 1
        clock, number, _ = heapq.heappop(ending)
        work, process = flying.pop(number)
        placing.end(number)
        if process + 1 < len(work.seconds):
            submit(work, process + 1)
        elif work.alone:
            placing.release(work.name)
    longest = max(sum(work.seconds) for work in works)
    return Outcome(makespan=clock, longest=longest, by_share=shares / len(machines), decisions=decisions)


def machines_of(count: int, big: float) -> list[Machine]:
    """Return machines, a share of them with 8 GPUs and the others with one; one training takes one GPU and a core."""
    kinds = [8 if number < count * big else 1 for number in range(count)]
    return [Machine(name=f"{number:03}", cores=gpus, gpus=gpus) for number, gpus in enumerate(kinds)]


def main() -> None:
    """Print a line for each mixture of machines and cells."""
    parser = argparse.ArgumentParser(description="Simulate a run on many machines.")
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--machines", type=int, default=100)
    asked = parser.parse_args()
    print("GPUs               timings   makespan      bound   ratio")
    for big, timed in itertools.product((0.0, 0.5, 1.0), (0.0, 0.2)):
        works = work_of(asked.cells, asked.machines, timed=timed, chance=random.Random(0))
        found = simulate(works, machines_of(asked.machines, big))
        words = f"{1 - big:4.0%} of 1, {big:4.0%} of 8"
        print(
            f"{words:18} {timed:6.0%} {found.makespan:9.0f} s {found.bound:8.0f} s  {found.makespan / found.bound:.3f}"
        )


if __name__ == "__main__":
    main()
