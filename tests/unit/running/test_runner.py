"""The parent's half of a run, with scripted endings in place of processes: every planned cell ends as a record."""

from __future__ import annotations

import contextlib
import itertools
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import msgspec
import pytest

from vitbench.catalog.discovery import PluginSelection
from vitbench.execution.executor import Ending, Needs
from vitbench.execution.messages import (
    PREDICTIONS,
    SCORES,
    WEIGHTS,
    CellJob,
    CellResult,
    MetricsJob,
    Progress,
    Say,
    kept_file,
)
from vitbench.records import Environment, KeyedCell, Measurement, PluginOrigin, Ratio, Record, Training, Verdict
from vitbench.running.attempt import FULL_PROCESSES
from vitbench.running.events import Ended, Event, Noted, Progressed, Started
from vitbench.running.runner import SPEED_PROCESSES, run_cells, update_metrics
from vitbench.store import Store, environment_digest

ENVIRONMENT = factories.environment()
Ends = Callable[[Any], Ending | BaseException]
METRICS = {"metrics/top1": "c0de"}
CHANGED = {"metrics/top1": "n3w"}
BEFORE = PluginOrigin(plugin="metrics", distribution="vitbench", version="1", code_hash="c0de")
OK = CellResult(status="ok")


def answered(result: CellResult = OK, seconds: float = 1.0) -> Ending:
    return Ending(kind="answered", seconds=seconds, answer=result)


def measured(value: float | None, name: str = "throughput", **fields: object) -> Ending:
    return answered(CellResult(status="ok", measurements=(Measurement(name=name, value=value, **fields),)))


class Script:
    """An executor that ends each process as a test says, and remembers what it was asked."""

    elsewhere = False

    def __init__(self, ending: Ends) -> None:
        self.asked: list[tuple[str, int]] = []
        self.calls: list[dict[str, object]] = []
        self._ending = ending

    def run(
        self,
        target: str,
        request: msgspec.Struct,
        answer: type[CellResult],
        *,
        folder: Path,
        message: object = None,
        on_message: Callable[[Progress | Say], None] | None = None,
        needs: Needs | None = None,
        timeout: float | None = None,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Ending:
        assert answer is CellResult
        assert isinstance(request, CellJob | MetricsJob)
        if isinstance(request, MetricsJob):
            files = {name: (folder / name).read_bytes() for name in (PREDICTIONS, SCORES) if (folder / name).exists()}
            self.calls.append({"target": target, "log": log, "job": request, "files": files})
            (folder / SCORES).write_bytes(b"new scores")
            return self._ending(request)
        self.asked.append((request.planned.label, request.process))
        self.calls.append(
            {"target": target, "timeout": timeout, "log": log, "environment": environment, "job": request}
            | {"needs": needs}
        )
        for name in (PREDICTIONS, SCORES, WEIGHTS, kept_file("decoder")):
            (folder / name).write_bytes(f"{name} of {request.planned.label}".encode())
        on_message(Progress(epoch=1, epochs=2))
        on_message(Say(text=f"a word of {request.planned.label}"))
        ending = self._ending(request)
        if isinstance(ending, BaseException):
            raise ending
        return ending


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, create=True) as store:
        yield store


def run(
    store: Store,
    cells: list[KeyedCell],
    ending: Ends = lambda _: answered(),
    **arguments: object,
) -> tuple[Script, list[Event]]:
    run_id = store.begin_run(command="x", version="1", suite="", environment=ENVIRONMENT, rank_by="top1")
    store.plan(run_id, cells)
    script, events = Script(ending), []
    run_cells(
        cells,
        store=store,
        run=run_id,
        environment_digest=environment_digest(ENVIRONMENT),
        metrics=METRICS,
        child_environment={"HF_HUB_OFFLINE": "1"},
        executor=script,
        on_event=events.append,
        plugins=PluginSelection(),
        **arguments,
    )
    return script, events


def only(store: Store) -> Record:
    (record,) = store.records()
    return record


FEW, MOST = SPEED_PROCESSES
A, B = factories.quality_cell("a"), factories.quality_cell("b")
FAST, SLOW = factories.speed_cell("fast"), factories.speed_cell("slow")
FAST_1, SLOW_1 = factories.speed_cell("fast", batch_size=1), factories.speed_cell("slow", batch_size=1)


