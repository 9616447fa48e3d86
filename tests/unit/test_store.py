import math
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from random import Random

import factories
import msgspec
import pytest

import vitbench
from vitbench.errors import StoreError
from vitbench.files import lock
from vitbench.leaderboard.image_scores import Resampled, read_outcomes
from vitbench.measuring.predictions import load_predictions
from vitbench.records import OLDEST_SCHEMA, SCHEMA, Environment, newest_by_id
from vitbench.store import FILE_NAME, Store, _insert, blob_digest, environment_digest

STORES = Path(__file__).parents[1] / "fixtures" / "stores"
"""Written by vitbench as it was at each version: one small run, `--limit 60 --epochs 1`, packed into small pages."""


def begin(store: Store, rank_by: str = "top1") -> str:
    return store.begin_run(
        command="vitbench run --suite quick",
        version="0.1.0",
        suite='name = "quick"\n',
        environment=factories.environment(),
        rank_by=rank_by,
        selection="{}",
    )


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "out", create=True) as opened:
        yield opened


def reopened(store: Store) -> Store:
    return Store.open(store.folder, create=False)


def test_a_run_is_found_again_with_its_suite_and_environment(store):
    run = begin(store, rank_by="nll")
    with reopened(store) as again:
        [found] = again.runs()
        assert (found.id, found.command, found.version) == (run, "vitbench run --suite quick", "0.1.0")
        assert again.blob(found.suite) == b'name = "quick"\n'
        assert found.suite == blob_digest(b'name = "quick"\n')
        assert found.environment == environment_digest(factories.environment())
        assert msgspec.json.decode(again.blob(found.environment), type=Environment) == factories.environment()
        assert again.rank_by() == "nll"


def test_equal_blobs_are_kept_once_and_the_newest_run_decides_the_ranking(store):
    runs = [begin(store), begin(store, rank_by="throughput")]
    assert [run.id for run in store.runs()] == runs
    assert len(set(runs)) == 2
    assert store._connection.execute("SELECT count(*) FROM blobs").fetchone() == (2,)  # a suite, an environment
    assert store.rank_by() == "throughput"


def test_records_come_back_equal_and_in_order(store):
    run = begin(store)
    written = [msgspec.structs.replace(made, run=run) for made in (factories.quality("b"), *factories.speed("a"))]
    for record in written:
        store.append(record)
    with reopened(store) as again:
        assert again.records() == written


def test_a_diverged_training_curve_survives(store):
    curve = ({"epoch": 0, "loss": 2.3}, {"epoch": 1, "loss": math.nan, "lr": math.inf})
    store.append(factories.record(factories.quality_cell(), status="failed", curve=curve, run=begin(store)))
    [found] = store.records()
    assert math.isnan(found.curve[1]["loss"])
    assert found.curve[1]["lr"] == math.inf


def test_newest_attempts_by_id_and_by_key(store):
    run = begin(store)
    old_code, new_code = factories.quality_cell(code="old"), factories.quality_cell(code="new")
    assert old_code.id == new_code.id
    attempts = [
        factories.record(old_code, status="failed", run=run),
        factories.record(old_code, status="ok", run=run),
        factories.record(new_code, status="timeout", run=run),
    ]
    for attempt in attempts:
        store.append(attempt)
    assert newest_by_id(store.records()) == {old_code.id: attempts[2]}
    assert store.newest_by_key() == {old_code.key: attempts[1], new_code.key: attempts[2]}


def test_pending_is_what_the_newest_run_planned_and_no_run_ended(store):
    cells = [factories.quality_cell(str(i)) for i in range(4)]
    first = begin(store)
    store.plan(first, cells[:2])
    store.append(factories.record(cells[0], run=first))
    assert store.pending() == [cells[1]]
    second = begin(store)
    assert store.pending() == []
    store.plan(second, [cells[3], cells[0], cells[2]])
    assert store.pending() == [cells[3], cells[2]]
    assert store.planned(first) == cells[:2]


def test_a_plan_is_entered_whole_or_not_at_all(store):
    run = begin(store)
    cell = factories.quality_cell()
    with pytest.raises(StoreError, match="UNIQUE"):
        store.plan(run, [factories.quality_cell("other"), cell, cell])
    assert store.planned(run) == []
    store.plan(run, [cell])
    assert store.planned(run) == [cell]


