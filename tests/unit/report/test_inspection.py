"""What ``--dry-run`` and ``vitbench show`` say of cells and records."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import factories
import msgspec
import pytest

from vitbench.errors import UsageError
from vitbench.files import lock
from vitbench.records import Allotted, PluginOrigin, Training
from vitbench.report.inspection import plan_data, plan_text, record_text, store_text
from vitbench.store import Store

DONE, NEW = factories.quality_cell("done"), factories.quality_cell("new")
TIMED = factories.speed_cell("done")
CELLS = [DONE, NEW, TIMED]
NEWEST = {DONE.key: factories.record(DONE)}
WANTED = {DONE.key: False, NEW.key: True, TIMED.key: True}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "results", create=True) as store:
        run = store.begin_run(command="x", version="1", suite="", environment=factories.environment(), rank_by="top1")
        store.plan(run, CELLS)
        store.append(
            factories.record(
                DONE,
                [
                    factories.top1(180),
                    factories.measurement("ece", None, verdict="invalid", reasons=["too few images"]),
                ],
                run=run,
                curve=({"epoch": 1.0, "loss": 0.53},),
                splits={"train": 1294, "val": 143, "test": 360},
                facts={"stem": "cifar"},
                evidence=({"processor_share": 0.98765, "load": 1.0},),
                course=({"seconds": 1.0, "images_per_second": 512.0},),
            )
        )
        store.append(factories.record(TIMED, status="timeout", reason="took more than 120 s", run=run))
        yield store


def test_a_plan_shows_what_is_kept_and_what_will_run() -> None:
    lines = plan_text(CELLS, NEWEST, WANTED, {}).splitlines()
    assert lines[0].split("  ")[0] == "key"
    assert " ".join(lines[0].split()) == "key kind status this run time time based on cell"
    assert [line.split()[:6] for line in lines[1:4]] == [
        [DONE.key, "quality", "ok", "keep", "unknown", "-"],
        [NEW.key, "quality", "new", "run", "unknown", "-"],
        [TIMED.key, "speed", "new", "run", "unknown", "-"],
    ]
    assert lines[1].endswith("done on digits, supervised, seed 0")
    assert lines[-1] == "3 cells, 2 to run"


def test_a_plan_as_json() -> None:
    done, new, timed = json.loads(plan_data(CELLS, NEWEST, WANTED, {DONE.key: (12.5, "an earlier record")}))
    assert (done["id"], done["key"], done["model"]) == (DONE.id, DONE.key, "done")
    assert (done["status"], done["run"], done["seconds"]) == ("ok", False, 12.5)
    assert (new["status"], new["run"], new["seconds"]) == (None, True, None)
    assert (done["cell"]["kind"], timed["cell"]["kind"]) == ("quality", "speed")
    assert timed["cell"]["batch_size"] == 32


def test_a_plan_says_why_a_cell_cannot_run() -> None:
    lost = msgspec.structs.replace(NEW, unavailable="it needs the module nope, which is not installed")
    line = plan_text([lost], {}, {lost.key: True}, {}).splitlines()[1]
    assert line.endswith("new on digits, supervised, seed 0: it needs the module nope, which is not installed")
    [data, fine] = json.loads(plan_data([lost, DONE], {}, {lost.key: True, DONE.key: True}, {}))
    assert (data["unavailable"], fine["unavailable"]) == (lost.unavailable, "")


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    with Store.open(tmp_path / "empty", create=True) as empty:
        assert store_text(empty) == f"{empty.folder} contains no cells yet"


@pytest.mark.parametrize(
    ("seconds", "summary"),
    [
        ({NEW.key: 40.0, TIMED.key: 20.0, DONE.key: 99.0}, "3 cells, 2 to run, about 60 s"),
        ({NEW.key: 40.0}, "3 cells, 2 to run: 1 takes about 40 s, the time of 1 is not known"),
    ],
)
def test_a_plan_gives_a_time_only_where_one_is_known_and_says_from_where(
    seconds: dict[str, float], summary: str
) -> None:
    lines = plan_text(CELLS, NEWEST, WANTED, {key: (each, "a probe") for key, each in seconds.items()}).splitlines()
    assert lines[-1] == summary
    assert "40 s" in lines[2]
    assert "a probe" in lines[2]
    assert ("unknown" in lines[3]) == (len(seconds) == 1)


def test_a_plan_and_a_record_say_what_a_budget_gives(store: Store) -> None:
    given = Allotted(steps=90, planned_steps=100, length=4000, step_seconds=0.025, seconds=2.5)
    planned = msgspec.structs.replace(NEW, allotted=given)
    assert plan_text([planned], {}, WANTED, {}).splitlines()[1].endswith("seed 0: 90 steps")
    record = factories.record(planned, run=store.runs()[0].id)
    store.append(msgspec.structs.replace(record, training=Training(seconds=2.5, images=100, steps=90)))
    words = "90 taken; 90 given by the budget, 100 before the first training, of the recipe's 4,000; 25 ms per step"
    assert words in record_text(store, NEW.id)


def test_a_store_shows_every_cell_with_its_status_and_weights(store: Store) -> None:
    store.weights_path(DONE.key).write_bytes(b"")
    lines = store_text(store).splitlines()
    rows = {line.split()[0]: line for line in lines[1:4]}
    assert rows[DONE.id].split()[1] == "ok"
    assert f"  weights/{DONE.key}.safetensors  " in rows[DONE.id]
    assert rows[NEW.id].split()[1] == "pending"
    assert rows[TIMED.id].split()[1] == "timeout"
    assert rows[TIMED.id].endswith("took more than 120 s")
    assert lines[-1].startswith(f"Logs are in {store.folder / 'logs'}; ")
    assert lines[-1].endswith(" ID` shows a record and the path of its log.")


def test_a_record_gives_the_path_of_its_log(store: Store) -> None:
    assert str(store.log_path(TIMED.key)) not in record_text(store, TIMED.id)  # there is none
    store.log_path(TIMED.key).write_text("late\n")
    assert f"log         {store.log_path(TIMED.key)}" in record_text(store, TIMED.id).splitlines()


def test_a_record_says_what_its_recipe_keeps_and_where(store: Store) -> None:
    store.append(msgspec.structs.replace(store.newest_by_key()[DONE.key], kept={"decoder": "5ad"}))
    lines = record_text(store, DONE.id).splitlines()
    assert f"kept        {store.kept_path(DONE.key, 'decoder')}, SHA-256 5ad" in lines


def test_cells_that_run_now_say_so(store: Store) -> None:
    with lock(store.folder), store.job_folder(NEW.key), store.job_folder(TIMED.key):
        rows = {line.split()[0]: line for line in store_text(store).splitlines()[1:4]}
        assert (rows[DONE.id].split()[1], rows[NEW.id].split()[1], rows[TIMED.id].split()[1]) == (
            "ok",
            "running",
            "running",
        )
        assert rows[TIMED.id].endswith("; before: timeout: took more than 120 s")
        assert "now         running again" in record_text(store, TIMED.id).splitlines()
        with pytest.raises(UsageError, match="is running, and has no record yet"):
            record_text(store, NEW.id)


def test_commands_that_are_printed_can_be_pasted(tmp_path: Path) -> None:
    folder = tmp_path / "it's; a b"
    with Store.open(folder, create=True) as store:
        run = store.begin_run(command="x", version="1", suite="", environment=factories.environment(), rank_by="top1")
        store.plan(run, CELLS)
        printed = store_text(store)
        with pytest.raises(UsageError) as error:
            record_text(store, "zz")
    for text, end in ((printed, ["ID"]), (str(error.value), [])):
        assert shlex.split(text.split("`")[1]) == ["vitbench", "show", str(folder), *end]


@pytest.mark.parametrize("by", ["id", "key"])
def test_a_record_is_found_by_the_beginning_of_its_id_or_key(store: Store, by: str) -> None:
    text = record_text(store, getattr(DONE, by)[:10])
    for words in (
        "cell        done on digits, supervised, seed 0",
        "status      ok",
        f"id          {DONE.id}",
        f"key         {DONE.key}",
        "model       plugin scratch of vitbench 0.1.0, code c0de",
        "images      train 1294, val 143, test 360",
        "facts       stem cifar",
        "processor_share 0.9877  load 1",
        "epoch 1  loss 0.53",
    ):
        assert words in text.splitlines()
    top1 = next(line for line in text.splitlines() if line.startswith("top1"))
    assert top1.split() == ["top1", "0.5", "fraction", *top1.split()[3:6], "(95", "%)", "360", "valid"]
    assert next(line for line in text.splitlines() if line.startswith("ece")).endswith("invalid: too few images")
    assert "weights" not in text


def test_a_record_names_all_plugins_that_made_it(tmp_path: Path) -> None:
    origins = {
        name: PluginOrigin(plugin=name, distribution=f"vitbench-{name}", version="1", code_hash="c0de")
        for name in ("recipe", "dataset", "metric", "teacher")
    }
    own = PluginOrigin(plugin="metrics", distribution="vitbench", version="1", code_hash="c0de")
    record = factories.quality()
    made_of = msgspec.structs.replace(
        record.planned.provenance,
        recipe=origins["recipe"],
        dataset=origins["dataset"],
        others=(origins["teacher"],),
        files={"model.checkpoint": "5ha", "recipe.teacher.checkpoint": "1d"},
    )
    planned = msgspec.structs.replace(record.planned, provenance=made_of)
    measured_by = own, origins["metric"]
    with Store.open(tmp_path / "whole", create=True) as store:
        run = store.begin_run(command="x", version="1", suite="", environment=factories.environment(), rank_by="top1")
        store.append(msgspec.structs.replace(record, run=run, planned=planned, measured_by=measured_by))
        lines = record_text(store, record.id).splitlines()
    shown = {"recipe": "recipe", "dataset": "dataset", "metrics": "metric", "others": "teacher"}
    for name, plugin in shown.items():
        assert f"{name:<11} plugin {plugin} of vitbench-{plugin} 1, code c0de" in lines
    assert "files       model.checkpoint 5ha, recipe.teacher.checkpoint 1d" in lines


def test_a_record_shows_the_ratio_beside_what_was_measured(tmp_path: Path) -> None:
    place = tmp_path / "place"
    timed = factories.relative_speed("a", (2.0, 2.0, 2.0), (1000.0, 1100.0, 1200.0))
    with Store.open(place / "results", create=True) as store:
        run = store.begin_run(command="x", version="1", suite="", environment=factories.environment(), rank_by="top1")
        store.plan(run, [timed.planned])
        store.append(msgspec.structs.replace(timed, run=run))
        text = record_text(store, timed.id)
    head, line = (each for each in text.splitlines() if each.startswith(("metric", "throughput")))
    assert head.split() == ["metric", "value", "interval", "ratio", "n", "verdict"]
    assert "2200 images/s  2000 to 2400 (range)  2, 2 to 2 (95 %)" in line


@pytest.mark.parametrize("asked", ["zzzz", ""])
def test_an_id_that_finds_no_single_record_is_refused(store: Store, asked: str) -> None:
    with pytest.raises(UsageError, match="no record has"):
        record_text(store, asked)