def test_a_quality_cell_is_one_process_and_a_speed_cell_several_in_turn(store: Store) -> None:
    script, _ = run(store, [A, B, FAST_1, SLOW_1, FAST, SLOW])
    rounds = [{("fast", process), ("slow", process)} for process in range(FEW)]
    assert script.asked[:2] == [("a", 0), ("b", 0)]
    pairs = [set(pair) for pair in zip(script.asked[2::2], script.asked[3::2], strict=True)]
    assert pairs == [*rounds, *rounds]
    keys = [record.planned.key for record in store.records()]
    assert keys[:2] == [A.key, B.key]
    assert [set(pair) for pair in zip(keys[2::2], keys[3::2], strict=True)] == [
        {FAST_1.key, SLOW_1.key},
        {FAST.key, SLOW.key},
    ]


def test_each_round_has_its_own_order_and_the_next_run_has_the_same(store: Store) -> None:
    cells = [factories.speed_cell(label) for label in "abcdefgh"]
    orders = []
    for _ in range(2):
        asked = run(store, cells)[0].asked
        rounds = [tuple(label for label, number in asked if number == process) for process in range(FEW)]
        assert [process for _, process in asked] == sorted(process for _, process in asked), "one round after another"
        assert all(sorted(each) == list("abcdefgh") for each in rounds)
        orders.append(rounds)
    assert orders[0] == orders[1]
    assert orders[0][0] == tuple("abcdefgh"), "as planned"
    assert len(set(orders[0])) == FEW
    follows = Counter(pair for each in orders[0] for pair in itertools.pairwise(each))
    assert max(follows.values()) < FEW - 1, "no model always follows the same other one"


def test_a_cell_that_its_first_processes_leave_too_badly_known_gets_more_of_them(store: Store) -> None:
    def ending(job: CellJob) -> Ending:
        scatter = 0.1 if job.planned.label == "slow" else 0.01
        ratio = 1 + scatter * (job.process % 3)
        whole = Ratio(value=ratio, value_of_all=ratio, reference=1.0, network="net-1", quads=8, left_out=0)
        return measured(ratio, ratio=whole, samples=((ratio,),))

    script, events = run(store, [FAST, SLOW], ending)
    asked = Counter(label for label, _ in script.asked)
    assert asked == {"fast": FEW, "slow": MOST}
    told = [event.processes for event in events if isinstance(event, Started) and event.planned.label == "slow"]
    assert told == [FEW] * FEW + [MOST] * (MOST - FEW)
    assert {record.planned.label: record.measurements[0].n for record in store.records()} == asked


def test_a_cell_whose_processes_take_minutes_has_three(store: Store) -> None:
    def ending(job: CellJob) -> Ending:
        return replace(measured(1.0), seconds=61.0 if job.planned.label == "slow" or job.process == 1 else 59.0)

    script, _ = run(store, [FAST, SLOW], ending)
    assert Counter(label for label, _ in script.asked) == {"fast": FEW, "slow": FULL_PROCESSES}


def test_later_processes_of_a_speed_cell_only_time(store: Store) -> None:
    script, _ = run(store, [A, FAST])
    told = [(job.planned.label, job.process, job.timing_only) for job in (call["job"] for call in script.calls)]
    assert told == [("a", 0, False), *(("fast", i, i >= FULL_PROCESSES) for i in range(FEW))]


def test_the_cells_that_took_turns_share_an_occasion_and_no_others_do(store: Store) -> None:
    for _ in range(2):  # another run is another occasion
        run(store, [A, B, FAST_1, SLOW_1, FAST, SLOW])
    occasions = [record.occasion for record in store.records()]
    alike = [[i for i, other in enumerate(occasions) if other == own] for own in dict.fromkeys(occasions)]
    assert alike == [[0], [1], [2, 3], [4, 5], [6], [7], [8, 9], [10, 11]]


def test_what_a_process_is_told(store: Store) -> None:
    script, _ = run(store, [A, FAST])
    quality, speed = script.calls[0], script.calls[1]
    assert quality["target"] == "vitbench.worker.cell:run_cell"
    assert (quality["timeout"], speed["timeout"]) == (None, 300.0)
    assert quality["environment"] == {"HF_HUB_OFFLINE": "1"}
    assert quality["log"] == store.log_path(A.key)
    assert quality["job"] == CellJob(planned=A, checkpoint=str(store.checkpoint_path(A.key)))
    assert speed["job"].checkpoint == ""
    assert quality["needs"] == Needs(cores=1, device="cpu")
    assert speed["needs"] == Needs(cores=1, device="cpu", alone=True)
    script, _ = run(store, [A, FAST], timeout=7.0)
    assert {call["timeout"] for call in script.calls} == {7.0}, "the user's holds for every process"