def test_a_record_of_an_unknown_run_is_refused(store):
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        store.append(factories.record(factories.quality_cell(), run="never begun"))


@pytest.mark.parametrize("sql", ["UPDATE records SET status = 'ok'", "DELETE FROM records"])
def test_records_are_append_only(store, sql):
    store.append(factories.record(factories.quality_cell(), status="failed", run=begin(store)))
    store.close()
    connection = sqlite3.connect(store.folder / FILE_NAME)
    with pytest.raises(sqlite3.IntegrityError, match="records are never"):
        connection.execute(sql)
    connection.close()


def test_a_crash_safe_journal_is_set(store):
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (3,)


def test_files_of_a_cell_lie_beside_the_store_in_folders_that_exist(store):
    paths = [getattr(store, f"{name}_path")("k1") for name in ("weights", "predictions", "scores", "log")]
    names = [path.relative_to(store.folder).as_posix() for path in paths]
    assert names == ["weights/k1.safetensors", "predictions/k1.npz", "scores/k1.npz", "logs/k1.txt"]
    assert all(path.parent.is_dir() for path in paths)


def test_an_output_folder_may_have_any_name(tmp_path):
    folder = tmp_path / "50% of ?x#y & é"
    with Store.open(folder, create=True) as store:
        begin(store)
    with Store.open(folder, create=False) as store:
        assert len(store.runs()) == 1
    assert (folder / FILE_NAME).is_file()


def one_line(error: pytest.ExceptionInfo[StoreError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert error.value.exit_code == 4
    return message


def moved_alone(store: Store, tmp_path: Path) -> Path:
    """Move the file of a store to a folder of its own, and return that."""
    folder = tmp_path / "moved"
    folder.mkdir()
    (store.folder / FILE_NAME).rename(folder / FILE_NAME)
    return folder


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StoreError) as error:
        Store.open(tmp_path / "nowhere", create=False)
    assert str(tmp_path / "nowhere") in one_line(error)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("create", [True, False])
def test_a_file_that_is_no_store_is_left_alone(tmp_path, create):
    (tmp_path / FILE_NAME).write_bytes(b"what a user keeps here" * 100)
    with pytest.raises(StoreError, match="is not a vitbench store"):
        Store.open(tmp_path, create=create)
    assert (tmp_path / FILE_NAME).read_bytes() == b"what a user keeps here" * 100
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("create", [True, False])
def test_a_database_of_another_program_is_left_alone(tmp_path, create):
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.executescript(f"PRAGMA journal_mode = WAL; CREATE TABLE mine (x); PRAGMA user_version = {SCHEMA};")
    connection.close()
    with pytest.raises(StoreError, match="is not a vitbench store"):
        Store.open(tmp_path, create=create)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("mine",)]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize("version", [0, SCHEMA + 1])
