"""The executor `ray`: jobs on the machines of a Ray cluster, as many at once as they hold, a timing alone on its own.

Ray starts a task where it is told to, and retries nothing: `vitbench.execution.placing` chooses the machine, since Ray
would let other jobs onto one that a series of timings has. A task is placed by the labels of its node: the machine
class and the node's own id. What is lost with a machine ends as `crashed` and `lost`; whether it runs again is the
caller's affair. Times are taken by the machine that runs a job, or by this one: their clocks are never compared.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from vitbench.errors import UnusableError, UsageError
from vitbench.execution.executor import Ending, Executor, Handle, Job
from vitbench.execution.placing import Machine, Placing, Request
from vitbench.execution.ray_cluster import LABEL, SHARED
from vitbench.execution.ray_task import Begins, Brings, Logs, Over, Says, TaskRequest, Told, decode_told, run_as_task
from vitbench.records import Place
from vitbench.variables import is_listed

__all__ = ["RayExecutor"]

LOOK_SECONDS = 5.0
"""Between looks at which machines there are."""
JOIN_SECONDS = 60.0
"""A run ends after this long without a suitable machine."""
START_SECONDS = 600.0
"""For Ray to start a task on a machine that has room for it, unless other programs use it."""
_SHARE = 0.001
"""Of a node's resource `SHARED`, for what is no timing: Ray counts in ten thousandths."""
_LEAST_ROOM = 4
"""Jobs beyond those that run which are worth submitting, so that a machine that is free need not wait."""
_AHEAD = 8
"""Pieces that a task sends before somebody takes them."""


@dataclass(kw_only=True, slots=True)
class _Task:
    """A job that was submitted."""

    job: Job
    place: Place | None = None
    machine: str = ""
    """Where it runs; empty: it waits."""
    told: Any = None
    """Ray's generator of what it tells."""
    sent: float = 0.0
    """When Ray was asked to start it."""
    begun: bool = False
    admits: str = ""
    """The machine that it asks whether it is suitable; empty: it is a job of a caller."""
    opened: set[str] = field(default_factory=set)
    """Files of which a piece has come."""


