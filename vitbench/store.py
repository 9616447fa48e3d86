"""The store: what was planned and what came of it, in one SQLite file. The only module that runs SQL.

``vitbench.sqlite`` in the output folder is append-only: ``runs``, the ``plan`` of each run, one row in ``records`` for
each attempt, and ``blobs`` named by the SHA-256 of their content. Each row has a digest of what else is in it: one that
a fault of the disk has changed is left out, and told (`Store.damage`). Its rollback journal (``journal_mode=DELETE``,
``synchronous=EXTRA``) keeps what was committed through a crash and a loss of power, also on file systems where a
write-ahead log fails (https://www.sqlite.org/pragma.html#pragma_synchronous, https://www.sqlite.org/wal.html).
Records are msgpack and not JSON, which cannot say that a loss became nan.
Beside it, named by the key of a cell: ``weights/*.safetensors``, ``predictions/*.npz``, ``scores/*.npz``,
``logs/*.txt``, ``kept/*.NAME.safetensors`` (what a recipe keeps), ``checkpoints/*.pt`` (of trainings that were killed).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any, Self, TypeVar

import msgspec

from vitbench.errors import StoreError
from vitbench.files import is_locked
from vitbench.records import OLDEST_SCHEMA, SCHEMA, Environment, KeyedCell, Record
from vitbench.settings import RANK_BY
from vitbench.sharding import Shard, split_cells

__all__ = ["FILE_NAME", "IMPORTED", "Contents", "Run", "Store", "blob_digest", "default_output", "environment_digest"]

FILE_NAME = "vitbench.sqlite"
IMPORTED = "import-"
"""How the id of a run begins that stands for someone else's."""
_FILES = ("weights", "predictions", "scores", "logs", "kept", "checkpoints", "figures")
"""Folders of the files of cells, each named by a cell's key."""
_JOB = ".job-"
"""How the folder of a running job's files begins."""
_LARGEST_FOREIGN = 64 * 2**20
"""Bytes of one value in a store that is imported."""
_BUSY_SECONDS = 30.0
"""How long a reader or a writer waits for the other; a transaction takes milliseconds."""
_APPLICATION_ID = int.from_bytes(b"vitb")
_SCHEMA_SQL = f"""
BEGIN IMMEDIATE;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {SCHEMA};
CREATE TABLE IF NOT EXISTS blobs (
    digest TEXT PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS runs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    started REAL NOT NULL,
    command TEXT NOT NULL,
    version TEXT NOT NULL,
    suite TEXT NOT NULL REFERENCES blobs,
    environment TEXT NOT NULL REFERENCES blobs,
    rank_by TEXT NOT NULL,
    selection TEXT NOT NULL,
    digest TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS plan (
    number INTEGER PRIMARY KEY,
    run TEXT NOT NULL REFERENCES runs (id),
    key TEXT NOT NULL,
    cell BLOB NOT NULL,
    digest TEXT NOT NULL,
    UNIQUE (run, key)
) STRICT;
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY,
    run TEXT NOT NULL REFERENCES runs (id),
    id TEXT NOT NULL,
    key TEXT NOT NULL,
    status TEXT NOT NULL,
    record BLOB NOT NULL,
    digest TEXT NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS records_keep BEFORE UPDATE ON records
BEGIN SELECT RAISE(ABORT, 'records are never changed'); END;
CREATE TRIGGER IF NOT EXISTS records_stay BEFORE DELETE ON records
BEGIN SELECT RAISE(ABORT, 'records are never deleted'); END;
COMMIT;
"""
_COLUMNS = {
    "runs": ("id", "started", "command", "version", "suite", "environment", "rank_by", "selection"),
    "plan": ("run", "key", "cell"),
    "records": ("run", "id", "key", "status", "record"),
}
"""Of each table that has digests, between the number and the digest."""
_ROWS = {"runs": "runs", "plan": "planned cells", "records": "records"}
_LEAST_ROW = 200
"""Bytes of any row of these, at least."""
_MOST_NAMED = 5
_COMPLAINTS = {
    "SQLITE_NOTADB": "is not a vitbench store; move it away, or name another folder",
    "SQLITE_CORRUPT": "is damaged; restore it from a copy, or name another folder",
    "SQLITE_READONLY": "cannot be written; make it writable or choose another --output",
    "SQLITE_CANTOPEN": "cannot be opened; check the permissions of the file and of its folder",
    "SQLITE_FULL": "cannot grow because the disk is full; free some space and run the same command to resume",
    "SQLITE_BUSY": "is in use by another process; wait for it and try again",
}
_TORN = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_TOOBIG", "")
"""What SQLite, or Python's memory, says of pages that are damaged."""
_T = TypeVar("_T")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One ``vitbench run``, as it was begun."""

    id: str
    started: float
    """Seconds since the epoch."""
    command: str
    """A command line that asks for the same."""
    version: str
    """The version of vitbench."""
    suite: str
    """Digest of the suite's TOML text, a blob."""
    environment: str
    """Digest of the Environment, a blob."""
    rank_by: str
    selection: str
    """What was asked for, as JSON."""

    @property
    def imported(self) -> bool:
        """Whether it stands for someone else's runs, whose results were imported."""
        return self.id.startswith(IMPORTED)

    @property
    def shard(self) -> Shard | None:
        """Which part of its plan it ran; None: all of it."""
        text = msgspec.json.decode(self.selection or "{}").get("shard", "")
        return Shard.read(text) if text else None


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """All that a store holds, as it is copied into another."""

    runs: tuple[Run, ...]
    """The newest last."""
    plans: dict[str, tuple[KeyedCell, ...]]
    """By run."""
    records: tuple[Record, ...]
    """The newest last."""
    blobs: dict[str, bytes]
    """By digest."""

    @property
    def newest_run(self) -> Run | None:
        """The newest run that was not imported; None: there is none."""
        return next((run for run in reversed(self.runs) if not run.imported), None)