@pytest.mark.parametrize("create", [True, False])
def test_another_version_is_refused_with_both_numbers(store, tmp_path, create, version):
    store._connection.execute(f"PRAGMA user_version = {version}")
    store.close()
    folder = moved_alone(store, tmp_path)
    with pytest.raises(StoreError) as error:
        Store.open(folder, create=create)
    age = "an earlier" if version < SCHEMA else "a later"
    reads = f"this one reads {OLDEST_SCHEMA} to {SCHEMA}"
    line = f"was written by {age} version of vitbench (store version {version}; {reads}); choose another"
    assert line in one_line(error)
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("version", range(1, OLDEST_SCHEMA))
@pytest.mark.parametrize("create", [True, False])
def test_a_store_that_an_earlier_vitbench_wrote_is_refused_in_one_line_and_left_as_it_is(tmp_path, create, version):
    shutil.copytree(STORES / f"v{version}", tmp_path / "old")
    before = (tmp_path / "old" / FILE_NAME).read_bytes()
    with pytest.raises(StoreError) as error:
        Store.open(tmp_path / "old", create=create)
    assert f"(store version {version}; this one reads {OLDEST_SCHEMA} to {SCHEMA})" in one_line(error)
    assert error.value.exit_code == 4
    assert [path.name for path in (tmp_path / "old").iterdir()] == [FILE_NAME]
    assert (tmp_path / "old" / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("version", range(OLDEST_SCHEMA, SCHEMA + 1))
def test_a_store_of_a_version_that_is_read_is_shown_as_it_was_written(tmp_path, version):
    shutil.copytree(STORES / f"v{version}", tmp_path / "now")
    board = vitbench.load(tmp_path / "now").leaderboard
    [row] = board.rows
    assert (row.model, row.metrics["top1"].value) == ("baseline/majority", 0.1)
    with Store.open(tmp_path / "now", create=False) as store:
        [record] = store.records()
        assert read_outcomes(store.scores_path(record.key), "top1").value == pytest.approx(0.1)
        assert isinstance(read_outcomes(store.scores_path(record.key), "macro_f1"), Resampled)
        assert load_predictions(store.predictions_path(record.key)).logits.shape == (60, 10)


def test_what_is_written_into_an_earlier_store_makes_it_one_of_this_version_and_changes_no_record(tmp_path):
    shutil.copytree(STORES / f"v{OLDEST_SCHEMA}", tmp_path / "now")

    def version() -> int:
        connection = sqlite3.connect(tmp_path / "now" / FILE_NAME)
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.close()
        return found

    with Store.open(tmp_path / "now", create=True) as store:
        [before] = store.records()
        assert version() == OLDEST_SCHEMA
        store.append(before)
        assert version() == SCHEMA
        assert store.records() == [before, before]


def test_the_folders_of_jobs_that_a_killed_run_left_go_with_the_next_run(store):
    with store.job_folder() as folder:
        (folder / "weights.safetensors").touch()
        assert folder.parent == store.folder
    assert not folder.exists()
    (store.folder / ".job-left").mkdir()
    (store.folder / ".job-left" / "part").touch()
    begin(store)
    assert not list(store.folder.glob(".job-*"))


def test_a_cell_is_running_while_a_live_process_has_its_job(store):
    left = store.folder / ".job-abc-left"  # by a run that was killed
    left.mkdir()
    os.utime(left, ns=(0, 0))
    assert store.running() == frozenset()
    with lock(store.folder):
        assert store.running() == frozenset()
        with store.job_folder("cafe"), store.job_folder():
            assert store.running() == {"cafe"}
        assert store.running() == frozenset()
    with store.job_folder("cafe"):
        assert store.running() == frozenset()


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_a_damaged_store_is_refused_before_anything_is_made(store, tmp_path, damage):
    run = begin(store)
    for i in range(50):
        store.append(factories.record(factories.quality_cell(str(i)), run=run))
    store.close()
    folder = moved_alone(store, tmp_path)
    content = (folder / FILE_NAME).read_bytes()
    half = len(content) // 2
    (folder / FILE_NAME).write_bytes(content[:half] if damage == "cut" else content[:half] + bytes(half))
    with pytest.raises(StoreError, match="is damaged; restore it from a copy") as error:
        Store.open(folder, create=True)
    one_line(error)
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]


def damaged(content: bytes, seed: int) -> bytes:
    """Return a file as a fault of the disk leaves it: another byte, other bytes, an empty sector, or cut."""
    random = Random(seed)
    place = random.randrange(len(content))
    size = [1, 1, 16, 512][seed % 4]
    if seed % 8 == 7:
        return content[:place]
    if size == 512:
        place -= place % size
    new = bytes(size) if size == 512 else random.randbytes(size)
    return content[:place] + new[: len(content) - place] + content[place + size :]


def test_whatever_is_damaged_is_left_out_and_named_and_nothing_is_changed(store):
    run = begin(store)
    cells = [factories.quality_cell(str(i)) for i in range(6)]
    store.plan(run, cells)
    for cell in cells[:5]:
        store.append(factories.record(cell, run=run))
    records, [pending], runs = store.records(), store.pending(), store.runs()
    store.close()
    content = (store.folder / FILE_NAME).read_bytes()
    refused = partly = 0
    for seed in range(60):
        (store.folder / FILE_NAME).write_bytes(damaged(content, seed))
        try:
            with reopened(store) as again:
                found, left, begun = again.records(), again.pending(), again.runs()
                assert again.rank_by() == "top1"
                damage = again.damage
        except StoreError as error:
            refused += "\n" not in str(error)
            continue
        partly += bool(damage)
        assert found == [record for record in records if record in found], seed
        assert begun in (runs, []), seed
        assert len(damage) == (found != records) + (begun != runs) + any("planned" in one for one in damage), seed
        if not damage:
            assert left == [pending], seed
    assert refused < 30
    assert partly > 10