class RayExecutor(Executor):
    """Runs jobs on the nodes of a cluster that have the label of one machine class. Use it from one thread."""

    def __init__(self, ray: Any, *, label: str, most: int | None, say: Callable[[str], None]) -> None:
        """Look at the cluster.

        Args:
            ray: the module, connected.
            label: the machine class; empty: the only one that the cluster has.
            most: jobs that run at once; None: as many as the machines hold.
            say: gets a sentence for the user.

        Raises:
            UsageError: the cluster has several machine classes, and none is named.
            UnusableError: no node of the class joins in time.
        """
        self._ray, self._most, self._say = ray, most, say
        self._remote = ray.remote(max_retries=0, max_calls=1, num_returns="streaming")(run_as_task)
        self._variables = {variable: value for variable, value in os.environ.items() if is_listed(variable)}
        self._numbers = itertools.count()
        self._tasks: dict[int, _Task] = {}
        self._ended: dict[Handle, Ending[bytes]] = {}
        self._placing = Placing()
        self._nodes: dict[str, dict[str, Any]] = {}
        self._refused: dict[str, str] = {}
        self._asked_again: set[str] = set()
        self._admission: tuple[Job, Callable[[Ending[bytes]], str]] | None = None
        self._looked, self._alone_since = 0.0, time.monotonic()
        self._label = self._first_look(label)

    @property
    def parallel(self) -> int:
        """See `Executor`: what the machines hold, and some that wait for them."""
        room = sum(max(machine.cores, machine.gpus) for machine in self._placing.machines.values())
        return min(self._most or room + _LEAST_ROOM, room + _LEAST_ROOM)

    @property
    def machines(self) -> int:
        """See `Executor`."""
        return max(1, len(self._placing.machines))

    @property
    def elsewhere(self) -> bool:
        """See `Executor`."""
        return True

    def admit(self, job: Job, refusal: Callable[[Ending[bytes]], str]) -> None:
        """See `Executor`: each node is asked when it is there, the late ones as they join."""
        self._admission = job, refusal
        for name in list(self._placing.machines):
            self._placing.remove(name)
        self._nodes.clear()
        self._look()
        while any(task.admits for task in self._tasks.values()):
            self._go_on()
        if not self._placing.machines and self._refused:
            raise UnusableError("; ".join(dict.fromkeys(self._refused.values())))

    def submit(self, job: Job) -> Handle:
        """See `Executor`."""
        number = next(self._numbers)
        self._tasks[number] = _Task(job=job)
        needs = job.needs
        self._placing.submit(
            Request(
                number=number,
                cores=needs.cores,
                gpu=self._takes_gpu(needs.device),
                alone=needs.alone,
                series=needs.series,
                seconds=needs.seconds,
            )
        )
        self._place()
        return Handle(number)

    def wait(self, handles: Collection[Handle]) -> dict[Handle, Ending[bytes]]:
        """See `Executor`.

        Raises:
            UnusableError: no machine has been there for `JOIN_SECONDS`.
        """
        for handle in handles:
            if handle not in self._ended and handle not in self._tasks:
                raise KeyError(handle)
        while handles and not any(handle in self._ended for handle in handles):
            self._go_on()
        return {handle: self._ended.pop(handle) for handle in handles if handle in self._ended}

    def cancel(self, handle: Handle) -> None:
        """See `Executor`."""
        self._ended.pop(handle, None)
        if task := self._tasks.pop(handle, None):
            self._stop(task)
            self._placing.end(handle)
            self._place()

    def release(self, series: str) -> None:
        """See `Executor`."""
        self._placing.release(series)
        self._place()

    def close(self) -> None:
        """End all jobs."""
        for number in list(self._tasks):
            self.cancel(Handle(number))

    def _first_look(self, label: str) -> str:
        """Wait for a suitable node; return the label of its class."""
        told = False
        while True:
            labels = {node["Labels"].get(LABEL, "") for node in self._alive()} - {""}
            if not label and len(labels) > 1:
                raise UsageError(
                    f"the Ray cluster has machines of the classes {', '.join(sorted(labels))}, whose results are not "
                    "comparable; name one: --executor ray=ADDRESS,machine=LABEL"
                )
            if label in labels or (not label and labels):
                self._label = label or labels.pop()
                self._look()
                if self._placing.machines:
                    return self._label
            if time.monotonic() - self._alone_since > JOIN_SECONDS:
                raise UnusableError(self._none_there(label, labels))
            if not told:
                self._say(f"Waiting for a node with the label {LABEL}={label or 'NAME'} to join the Ray cluster.")
                told = True
            time.sleep(min(LOOK_SECONDS, JOIN_SECONDS / 4))

    def _none_there(self, label: str, labels: Collection[str]) -> str:
        there = f"; it has {', '.join(sorted(labels))}" if labels else ""
        return (
            f"no node of the Ray cluster has had the label {LABEL}={label or 'NAME'} and the resource {SHARED} for "
            f"{JOIN_SECONDS:g} s{there}; start nodes with "
            f"--labels {LABEL}={label or 'NAME'} --resources '{{\"{SHARED}\": 1}}'"
        )

    def _alive(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _look(self) -> None:
        """See which machines have joined and which are gone."""
        self._looked = time.monotonic()
        there = {node["NodeID"]: node for node in self._alive() if self._will_do(node)}
        for name in [name for name in self._nodes if name not in there]:
            del self._nodes[name]
            self._lose(name)
        for name, node in there.items():
            if name not in self._nodes:
                self._nodes[name] = node
                self._ask(name, node)
        if self._placing.machines or any(task.admits for task in self._tasks.values()):
            self._alone_since = self._looked

    def _will_do(self, node: dict[str, Any]) -> bool:
        resources = node["Resources"]
        has_room = resources.get(SHARED, 0) >= 1 and resources.get("CPU", 0) >= 1
        return bool(node["Labels"].get(LABEL) == self._label and has_room)

    def _ask(self, name: str, node: dict[str, Any]) -> None:
        """Take a machine into use; where somebody admits them, ask it first."""
        if self._admission is None:
            self._placing.add(_machine(name, node))
            return
        number = next(self._numbers)
        self._tasks[number] = task = _Task(job=self._admission[0], admits=name)
        self._send(task, name, alone=False, gpu=self._takes_gpu(task.job.needs.device))

    def _lose(self, name: str) -> None:
        """Take note that a machine is gone, with what ran there."""
        self._placing.remove(name)
        for number, task in list(self._tasks.items()):
            if task.machine == name:
                self._end(number, _lost(task, "the machine left the cluster"))

    def _takes_gpu(self, device: str) -> bool:
        wants = device.startswith("cuda") or device == "auto"
        return wants and any(node["Resources"].get("GPU", 0) >= 1 for node in self._nodes.values())

    def _place(self) -> None:
        """Start what can begin."""
        running = sum(bool(task.machine) for task in self._tasks.values())
        if self._most is not None and running >= self._most:
            return
        for request, machine in self._placing.placed(time.monotonic()):
            self._send(self._tasks[request.number], machine.name, alone=request.alone, gpu=request.gpu)
            running += 1
            if running == self._most:
                return

    def _send(self, task: _Task, name: str, *, alone: bool, gpu: bool) -> None:
        """Have Ray start a task on a machine."""
        job, resources = task.job, self._nodes[name]["Resources"]
        cores, gpus = int(resources["CPU"]), int(resources.get("GPU", 0))
        request = TaskRequest(
            target=job.target,
            request=job.request,
            cores=job.needs.cores,
            timeout=job.timeout,
            has_folder=job.folder is not None,
            environment=dict(job.environment),
            variables=self._variables,
        )
        files = {path.name: path.read_bytes() for path in job.folder.iterdir() if path.is_file()} if job.folder else {}
        task.machine, task.sent = name, time.monotonic()
        task.place = Place(node=name, host=self._nodes[name].get("NodeManagerHostname", ""), label=self._label)
        task.told = self._remote.options(
            num_cpus=cores if alone else min(job.needs.cores, cores),
            num_gpus=gpus if alone else int(gpu and gpus > 0),
            resources={SHARED: 1 if alone else _SHARE},
            label_selector={LABEL: self._label, "ray.io/node-id": name},
            _generator_backpressure_num_objects=_AHEAD,
        ).remote(msgspec.msgpack.encode(request), files)

    def _go_on(self) -> None:
        """Sleep until a task tells something, a machine comes or goes, or a limit is reached; see to it."""
        flying = {task.told: number for number, task in self._tasks.items() if task.told is not None}
        left = max(0.0, self._looked + LOOK_SECONDS - time.monotonic())
        if flying:
            ready, _ = self._ray.wait(list(flying), num_returns=len(flying), timeout=0)
            if not ready:
                ready, _ = self._ray.wait(list(flying), timeout=left, fetch_local=False)
            for told in ready:
                if flying[told] in self._tasks:
                    self._take(flying[told])
        else:
            time.sleep(left)
        now = time.monotonic()
        for number, task in list(self._tasks.items()):
            if task.told is not None and not task.begun and now - task.sent > START_SECONDS:
                words = f"Ray did not start it within {START_SECONDS:g} s; other programs may be using the machine"
                self._end(number, _lost(task, words))
        if now - self._looked >= LOOK_SECONDS:
            self._look()
            if time.monotonic() - self._alone_since > JOIN_SECONDS:
                raise UnusableError(f"{self._none_there(self._label, ())}; run the same command to resume")
        self._place()

    def _take(self, number: int) -> None:
        """Take what a task tells next."""
        task = self._tasks[number]
        try:
            told = decode_told(self._ray.get(next(task.told)))
        except StopIteration:
            self._end(number, _lost(task, "its task ended without a message"))
            return
        except self._ray.exceptions.OutOfMemoryError:
            reason = "the machine ran out of memory, and Ray killed the task"
            self._end(number, Ending(kind="oom", seconds=time.monotonic() - task.sent, reason=reason, place=task.place))
            return
        except (self._ray.exceptions.RayError, msgspec.MsgspecError) as error:
            self._end(number, _lost(task, _first_line(error)))
            return
        for one in told:
            self._hear(number, task, one)

    def _hear(self, number: int, task: _Task, told: Told) -> None:
        """See to one thing that a task tells."""
        job = task.job
        if isinstance(told, Begins):
            task.begun = True
            assert task.place is not None
            task.place = msgspec.structs.replace(task.place, host=told.host, gpu=told.gpu)
        elif isinstance(told, Says):
            for message in told.messages if job.on_message else ():
                assert job.on_message is not None
                job.on_message(message)
        elif isinstance(told, Brings):
            self._write(task, told)
        elif isinstance(told, Logs):
            _append(job.log, told.content)
        else:
            self._end(number, _ending(told, task))

    def _write(self, task: _Task, told: Brings) -> None:
        """Write a piece of a file into the folder of a job."""
        folder = task.job.folder
        if folder is None or told.name in ("", ".", "..") or Path(told.name).name != told.name:
            return
        with (folder / told.name).open("ab" if told.name in task.opened else "wb") as file:
            file.write(told.content)
        task.opened.add(told.name)

    def _end(self, number: int, ended: Ending[bytes]) -> None:
        """Take note of how a task ended; one that admits a machine does, or does not."""
        task = self._tasks.pop(number)
        if ended.lost:
            self._stop(task)
        if not task.admits:
            self._placing.end(number)
            self._ended[Handle(number)] = ended
            return
        node = self._nodes.get(task.admits)
        if node is None or self._admission is None:
            return
        if ended.lost and task.admits not in self._asked_again:
            self._asked_again.add(task.admits)
            del self._nodes[task.admits]  # the next look asks it again
            return
        reason = self._admission[1](ended)
        if reason:
            host = task.place.host if task.place else ""
            self._refused[task.admits] = f"the machine {host} ({task.admits[:8]}) is not used: {reason}"
            self._say(f"warning: {self._refused[task.admits]}")
        else:
            self._placing.add(_machine(task.admits, node))

    def _stop(self, task: _Task) -> None:
        if task.told is not None:
            with contextlib.suppress(Exception):  # it has ended, or its machine is gone
                self._ray.cancel(task.told, force=True)


def _machine(name: str, node: dict[str, Any]) -> Machine:
    resources = node["Resources"]
    return Machine(name=name, cores=int(resources["CPU"]), gpus=int(resources.get("GPU", 0)))


def _ending(told: Over, task: _Task) -> Ending[bytes]:
    return Ending(
        kind=told.kind,
        seconds=told.seconds,
        answer=told.answer,
        reason=told.reason,
        exit_code=told.exit_code,
        place=task.place,
    )


def _lost(task: _Task, reason: str) -> Ending[bytes]:
    words = f"lost on a machine of the cluster: {reason}"
    return Ending(kind="crashed", seconds=time.monotonic() - task.sent, reason=words, place=task.place, lost=True)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _append(log: Path | None, content: bytes) -> None:
    """Append to a log, if it can be written."""
    if log is not None:
        with contextlib.suppress(OSError), log.open("ab") as file:
            file.write(content)