def test_the_files_of_a_good_cell_are_kept_and_those_of_a_failed_one_are_not(store: Store) -> None:
    run(store, [A, B], lambda job: answered(CellResult(status="ok" if job.planned.label == "a" else "failed")))
    assert store.predictions_path(A.key).read_text() == "predictions.npz of a"
    assert store.weights_path(A.key).read_text() == "weights.safetensors of a"
    assert store.scores_path(A.key).read_text() == "scores.npz of a"
    assert not store.predictions_path(B.key).exists()
    assert not store.scores_path(B.key).exists()
    assert not list(store.folder.glob(".job-*"))


def test_a_cell_whose_files_cannot_be_kept_fails_alone_and_can_resume(store: Store) -> None:
    store.weights_path(A.key).mkdir()
    leave_checkpoints(store)
    run(store, [A, B])
    failed, good = store.records()
    assert failed.status == "failed"
    assert failed.reason.startswith(f"{store.weights_path(A.key)} cannot be written: ")
    assert good.status == "ok"
    assert store.checkpoints() == [A.key]


def leave_checkpoints(store: Store) -> None:
    for cell in (A, B):
        store.checkpoint_path(cell.key).write_bytes(b"state")
        store.checkpoint_path(cell.key).with_suffix(".pt.part").write_bytes(b"half")


@pytest.mark.parametrize(
    ("ending", "resumes"),
    [
        (answered(), False),
        (answered(CellResult(status="failed")), False),
        (answered(CellResult(status="oom", reason="raised")), False),
        (Ending(kind="oom", seconds=1.0), True),
        (Ending(kind="crashed", seconds=1.0), True),
        (KeyboardInterrupt(), True),
    ],
    ids=["ok", "failed", "oom raised", "oom killed", "crashed", "interrupted"],
)
def test_what_was_killed_keeps_its_checkpoint_and_what_ended_does_not(
    ending: Ending | BaseException, resumes: bool, store: Store
) -> None:
    leave_checkpoints(store)
    with contextlib.suppress(KeyboardInterrupt):
        run(store, [A], lambda _: ending)
    assert store.checkpoints() == sorted([B.key, *([A.key] if resumes else [])])
    if not resumes:
        assert not store.checkpoint_path(A.key).with_suffix(".pt.part").exists()


def test_an_unavailable_cell_keeps_its_checkpoint(store: Store) -> None:
    leave_checkpoints(store)
    run(store, [msgspec.structs.replace(A, unavailable="it needs the module timm")])
    assert A.key in store.checkpoints()


def test_what_a_recipe_keeps_is_stored_with_its_hash_where_the_cell_is_ok(store: Store) -> None:
    kept = {"decoder": "5ad"}
    run(store, [A, B], lambda job: answered(CellResult(status="ok" if job.planned == A else "invalid", kept=kept)))
    assert store.kept_path(A.key, "decoder").read_text() == "kept.decoder.safetensors of a"
    assert [path.name for path in (store.folder / "kept").iterdir()] == [f"{A.key}.decoder.safetensors"]
    assert [record.kept for record in store.records()] == [kept, {}]


def test_a_record_holds_what_the_process_said(store: Store) -> None:
    outcome = CellResult(
        status="ok",
        measurements=(factories.top1(180),),
        curve=({"epoch": 1.0, "loss": 0.5},),
        runtime={"threads": 1},
        facts={"stem": "cifar"},
        splits={"test": 360},
        faults=("the model depends on the order",),
    )
    run(store, [A], lambda _: answered(outcome, 12.5))
    record = only(store)
    assert (record.status, record.seconds, record.planned) == ("ok", 12.5, A)
    for name in ("curve", "runtime", "facts", "splits", "faults"):
        assert getattr(record, name) == getattr(outcome, name)
    (top1,) = record.measurements
    assert top1.value == 0.5
    assert top1.verdict == Verdict(level="invalid", reasons=outcome.faults)
    assert record.metrics == METRICS
    assert record.environment == environment_digest(ENVIRONMENT)
    assert msgspec.json.decode(store.blob(record.environment), type=Environment) == ENVIRONMENT


