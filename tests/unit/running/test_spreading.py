"""Several machines, scripted: who runs where and when is an executor's affair, what is recorded is not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import factories
import msgspec
import pytest

from vitbench.catalog.discovery import PluginSelection
from vitbench.execution.executor import Ending, Executor, Handle, Job
from vitbench.execution.messages import WEIGHTS, CellJob, CellResult
from vitbench.records import FigureCell, KeyedCell, Place, Record
from vitbench.running.events import Ended, Event
from vitbench.running.runner import SPEED_PROCESSES, run_cells
from vitbench.store import Store, environment_digest

ENVIRONMENT = factories.environment()
A, B, C = (factories.quality_cell(name) for name in "abc")
TIMED = [factories.speed_cell(f"timed-{name}") for name in "abcd"]
ANSWER = msgspec.msgpack.encode(CellResult(status="ok"))
LOST = Ending(kind="crashed", seconds=1.0, reason="the machine left the cluster", lost=True)
FEW = SPEED_PROCESSES[0]


class Machines(Executor):
    """An executor of several machines: jobs end in the order of submission, as a test says."""

    parallel, machines, elsewhere = 3, 2, True

    def __init__(self, ends: Callable[[CellJob, int], Ending[bytes] | BaseException | None]) -> None:
        self.asked: list[tuple[str, int]] = []
        self.most = 0
        self.released: list[str] = []
        self.cancelled: list[str] = []
        self.series: dict[str, set[str]] = {}
        self._ends, self._jobs = ends, dict[Handle, tuple[Job, CellJob]]()

    def submit(self, job: Job) -> Handle:
        request = msgspec.msgpack.decode(job.request, type=CellJob)
        handle = Handle(len(self.asked))
        self.asked.append((request.planned.label, request.process))
        self.series.setdefault(job.needs.series, set()).add(request.planned.label)
        self._jobs[handle] = job, request
        self.most = max(self.most, len(self._jobs))
        return handle

    def wait(self, handles: Collection[Handle]) -> dict[Handle, Ending[bytes]]:
        assert set(handles) == set(self._jobs)
        handle = min(handles)
        job, request = self._jobs.pop(handle)
        ended = self._ends(request, handle)
        if isinstance(ended, BaseException):
            raise ended
        assert job.folder is not None
        if request.trained:
            assert (job.folder / request.trained[WEIGHTS]).read_text() == "weights"
        else:
            (job.folder / WEIGHTS).write_text("weights")
        place = Place(node=f"node-{handle}")
        ended = ended or Ending(kind="answered", seconds=1.0, answer=ANSWER, place=place)
        return {handle: ended, Handle(10_000): ended}  # and one that nobody waits for any more

    def cancel(self, handle: Handle) -> None:
        if found := self._jobs.pop(handle, None):
            self.cancelled.append(found[1].planned.label)

    def release(self, series: str) -> None:
        self.released.append(series)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, create=True) as store:
        yield store


def run(
    store: Store,
    cells: list[KeyedCell],
    ends: Callable[[CellJob, int], Ending[bytes] | BaseException | None] = lambda *_: None,
    **arguments: object,
) -> tuple[Machines, list[Record], list[Event]]:
    run_id = store.begin_run(command="x", version="1", suite="", environment=ENVIRONMENT, rank_by="top1")
    store.plan(run_id, cells)
    machines, events = Machines(ends), list[Event]()
    try:
        run_cells(
            cells,
            store=store,
            run=run_id,
            environment_digest=environment_digest(ENVIRONMENT),
            metrics={},
            child_environment={},
            executor=machines,
            on_event=events.append,
            plugins=PluginSelection(),
            **arguments,
        )
    finally:
        assert not list(store.folder.glob(".job-*"))
    return machines, store.records(), events


def test_several_are_in_flight_the_longest_first_and_each_is_one_record_with_its_place(store: Store) -> None:
    machines, records, events = run(store, [A, B, C], seconds={A.key: 1, B.key: 3, C.key: 2})
    assert [label for label, _ in machines.asked] == ["b", "c", "a"]
    assert machines.most == 3
    assert sorted(record.planned.label for record in records) == ["a", "b", "c"]
    assert {record.place.node for record in records if record.place} == {"node-0", "node-1", "node-2"}
    assert sum(isinstance(event, Ended) for event in events) == 3
    assert store.weights_path(A.key).read_text() == "weights"


def test_speeds_take_turns_in_parts_that_each_have_a_machine(store: Store) -> None:
    machines, records, _ = run(store, [A, *TIMED])
    parts = {series: labels for series, labels in machines.series.items() if series}
    assert sorted(map(sorted, parts.values())) == [["timed-a", "timed-b"], ["timed-c", "timed-d"]]
    assert set(parts) < set(machines.released)
    assert [label for label, _ in machines.asked][:2] == ["timed-a", "timed-c"]  # before the training
    assert len({record.occasion for record in records if record.planned in TIMED}) == 2
    assert len(machines.asked) == 1 + FEW * len(TIMED)


def test_what_is_lost_with_a_machine_runs_once_more_from_its_first_process_on(store: Store) -> None:
    machines, records, _ = run(store, TIMED[:2], lambda _, number: LOST if number == 3 else None)
    assert [process for _, process in machines.asked][:4] == [0, 0, 1, 1]
    assert len(machines.asked) == 4 + 2 * FEW
    assert [record.status for record in records] == ["ok", "ok"]
    assert len({record.occasion for record in records}) == 1


def test_what_is_lost_twice_is_recorded_as_it_ended_and_the_others_go_on(store: Store) -> None:
    machines, records, _ = run(store, [A, B], lambda job, _: LOST if job.planned == A else None)
    assert [label for label, _ in machines.asked].count("a") == 2
    assert {record.planned.label: record.status for record in records} == {"a": "crashed", "b": "ok"}


def test_an_interruption_ends_all_and_is_recorded_for_each(store: Store) -> None:
    def ends(job: CellJob, _: int) -> BaseException | None:
        return KeyboardInterrupt() if job.planned == A else None

    with pytest.raises(KeyboardInterrupt):
        run(store, [A, B, C], ends)
    statuses = {record.planned.label: record.status for record in store.records()}
    assert statuses == {"a": "interrupted", "b": "interrupted", "c": "interrupted"}


def test_a_figure_waits_for_its_training_and_gets_its_files(store: Store) -> None:
    figure = msgspec.structs.replace(
        B, cell=FigureCell(figure="figures/x", of=B.cell), id="f" * 16, key="f" * 16, label="figure", shows=B.key
    )
    machines, records, _ = run(store, [A, B, figure], seconds={figure.key: 100.0})
    assert [label for label, _ in machines.asked] == ["a", "b", "figure"]
    assert machines.most == 2
    assert [record.status for record in records] == ["ok"] * 3