def test_a_damaged_record_is_named_by_its_cell_and_a_run_goes_on(store):
    run = begin(store)
    cells = [factories.quality_cell(name) for name in ("whole", "broken")]
    store.plan(run, cells)
    for cell in cells:
        store.append(factories.record(cell, run=run))
    store.close()
    connection = sqlite3.connect(store.folder / FILE_NAME)
    connection.executescript("DROP TRIGGER records_keep; UPDATE records SET record = x'00' WHERE number = 2;")
    connection.close()
    with Store.open(store.folder, create=True) as again:
        assert [*again.newest_by_key()] == [cells[0].key]
        assert again.damage == (
            f"{store.folder / FILE_NAME} is damaged; skipped records: 2 ({cells[1].in_words}); "
            "rerun the command that made them.",
        )
        again.append(factories.record(cells[1], run=run))
        assert len(again.newest_by_key()) == 2


@pytest.mark.parametrize("gone", [False, True])
def test_a_damaged_record_brings_no_older_one_back(gone, store):
    run, cell, other = begin(store), factories.quality_cell("withdrawn"), factories.quality_cell("other")
    store.plan(run, [cell, other])
    for each, status in ((cell, "ok"), (cell, "withdrawn"), (other, "ok")):
        store.append(factories.record(each, run=run, status=status))
    change = "DELETE FROM records" if gone else "UPDATE records SET record = x'00'"
    store._connection.executescript(
        f"DROP TRIGGER IF EXISTS records_keep; DROP TRIGGER IF EXISTS records_stay; {change} WHERE number = 2;"
    )
    if not gone:
        assert [*store.newest_by_key()] == [other.key]
        store.append(factories.record(cell, run=run))
        assert len(store.newest_by_key()) == 2
    store.records()
    assert ("--rerun all where an older record" in store.damage[0]) == gone


def test_where_no_record_is_whole_that_is_one_line(store):
    run = begin(store)
    store.append(factories.record(factories.quality_cell(), run=run))
    store._connection.executescript("DROP TRIGGER records_keep; UPDATE records SET status = 'failed'")
    with pytest.raises(StoreError, match="is damaged; restore it from a copy"):
        store.records()


def test_a_blob_that_was_changed_is_no_blob_and_the_next_run_puts_it_right(store):
    begin(store)
    [found] = store.runs()
    store._connection.execute("UPDATE blobs SET content = x'00'")
    with pytest.raises(StoreError, match="is damaged: blob"):
        store.blob(found.suite)
    begin(store)
    assert store.blob(found.suite) == b'name = "quick"\n'


def test_a_store_that_was_moved_alone_gets_its_folders_again(store, tmp_path):
    store.close()
    with Store.open(moved_alone(store, tmp_path), create=True) as again:
        assert again.weights_path("k1").parent.is_dir()


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for attempt in (lambda: Store.open(tmp_path / "file", create=True), lambda: lock(tmp_path / "file").__enter__()):
        with pytest.raises(StoreError) as error:
            attempt()
        assert "file cannot be written (" in one_line(error)


def test_a_record_of_another_shape_is_one_sentence(store):
    run = begin(store)
    _insert(store._connection, "records", [(run, "i", "k", "ok", b"\x81\xa1a\xc0")])
    with pytest.raises(StoreError, match="holds a record that this version of vitbench cannot read"):
        store.records()


def test_an_empty_store_says_that_there_is_no_run(store):
    with pytest.raises(StoreError, match="contains no run yet"):
        store.rank_by()
    assert store.records() == store.pending() == store.runs() == []


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(factories.__file__).parent)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


WRITER = """
import itertools, sys
from pathlib import Path
import factories
from vitbench.store import Store
store = Store.open(Path(sys.argv[1]), create=True)
run = store.begin_run(command="c", version="v", suite="s", environment=factories.environment(), rank_by="top1")
for i in itertools.count():
    store.append(factories.record(factories.quality_cell(str(i)), run=run))
    print(i, flush=True)
"""