def test_events_tell_the_start_the_progress_and_the_end(store: Store) -> None:
    _, events = run(store, [A, FAST])
    assert events[:4] == [
        Started(planned=A, process=0, processes=1),
        Progressed(planned=A, progress=Progress(epoch=1, epochs=2)),
        Noted(text="a word of a"),
        Ended(record=store.records()[0]),
    ]
    started = [event for event in events if isinstance(event, Started) and event.processes > 1]
    assert [(event.process, event.processes) for event in started] == [(process, FEW) for process in range(FEW)]
    assert sum(isinstance(event, Ended) for event in events) == 2


def test_a_record_is_in_the_store_before_it_is_announced(store: Store) -> None:
    stored: list[bool] = []

    def look(event: Event) -> None:
        if isinstance(event, Ended):
            stored.append(event.record in store.records())

    run_id = store.begin_run(command="x", version="1", suite="", environment=ENVIRONMENT, rank_by="top1")
    run_cells(
        [A, FAST],
        store=store,
        run=run_id,
        environment_digest="",
        metrics={},
        child_environment={},
        executor=Script(lambda _: answered()),
        on_event=look,
        plugins=PluginSelection(),
    )
    assert stored == [True, True]


@pytest.mark.parametrize(
    ("ending", "status", "reason"),
    [
        (answered(CellResult(status="failed", reason="no weights")), "failed", "no weights"),
        (answered(CellResult(status="invalid", reason="row 3 is NaN")), "invalid", "row 3 is NaN"),
        (Ending(kind="crashed", seconds=2.0, reason="killed by SIGKILL"), "crashed", "killed by SIGKILL"),
    ],
)
def test_a_failure_is_recorded_stops_its_cell_and_the_others_go_on(
    ending: Ending, status: str, reason: str, store: Store
) -> None:
    def fail(job: CellJob) -> Ending:
        bad = job.planned.label == "a" or (job.planned.label == "fast" and job.process == 1)
        return ending if bad else answered()

    script, _ = run(store, [A, B, FAST, SLOW], fail)
    assert script.asked[:2] == [("a", 0), ("b", 0)]
    assert [process for label, process in script.asked if label == "fast"] == [0, 1]
    assert [process for label, process in script.asked if label == "slow"] == list(range(FEW))
    statuses = {record.planned.label: (record.status, record.reason) for record in store.records()}
    assert statuses == {"a": (status, reason), "b": ("ok", ""), "fast": (status, reason), "slow": ("ok", "")}


def test_a_failed_speed_cell_keeps_no_half_measurements(store: Store) -> None:
    run(store, [FAST], lambda job: measured(100.0) if job.process == 0 else Ending(kind="crashed", seconds=1.0))
    assert only(store).measurements == ()
    assert only(store).seconds == 2.0


def test_an_unavailable_cell_fails_without_a_process(store: Store) -> None:
    absent = factories.quality_cell("absent", unavailable="it needs the module timm, which is not installed")
    timed = factories.speed_cell("absent", unavailable="it needs the module timm, which is not installed")
    script, _ = run(store, [absent, timed, A])
    assert script.asked == [("a", 0)]
    assert [(record.status, record.reason) for record in store.records()] == [
        ("failed", "it needs the module timm, which is not installed"),
        ("failed", "it needs the module timm, which is not installed"),
        ("ok", ""),
    ]


def test_a_cell_that_waits_for_the_hub_is_pending_without_a_process(store: Store) -> None:
    waiting = factories.quality_cell("away", unavailable="its weights are on the hub", hub="away")
    timed = factories.speed_cell("away", hub="away")
    script, _ = run(store, [waiting, timed], lambda _: measured(1.0))
    assert {name for name, _ in script.asked} == {"away"}
    assert [(record.status, record.reason) for record in store.records()] == [
        ("pending", "its weights are on the hub"),
        ("ok", ""),
    ]


@pytest.mark.parametrize(("victim", "process"), [("b", 0), ("slow", 2)])
def test_an_interruption_is_recorded_and_raised_again(victim: str, process: int, store: Store) -> None:
    def interrupt(job: CellJob) -> Ending | BaseException:
        return KeyboardInterrupt() if (job.planned.label, job.process) == (victim, process) else measured(1.0)

    cells = [A, B, FAST, SLOW]
    with pytest.raises(KeyboardInterrupt):
        run(store, cells, interrupt)
    newest = {record.planned.label: record for record in store.records()}
    assert (newest[victim].status, newest[victim].reason) == ("interrupted", "the run was interrupted")
    assert newest[victim].measurements == ()
    assert all(record.status == "ok" for label, record in newest.items() if label != victim)
    ended = set(newest) | {cell.label for cell in store.pending()}
    assert ended == {"a", "b", "fast", "slow"}, "what did not end is pending, not lost"


