"""Which job runs on which machine of a cluster. Pure: it is told what begins and ends, and no clock is read.

A training takes some cores and perhaps a GPU. A timing takes a whole machine, and so does the series that it belongs
to, from its first job to its last: the cluster reserves nothing, so a machine that is claimed for a series gets no
other job, and is empty when its last one has ended. Timings go first, and claim the machine that is empty the soonest.
Of the others the first that were submitted go first, each to the machine with the largest share left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Machine", "Placing", "Request"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a job asks for."""

    number: int
    """Of the job; the smaller it is, the sooner it goes."""
    cores: int = 1
    gpu: bool = False
    alone: bool = False
    """Whether it takes a whole machine."""
    series: str = ""
    """Jobs with a name in common run on one machine; for those that are alone."""
    seconds: float = 0.0
    """How long it is expected to take; 0: nothing says."""
    machine: str = ""
    """The only one that is allowed; empty: any."""


@dataclass(kw_only=True, slots=True)
class Machine:
    """A machine of the cluster."""

    name: str
    cores: int
    gpus: int = 0
    running: dict[int, tuple[Request, float]] = field(default_factory=dict)
    """Jobs and when they began, by number."""
    holder: str = ""
    """The series that has it, or for which it is being drained."""
    cores_taken: int = 0
    gpus_taken: int = 0
    used: float = 0.0
    """The share of it that is taken."""

    def share(self, request: Request) -> float:
        """Return the share of it that a job takes."""
        if request.alone:
            return 1.0
        by_cores = min(request.cores, self.cores) / self.cores
        return max(by_cores, 1 / self.gpus) if request.gpu and self.gpus else by_cores

    def has_room(self, request: Request) -> bool:
        """Whether a job that is not alone can begin there, as far as cores and GPUs go."""
        enough = self.cores_taken + min(request.cores, self.cores) <= self.cores
        return enough and self.gpus_taken + request.gpu <= self.gpus

    def begin(self, request: Request, now: float) -> None:
        """Take a job up."""
        self.running[request.number] = request, now
        self._count(request, 1)

    def end(self, number: int) -> Request:
        """Let a job go; return it."""
        request, _ = self.running.pop(number)
        self._count(request, -1)
        return request

    def _count(self, request: Request, sign: int) -> None:
        self.cores_taken += sign * min(request.cores, self.cores)
        self.gpus_taken += sign * request.gpu
        self.used = self.used + sign * self.share(request) if self.running else 0.0

    def empty_at(self, now: float) -> float:
        """Return when its last job is expected to end; one that is late, or of which nothing is known, at any time."""
        return max((max(now, began + each.seconds) for each, began in self.running.values()), default=now)


class Placing:
    """Jobs that wait, and machines that run some."""

    def __init__(self) -> None:
        """Begin without machines."""
        self.machines: dict[str, Machine] = {}
        self._waiting: dict[int, Request] = {}
        self._where: dict[int, str] = {}

    def add(self, machine: Machine) -> None:
        """Take a machine into use."""
        self.machines[machine.name] = machine

    def remove(self, name: str) -> list[int]:
        """Forget a machine; return the numbers of the jobs that ran there."""
        machine = self.machines.pop(name, None)
        lost = list(machine.running) if machine else []
        for number in lost:
            del self._where[number]
        return lost

    def submit(self, request: Request) -> None:
        """Let a job wait for its turn."""
        self._waiting[request.number] = request

    def end(self, number: int) -> None:
        """Take note that a job has ended, or is not wanted any more."""
        request = self._waiting.pop(number, None)
        if name := self._where.pop(number, ""):
            request = self.machines[name].end(number)
        if request and request.alone and not request.series:
            self.release(_claim(request))

    def release(self, series: str) -> None:
        """Let the machine of a series go."""
        for machine in self.machines.values():
            if machine.holder == series:
                machine.holder = ""

    def placed(self, now: float) -> Iterator[tuple[Request, Machine]]:
        """Yield the jobs that can begin now, each with its machine, where from now on it runs."""
        for request in [each for each in self._waiting.values() if each.alone]:
            machine = self._claimed(request, now)
            if machine and not machine.running:
                yield self._begin(request, machine, now)
        full: set[tuple[int, bool, str]] = set()
        for request in [each for each in self._waiting.values() if not each.alone]:
            kind = request.cores, request.gpu, request.machine
            if kind in full:
                continue
            free = [each for each in self.machines.values() if self._may_take(each, request)]
            if free:
                yield self._begin(request, min(free, key=lambda each: (each.used, each.name)), now)
            else:
                full.add(kind)

    def _may_take(self, machine: Machine, request: Request) -> bool:
        return not machine.holder and request.machine in ("", machine.name) and machine.has_room(request)

    def _claimed(self, request: Request, now: float) -> Machine | None:
        """Return the machine of a job that is alone, claimed for it where it has none yet."""
        name = _claim(request)
        for machine in self.machines.values():
            if machine.holder == name:
                return machine
        free = [each for each in self.machines.values() if not each.holder and request.machine in ("", each.name)]
        if not free:
            return None
        # Of those that are empty as soon, the one with the fewest GPUs, of which a timing uses only one.
        machine = min(free, key=lambda each: (each.empty_at(now), len(each.running), each.gpus, each.name))
        machine.holder = name
        return machine

    def _begin(self, request: Request, machine: Machine, now: float) -> tuple[Request, Machine]:
        del self._waiting[request.number]
        machine.begin(request, now)
        self._where[request.number] = machine.name
        return request, machine


def _claim(request: Request) -> str:
    return request.series or f"job {request.number}"