@pytest.mark.process
def test_what_was_announced_survives_kill_9_and_the_store_can_go_on(tmp_path):
    for _ in range(3):
        child = run_python(WRITER, str(tmp_path))
        announced = [int(child.stdout.readline()) for _ in range(8)]
        child.send_signal(signal.SIGKILL)
        announced += [int(line) for line in child.stdout.read().splitlines() if line]
        child.communicate()
        with Store.open(tmp_path, create=False) as store:
            newest = store.runs()[-1].id
            found = [int(record.planned.label) for record in store.records() if record.run == newest]
        assert found[: len(announced)] == announced
        assert len(found) <= len(announced) + 1


@pytest.mark.process
def test_a_transaction_that_was_cut_off_is_rolled_back(store):
    """A journal left by a dead writer: its half-written pages are undone by the next reader."""
    run = begin(store)
    store.append(factories.record(factories.quality_cell("kept"), run=run))
    store.close()
    code = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")  # spill dirty pages into the file before the commit
connection.execute("BEGIN IMMEDIATE")
run = connection.execute("SELECT id FROM runs").fetchone()[0]
insert = "INSERT INTO records (run, id, key, status, record, digest) VALUES (?, ?, ?, 'ok', ?, '')"
connection.executemany(insert, [(run, i, i, bytes(9000)) for i in range(200)])
os.kill(os.getpid(), 9)
"""
    run_python(code, str(store.folder / FILE_NAME)).communicate()
    assert (store.folder / f"{FILE_NAME}-journal").exists()
    with reopened(store) as again:
        assert [record.planned.label for record in again.records()] == ["kept"]


@pytest.mark.process
def test_reading_works_while_a_run_writes(tmp_path):
    child = run_python(WRITER, str(tmp_path))
    try:
        child.stdout.readline()
        with Store.open(tmp_path, create=False) as store:
            counts = []
            for _ in range(5):
                child.stdout.readline()
                counts.append(len(store.records()))
        assert counts == sorted(counts)
        assert counts[0] >= 1
    finally:
        child.kill()
        child.communicate()


def test_two_processes_may_create_one_store_at_once(tmp_path):
    errors = []

    def create() -> None:
        try:
            Store.open(tmp_path, create=True).close()
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with Store.open(tmp_path, create=False) as store:
        assert store.runs() == []


STRANGER = """
import os, sys
from pathlib import Path
from vitbench.errors import StoreError
from vitbench.files import lock
from vitbench.store import Store
if os.geteuid() == 0:  # whom no permission stops
    os.setgid(65534)
    os.setuid(65534)
folder = Path(sys.argv[1])
"""
READER = f"""{STRANGER}
with Store.open(folder, create=False) as store:
    print([record.planned.label for record in store.records()], store.rank_by())
for attempt in (lambda: Store.open(folder, create=True), lambda: lock(folder).__enter__()):
    try:
        attempt()
        print("no error")
    except StoreError as error:
        print("StoreError", error)
"""


@pytest.fixture
def reachable_folder():
    """Return a folder that other users can reach, which those of tmp_path are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "out"


@pytest.mark.process
def test_a_folder_without_the_right_to_write_can_be_read_but_not_written(reachable_folder):
    folder = reachable_folder
    with Store.open(folder, create=True) as store:
        run = begin(store)
        store.append(factories.record(factories.quality_cell("seen"), run=run))
    with lock(folder):
        pass
    for path in (folder, *folder.rglob("*")):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
    try:
        out, errors = run_python(READER, str(folder)).communicate()
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o200)
    lines = out.splitlines()
    assert lines[:1] == ["['seen'] top1"], errors
    assert ["StoreError" in line and "cannot be written" in line for line in lines[1:]] == [True, True], lines
    assert len(lines) == 3


@pytest.mark.process
def test_a_folder_without_the_right_to_enter_is_one_sentence(reachable_folder):
    folder = reachable_folder
    Store.open(folder, create=True).close()
    code = f"""{STRANGER}
for create in (False, True):
    try:
        Store.open(folder, create=create)
    except StoreError as error:
        print(error)
"""
    folder.chmod(0)
    try:
        out, errors = run_python(code, str(folder)).communicate()
    finally:
        folder.chmod(0o700)
    path = folder / FILE_NAME
    sentence = f"{path} cannot be read (Permission denied); make it readable or name another folder"
    assert out.splitlines() == [sentence, sentence], errors