def test_the_processes_of_a_speed_cell_are_merged(store: Store) -> None:
    values = tuple(100.0 + (-1) ** i * i / 2 for i in range(FEW))
    run(store, [FAST], lambda job: measured(values[job.process], samples=((values[job.process],),), unit="images/s"))
    (merged,) = only(store).measurements
    assert merged == Measurement(
        name="throughput",
        value=statistics.median(values),
        unit="images/s",
        low=min(values),
        high=max(values),
        n=FEW,
        samples=tuple((value,) for value in values),
        processes=values,
    )


SEARCH = factories.speed_cell("search", largest_batch=True, batch_size=8)


def test_the_largest_batch_is_searched_in_processes_of_its_own_then_timed_in_several(store: Store) -> None:
    def ending(job: CellJob) -> Ending:
        if not job.probe:
            return measured(500.0, "largest_batch_throughput")
        return answered() if job.batch_size <= 20 else answered(CellResult(status="oom", reason="too large"))

    script, _ = run(store, [SEARCH], ending)
    jobs = [call["job"] for call in script.calls]
    assert [job.batch_size for job in jobs if job.probe] == [8, 16, 32, 24, 20, 22, 21]
    assert [(job.process, job.batch_size) for job in jobs if not job.probe] == [(process, 20) for process in range(FEW)]
    record = only(store)
    assert {m.name: m.value for m in record.measurements} == {"largest_batch": 20, "largest_batch_throughput": 500.0}
    assert record.status == "ok"


def test_a_search_that_breaks_is_the_cells_failure_and_nothing_is_timed(store: Store) -> None:
    def ending(job: CellJob) -> Ending:
        return Ending(kind="crashed", seconds=1.0, reason="killed by SIGSEGV") if job.batch_size == 16 else answered()

    script, _ = run(store, [SEARCH], ending)
    assert all(call["job"].probe for call in script.calls)
    assert (only(store).status, only(store).reason) == ("crashed", "batch 16: killed by SIGSEGV")


@pytest.mark.parametrize(("device", "found"), [("cpu", 15), ("cuda", None)])
def test_a_try_that_the_system_ends_for_want_of_memory_is_no_limit_of_a_gpu(
    store: Store, device: str, found: int | None
) -> None:
    def ending(job: CellJob) -> Ending:
        if not job.probe:
            return measured(500.0, "largest_batch_throughput")
        killed = Ending(kind="oom", seconds=1.0, reason="the system killed the process")
        return answered() if job.batch_size <= 15 else killed

    cell = factories.speed_cell("search", largest_batch=True, batch_size=8, device=device)
    run(store, [cell], ending)
    record = only(store)
    if found:
        assert {m.name: m.value for m in record.measurements}["largest_batch"] == found
    else:
        assert record.status == "failed"
        assert record.reason == ("batch 16: the host ran out of memory, not the device: the system killed the process")


def test_each_compiled_cell_starts_with_an_empty_cache_that_its_processes_share(store: Store) -> None:
    cells = [factories.speed_cell("a", compile="default"), factories.quality_cell("b", compile="default")]
    script, _ = run(store, [*cells, FAST], lambda job: measured(1.0))
    caches = [(call["job"].planned.label, call["environment"].get("TORCHINDUCTOR_CACHE_DIR")) for call in script.calls]
    by_label = {label: {cache for name, cache in caches if name == label} for label in ("a", "b", FAST.label)}
    assert by_label[FAST.label] == {None}
    (of_a,), (of_b,) = by_label["a"], by_label["b"]
    assert of_a != of_b
    assert not Path(of_a).parent.exists(), "what was compiled is not left behind"
    timeouts = {call["job"].planned.label: call["timeout"] for call in script.calls}
    assert timeouts["a"] > timeouts[FAST.label]