class Store:
    """An open store. Use it as a context manager, from one thread."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._connection = connection
        self._damage: dict[str, str] = {}
        self._lost: set[str] = set()  # keys of cells whose newest record is damaged

    @classmethod
    def open(cls, folder: Path, *, create: bool) -> Self:
        """Open the store of an output folder; with `create`, make folder and store where they are missing.

        Without `create` it works in a folder that may only be read, and while a run writes.

        Raises:
            StoreError: the folder or the store is missing, cannot be read or (with `create`) written, is no store,
                is damaged, or is one of another version. Beside a file that is refused no folder is made.
        """
        path = folder / FILE_NAME
        if not _exists(path):
            if not create:
                raise StoreError(f"{folder} contains no results; give the folder that vitbench run wrote to.")
            _make_folders(folder)
        with _errors_of(path):
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
            )
            connection.text_factory = _text
            store = cls(folder, connection)
            try:
                connection.execute("PRAGMA synchronous = EXTRA")
                connection.execute("PRAGMA foreign_keys = ON")
                if create:
                    _create_tables(connection)
                _check_version(connection, path)
                if create:
                    store.check_pages()
                    _try_writing(connection)
                    _make_folders(folder)
            except BaseException:
                connection.close()
                raise
        return store

    @classmethod
    def open_foreign(cls, path: Path) -> Self:
        """Open a store that someone else may have made up, to read it: a copy that nothing else writes.

        Nothing in it runs: it has the tables and triggers of a store and no others, and those never fire when it is
        read.

        Raises:
            StoreError: it is no store of a version that is read here, is damaged, or holds more than a store does.
        """
        with _errors_of(path), contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as own:
            own.executescript(_SCHEMA_SQL)
            query = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
            usual = own.execute(query).fetchall()
            uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None)
            store = cls(path.parent, connection)
            try:
                connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_FOREIGN)
                for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "query_only = ON"):
                    connection.execute(f"PRAGMA {pragma}")
                connection.text_factory = _text
                _check_version(connection, path)
                found = connection.execute(query).fetchall()
                if found != usual:
                    odd = next((row[:2] for row in found if row not in usual), ("", ""))
                    what = f"the {odd[0]} {odd[1]!r}, which is not a store's" if odd[0] else "not all tables of a store"
                    raise StoreError(f"{path.name} holds {what}; it is refused.")
                store.check_pages()
            except BaseException:
                connection.close()
                raise
        return store

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        self._connection.close()

    @property
    def damage(self) -> tuple[str, ...]:
        """What is damaged of that which was read so far, and left out: a sentence for each table."""
        return tuple(self._damage.values())

    def check_pages(self) -> None:
        """Find out whether more can be written: not into a file that was cut or overwritten, though rows can be read.

        Raises:
            StoreError: it is damaged.
        """
        with _errors_of(self.folder / FILE_NAME):
            if self._connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",):
                return
        see = f"`vitbench leaderboard {quote(str(self.folder))}` shows what is intact"
        raise StoreError(f"{self.folder / FILE_NAME} {_COMPLAINTS['SQLITE_CORRUPT']}; {see}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing

    def begin_run(
        self, *, command: str, version: str, suite: str, environment: Environment, rank_by: str, selection: str = ""
    ) -> str:
        """Enter a run that starts now, with its suite's TOML text and its environment; return its id."""
        started = time.time()
        for left in self.folder.glob(f"{_JOB}*"):  # by a run that was killed: one folder has one run at a time
            shutil.rmtree(left, ignore_errors=True)
        run = f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(started))}-{secrets.token_hex(3)}"
        blobs = [(blob_digest(content), content) for content in (suite.encode(), _environment_json(environment))]
        with self._transaction() as connection:
            heal = "ON CONFLICT (digest) DO UPDATE SET content = excluded.content"
            connection.executemany(f"INSERT INTO blobs VALUES (?, ?) {heal}", blobs)
            _insert(
                connection, "runs", [(run, started, command, version, blobs[0][0], blobs[1][0], rank_by, selection)]
            )
        return run

    def plan(self, run: str, cells: Sequence[KeyedCell]) -> None:
        """Enter the cells that a run asks for, each key once, all or none of them."""
        rows = [(run, cell.key, msgspec.msgpack.encode(cell)) for cell in cells]
        with self._transaction() as connection:
            _insert(connection, "plan", rows)

    def append(self, record: Record) -> None:
        """Enter one attempt; it is on the disk when this returns."""
        row = (record.run, record.id, record.key, record.status, msgspec.msgpack.encode(record))
        with self._transaction() as connection:
            _insert(connection, "records", [row])

    def add(self, contents: Contents) -> None:
        """Enter what other stores hold, and this one does not, all of it or nothing."""
        with self._transaction() as connection:
            connection.executemany("INSERT INTO blobs VALUES (?, ?) ON CONFLICT DO NOTHING", contents.blobs.items())
            runs = [tuple(getattr(run, name) for name in _COLUMNS["runs"]) for run in contents.runs]
            _insert(connection, "runs", runs)
            for run, cells in contents.plans.items():
                _insert(connection, "plan", [(run, cell.key, msgspec.msgpack.encode(cell)) for cell in cells])
            rows = [
                (each.run, each.id, each.key, each.status, msgspec.msgpack.encode(each)) for each in contents.records
            ]
            _insert(connection, "records", rows)

    # Reading

    def contents(self) -> Contents:
        """Return all of it that is whole; `damage` says what is left out."""
        plans: dict[str, list[bytes]] = defaultdict(list)
        for run, _, cell in self._whole("plan"):
            plans[run].append(cell)
        with _errors_of(self.folder / FILE_NAME):
            blobs: list[tuple[str, bytes]] = self._connection.execute("SELECT digest, content FROM blobs").fetchall()
        return Contents(
            runs=tuple(self.all_runs()),
            plans={run: tuple(self._decoded(cells, KeyedCell)) for run, cells in plans.items()},
            records=tuple(self.records(imported=True)),
            blobs={digest: content for digest, content in blobs if blob_digest(content) == digest},
        )

    def records(self, *, imported: bool = False) -> list[Record]:
        """Return all attempts, the newest last, imported ones only if asked; `damage` says which are left out.

        Raises:
            StoreError: there are some, and none is whole.
        """
        found = self._decoded((row[-1] for row in self._whole("records")), Record)
        return [record for record in found if imported or not record.source]

    def newest_by_key(self) -> dict[str, Record]:
        """Return the newest attempt at each keyed cell: what a resume compares; none where the newest is damaged."""
        newest: dict[str, Record] = {}
        for record in self.records():
            newest.pop(record.key, None)  # so that they are in the order of these attempts
            newest[record.key] = record
        return {key: record for key, record in newest.items() if key not in self._lost}

    def planned(self, run: str) -> list[KeyedCell]:
        """Return the plan of a run, in its order."""
        return self._decoded((cell for of, _, cell in self._whole("plan") if of == run), KeyedCell)

    def pending(self) -> list[KeyedCell]:
        """Return what the newest run planned and no run ever ended, in the plan's order."""
        runs = self.runs()
        if not runs:
            return []
        ended = {row[2] for row in self._whole("records")}
        return [cell for cell in self.planned(runs[-1].id) if cell.key not in ended]

    def elsewhere(self) -> dict[str, Shard]:
        """Return of what is pending, by key, what is left to runs of other shards into other folders."""
        runs = self.runs()
        if not runs or not (own := runs[-1].shard):
            return {}
        here = {each.number for run in runs if (each := run.shard) and each.count == own.count}
        shards = split_cells(self.planned(runs[-1].id), own.count)
        pending = {cell.key: shards[cell.key] for cell in self.pending()}
        return {key: Shard(number, own.count) for key, number in pending.items() if number not in here}

    def runs(self) -> list[Run]:
        """Return the runs into this folder, the newest last; of one that has none, those that were imported."""
        found = self.all_runs()
        return [run for run in found if not run.imported] or found

    def all_runs(self) -> list[Run]:
        """Return all runs, the newest last, imported ones too."""
        names = _COLUMNS["runs"]
        with _errors_of(self.folder / FILE_NAME):
            return [msgspec.convert(dict(zip(names, row, strict=True)), Run) for row in self._whole("runs")]

    def rank_by(self) -> str:
        """Return the metric that the newest run's suite ranks by; where no run is whole, the one that most do.

        Raises:
            StoreError: there is no run yet.
        """
        runs = self.runs()
        if not runs and "runs" in self._damage:
            return RANK_BY
        if not runs:
            raise StoreError(
                f"{self.folder} contains no run yet; start one with vitbench run --output {quote(str(self.folder))}"
            )
        return runs[-1].rank_by

    def blob(self, digest: str) -> bytes:
        """Return the content that a digest names.

        Raises:
            StoreError: there is none, or it is damaged.
        """
        with _errors_of(self.folder / FILE_NAME):
            rows = self._connection.execute("SELECT content FROM blobs WHERE digest = ?", (digest,)).fetchall()
        content: bytes = rows[0][0] if rows else b""
        if blob_digest(content) != digest:
            raise StoreError(f"{self.folder / FILE_NAME} is damaged: blob {digest} is not whole")
        return content

    # Files beside the store

    @staticmethod
    def files_of(folder: Path, key: str, *, with_checkpoint: bool) -> list[Path]:
        """Return the files of a cell in an output folder, with the state of its training if asked."""
        found = [path for name in _FILES for path in sorted((folder / name).glob(f"{key}.*")) if path.is_file()]
        return [path for path in found if with_checkpoint or path.parent.name != "checkpoints"]

    def weights_path(self, key: str) -> Path:
        """Return where the trained weights of a cell lie."""
        return self.folder / "weights" / f"{key}.safetensors"

    def predictions_path(self, key: str) -> Path:
        """Return where the predictions of a cell lie."""
        return self.folder / "predictions" / f"{key}.npz"

    def scores_path(self, key: str) -> Path:
        """Return where the scores behind a cell's measurements lie."""
        return self.folder / "scores" / f"{key}.npz"

    def kept_path(self, key: str, name: str) -> Path:
        """Return where the tensors lie that the recipe of a cell keeps under a name."""
        return self.folder / "kept" / f"{key}.{name}.safetensors"

    def figures_path(self, key: str) -> Path:
        """Return where the pictures of a figure cell lie, as data (`vitbench.figures.files`)."""
        return self.folder / "figures" / f"{key}.npz"

    def checkpoint_path(self, key: str) -> Path:
        """Return where the state of a cell's training lies while it runs, and after it was killed."""
        return self.folder / "checkpoints" / f"{key}.pt"

    def checkpoints(self) -> list[str]:
        """Return the keys of the cells whose training has left a checkpoint."""
        return sorted(path.stem for path in self.checkpoint_path("").parent.glob("*.pt"))

    def drop_checkpoint(self, key: str) -> None:
        """Delete the checkpoint of a cell's training, with what was written of the next one; nothing without one."""
        path = self.checkpoint_path(key)
        for left in (path, path.with_name(f"{path.name}.part")):
            with contextlib.suppress(OSError):  # it stays, and is told of when the next run starts
                left.unlink()

    def log_path(self, key: str) -> Path:
        """Return where the output of a cell's processes lies."""
        return self.folder / "logs" / f"{key}.txt"

    @contextmanager
    def job_folder(self, key: str = "") -> Iterator[Path]:
        """Give a folder for the files of one job, on the disk of the store; what is left in it at the end goes.

        Args:
            key: of the cell that the job runs, which `running` tells meanwhile; empty: it runs none.

        Raises:
            StoreError: it cannot be made.
        """
        try:
            folder = tempfile.TemporaryDirectory(prefix=f"{_JOB}{key}-", dir=self.folder)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written ({error.strerror}); choose another --output") from error
        with folder as name:
            yield Path(name)

    def running(self) -> frozenset[str]:
        """Return the keys of the cells that a process is running just now.

        A run that was killed leaves folders of jobs, but no lock, and they are older than that of the next run: what it
        was at is not running any more.
        """
        if not is_locked(self.folder):
            return frozenset()
        keys = set()
        with contextlib.suppress(OSError):  # the run ends at this moment
            since = (self.folder / "lock").stat().st_mtime_ns
            for folder in self.folder.glob(f"{_JOB}*"):
                if folder.stat().st_mtime_ns >= since:
                    keys.add(folder.name.removeprefix(_JOB).rpartition("-")[0])
        return frozenset(keys - {""})

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _errors_of(self.folder / FILE_NAME):
            # IMMEDIATE takes the write lock now: a transaction that upgrades later can fail half-way as "busy".
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                # What is written now, an earlier vitbench cannot read.
                self._connection.execute(f"PRAGMA user_version = {SCHEMA}")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors, such as a full disk.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _whole(self, table: str) -> list[tuple[Any, ...]]:
        """Return the rows of a table that are whole, without number and digest, in their order; note what is not.

        Raises:
            StoreError: no record is whole.
        """
        query = f"SELECT {', '.join(('number', *_COLUMNS[table], 'digest'))} FROM {table}"
        with _errors_of(self.folder / FILE_NAME):
            try:
                rows, torn = self._connection.execute(f"{query} ORDER BY number").fetchall(), False
            except (sqlite3.DatabaseError, MemoryError) as error:
                if _code(error) not in _TORN:
                    raise
                rows, torn = self._one_by_one(query, table), True
        found = {row[0]: row[1:-1] for row in rows if row[-1] == _row_digest(row[:-1])}
        if torn or len(found) < len(rows) or len(found) < max(found, default=0):
            if table == "records" and not found:
                raise StoreError(f"{self.folder / FILE_NAME} {_COMPLAINTS['SQLITE_CORRUPT']}")
            broken = [row for row in rows if row[0] not in found]
            self._damage[table] = self._told(table, found, broken)
            if table == "records":
                whole = {found[number][2]: number for number in sorted(found)}
                self._lost = {row[3] for row in broken if whole.get(row[3], 0) < row[0]}
        return [found[number] for number in sorted(found)]

    def _one_by_one(self, query: str, table: str) -> list[tuple[Any, ...]]:
        """Return the rows that can be reached in a file with torn pages."""
        most = (self.folder / FILE_NAME).stat().st_size // _LEAST_ROW
        with contextlib.suppress(sqlite3.DatabaseError, MemoryError):
            most = min(most, self._connection.execute(f"SELECT max(number) FROM {table}").fetchone()[0] or 0)
        rows = []
        for number in range(1, most + 1):
            with contextlib.suppress(sqlite3.DatabaseError, MemoryError):
                rows += self._connection.execute(f"{query} WHERE number = ?", (number,)).fetchall()
        return rows

    def _told(self, table: str, found: Mapping[int, object], broken: Sequence[tuple[Any, ...]]) -> str:
        """Say which rows are damaged: by their numbers, and records by their cells where these can still be read."""
        numbers = sorted({*range(1, max(found, default=0) + 1), *(row[0] for row in broken)} - {*found})
        cells: dict[int, str] = {}
        if table == "records":
            planned = self._decoded((row[-1] for row in self._whole("plan")), KeyedCell)
            words = {cell.key: cell.in_words for cell in planned}
            cells = {row[0]: words[row[3]] for row in broken if row[3] in words}
        names = [f"{number} ({cells[number]})" if number in cells else str(number) for number in numbers]
        more = [f"{len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
        which = ", ".join((*names[:_MOST_NAMED], *more)) or "some"
        remedy = "; rerun the command that made them" if table == "records" else ""
        if remedy and len(cells) < len(numbers):  # of these nobody knows which older records they had replaced
            remedy += ", with --rerun all where an older record of the cell is left"
        return f"{self.folder / FILE_NAME} is damaged; skipped {_ROWS[table]}: {which}{remedy}."

    def _decoded(self, contents: Iterable[bytes], kind: type[_T]) -> list[_T]:
        decoder = msgspec.msgpack.Decoder(kind)
        with _errors_of(self.folder / FILE_NAME):
            return [decoder.decode(content) for content in contents]


def default_output() -> Path:
    """Return the output folder where none is named: ``VITBENCH_OUTPUT``, else ``vitbench-results``."""
    return Path(os.environ.get("VITBENCH_OUTPUT") or "vitbench-results")


def blob_digest(content: bytes) -> str:
    """Return the name of a blob: the SHA-256 of its content, in hex."""
    return hashlib.sha256(content).hexdigest()


def environment_digest(environment: Environment) -> str:
    """Return the name of an environment's blob, which `Record.environment` holds."""
    return blob_digest(_environment_json(environment))


def _environment_json(environment: Environment) -> bytes:
    return msgspec.json.encode(environment, order="deterministic")


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror}); make it readable or name another folder"
        ) from error
    return True