def test_metrics_that_changed_are_computed_again_from_the_stored_predictions(store: Store) -> None:
    old = factories.record(
        A,
        [
            *(factories.measurement("top1", 0.5), factories.measurement("params", 9.0)),
            factories.measurement("time:level=0.9", 3.0),
        ],
        metrics=METRICS,
        curve=({"epoch": 1.0},),
        training=Training(seconds=2.0, images=3),
        faults=("the model depends on the order",),
        measured_by=(BEFORE,),
    )
    current = factories.record(B, [factories.measurement("top1", 0.5)], metrics={"metrics/top1": "changed"})
    others = [factories.record(factories.quality_cell("x"), status="failed"), factories.record(FAST)]
    old = msgspec.structs.replace(
        old, run=store.begin_run(command="x", version="1", suite="", environment=ENVIRONMENT, rank_by="top1")
    )
    now = msgspec.structs.replace(BEFORE, code_hash="changed")
    measured = (factories.measurement("top1", 0.75), factories.measurement("time:level=0.5", 1.0))
    outcome = CellResult(status="ok", measurements=measured, measured_by=(now,))
    again = Script(lambda _: Ending(kind="answered", seconds=1.0, answer=outcome))
    new = {"metrics/top1": "changed"}
    plugins = PluginSelection(excluded=("timm",))
    store.predictions_path(A.key).write_bytes(b"stored")
    store.scores_path(A.key).write_bytes(b"old scores")
    options = {"m/time": {"level": 0.5}}
    told = update_metrics(
        [old, current, *others], store=store, metrics=new, options=options, executor=again, plugins=plugins
    )
    assert told == []
    (call,) = again.calls
    assert call["target"] == "vitbench.worker.quality:measure_again"
    assert call["job"] == MetricsJob(
        planned=A,
        training=old.training,
        curve=old.curve,
        faults=("the model depends on the order",),
        metric_options=options,
        plugins=plugins,
    )
    assert call["files"] == {PREDICTIONS: b"stored", SCORES: b"old scores"}
    assert store.scores_path(A.key).read_bytes() == b"new scores"
    record = only(store)
    assert {each.name: each.value for each in record.measurements} == {
        "params": 9.0,
        "top1": 0.75,
        "time:level=0.5": 1.0,
    }
    assert record.metrics == new
    assert record.measured_by == (BEFORE, now), "what was not computed again is of the code before"


def test_a_metric_that_lacks_its_library_now_keeps_the_value_that_it_had(store: Store) -> None:
    old = factories.record(A, [factories.measurement("gini", 0.5)], metrics={**METRICS, "foreign/gini": "a"})
    again = Script(lambda _: answered())
    assert update_metrics([old], store=store, metrics=METRICS, executor=again, plugins=PluginSelection()) == []
    assert (again.calls, store.records()) == ([], [])


def test_predictions_that_cannot_be_read_end_no_run(store: Store) -> None:
    old = factories.record(A, [factories.measurement("top1", 0.5)], metrics=METRICS)
    store.predictions_path(A.key).mkdir()
    refused = Script(lambda _: Ending(kind="refused", seconds=1.0, reason="cannot read the predictions", exit_code=4))
    (sentence,) = update_metrics([old], store=store, metrics=CHANGED, executor=refused, plugins=PluginSelection())
    assert "could not be computed again" in sentence


def test_scores_that_cannot_be_kept_leave_the_metrics_as_they_are(store: Store) -> None:
    old = factories.record(A, [factories.measurement("top1", 0.5)], metrics=METRICS)
    store.scores_path(A.key).mkdir()
    again = Script(lambda _: answered(CellResult(status="ok", measurements=(factories.measurement("top1", 0.75),))))
    (sentence,) = update_metrics([old], store=store, metrics=CHANGED, executor=again, plugins=PluginSelection())
    assert "could not be computed again" in sentence
    assert store.records() == []


def test_metrics_that_cannot_be_computed_again_stay_and_say_so(store: Store) -> None:
    old = factories.record(A, [factories.measurement("top1", 0.5)], metrics=METRICS)
    gone = Script(lambda _: Ending(kind="crashed", seconds=1.0, reason="exit code 1"))
    store.scores_path(A.key).write_bytes(b"old scores")
    (sentence,) = update_metrics([old], store=store, metrics=CHANGED, executor=gone, plugins=PluginSelection())
    assert sentence.startswith("the metrics of a could not be computed again from ")
    assert store.scores_path(A.key).read_bytes() == b"old scores"
    assert store.records() == []