def _make_folders(folder: Path) -> None:
    try:
        for name in _FILES:
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written ({error.strerror}); choose another --output") from error


def _create_tables(connection: sqlite3.Connection) -> None:
    if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        # Another process may have come between: each statement can be repeated.
        connection.executescript(_SCHEMA_SQL)


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != _APPLICATION_ID:
        raise StoreError(f"{path} {_COMPLAINTS['SQLITE_NOTADB']}")
    if not OLDEST_SCHEMA <= version <= SCHEMA:
        age = "an earlier" if version < SCHEMA else "a later"
        raise StoreError(
            f"{path} was written by {age} version of vitbench (store version {version}; "
            f"this one reads {OLDEST_SCHEMA} to {SCHEMA}); choose another --output or folder, or use the vitbench that "
            "wrote it"
        )


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Enter rows, each with its number and its digest, within a transaction."""
    [(last,)] = connection.execute(f"SELECT coalesce(max(number), 0) FROM {table}").fetchall()
    numbered = [(number, *row) for number, row in enumerate(rows, start=last + 1)]
    names = ("number", *_COLUMNS[table], "digest")
    query = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    connection.executemany(query, [(*row, _row_digest(row)) for row in numbered])


def _row_digest(row: tuple[Any, ...]) -> str:
    """Return the digest of a row: of its number and its columns."""
    return hashlib.sha256(msgspec.msgpack.encode(row)).hexdigest()


def _text(content: bytes) -> str:
    """Decode a text as it is read, damaged ones too."""
    return content.decode(errors="replace")


def _code(error: Exception) -> str:
    """Return the primary code of an error of SQLite, of which names such as SQLITE_READONLY_ROLLBACK have a detail."""
    return "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])


def _try_writing(connection: sqlite3.Connection) -> None:
    """Find out now, and not after hours of training, that the file or its journal cannot be written."""
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
    finally:
        connection.execute("ROLLBACK")


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Turn what SQLite and msgspec raise into one sentence."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path} {_COMPLAINTS.get(_code(error), f'cannot be used: {error}')}") from error
    except (MemoryError, UnicodeDecodeError) as error:  # for what a damaged length says; a message that quotes damage
        raise StoreError(f"{path} {_COMPLAINTS['SQLITE_CORRUPT']}") from error
    except msgspec.DecodeError as error:
        raise StoreError(f"{path} holds a record that this version of vitbench cannot read: {error}") from error
