"""Parquet files in the layout of dataset hubs: encoded images in ``image`` or ``img``, integers in ``label``.

``train-*.parquet`` and ``test-*.parquet`` (or ``validation-*``), in the folder or in ``data/``. Class names come from
the metadata that hubs write into the files' schema, else they are the labels' numbers.
"""

from __future__ import annotations

import io
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vitbench.errors import UnusableError

from .decoding import Conversions, Pixels

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "fine_label", "labels")
_SPLIT = re.compile(r"(train|test|validation|valid|val)(?=[-._])")
_BYTES_KEPT = 512 * 2**20


class ParquetImages:
    """One split of a dataset in Parquet files; row groups are read as they are needed, the latest are kept."""

    def __init__(self, paths: Sequence[Path], *, class_names: tuple[str, ...], labels: NDArray[np.int64]) -> None:
        self.class_names = class_names
        self.labels = labels
        self._groups: list[tuple[Path, int, int]] = []  # file, row group, its first row in the file
        lengths = []
        for path in paths:
            with _opened(path) as file:
                rows = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
            self._groups += [(path, group, sum(rows[:group])) for group in range(len(rows))]
            lengths += rows
        self._starts = np.cumsum([0, *lengths])
        self._kept: OrderedDict[int, pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()
        self._seen = Conversions(len(labels))

    @property
    def conversions(self) -> dict[str, int]:
        """How many of the images read so far are what, in words."""
        return self._seen.counts

    def image(self, i: int) -> Pixels:
        """Return [C, H, W]. Raises ValueError with the file and the row of an unreadable image."""
        number = int(np.searchsorted(self._starts, i, side="right")) - 1
        row = i - int(self._starts[number])
        encoded = self._encoded(number)[row].as_py()
        path, _, first = self._groups[number]
        name = f"row {first + row} of {path}"
        if encoded is None:
            raise ValueError(f"cannot read image {name}: its bytes are missing")
        return self._seen.decode(i, io.BytesIO(encoded), name=name)

    def _encoded(self, number: int) -> pa.ChunkedArray:
        """Return the encoded images of a row group: bytes, or None."""
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
            else:
                path, group, _ = self._groups[number]
                self._kept[number] = _read_encoded(path, group)
                while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > _BYTES_KEPT:
                    self._kept.popitem(last=False)
            return self._kept[number]


def detect(root: Path) -> bool:
    """Whether there are Parquet files in `root` or in ``root/data``."""
    return any(True for _ in _parquet_files(root))


def open_parquet(*, root: Path, split: Literal["train", "test"], download: bool = False) -> ParquetImages:
    """Return one split.

    Raises:
        FileNotFoundError: `root` does not exist.
        UnusableError: pyarrow is not installed.
        ValueError: a split or a column is missing, or a file cannot be read.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UnusableError(f'{root} holds Parquet files; to read them: pip install "vitbench[parquet]"') from error
    paths = {name: _split_files(root, name) for name in ("train", "test")}
    labels = {name: np.concatenate([_read_labels(path) for path in paths[name]]) for name in paths}
    with _opened(paths[split][0]) as file:
        names = _hub_class_names(file.schema_arrow)
    if not names:
        names = tuple(map(str, range(1 + int(max(part.max(initial=-1) for part in labels.values())))))
    return ParquetImages(paths[split], class_names=names, labels=labels[split])


def _parquet_files(root: Path) -> Iterator[Path]:
    for folder in (root, root / "data"):
        if folder == root or folder.is_dir():
            yield from (path for path in folder.iterdir() if path.suffix == ".parquet" and path.name[0] != ".")


def _split_files(root: Path, split: Literal["train", "test"]) -> list[Path]:
    by_prefix: dict[str, list[Path]] = {}
    for path in sorted(_parquet_files(root)):
        if match := _SPLIT.match(path.name):
            by_prefix.setdefault(match[1], []).append(path)
    for prefix in ("train",) if split == "train" else ("test", "validation", "valid", "val"):
        if prefix in by_prefix:
            return by_prefix[prefix]
    wanted = "train-*.parquet" if split == "train" else "test-*.parquet or validation-*.parquet"
    raise ValueError(f"there is no {wanted} in it or in its folder data")


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error


def _read_encoded(path: Path, group: int) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    with _opened(path) as file:
        name = _column(file.schema_arrow, IMAGE_COLUMNS, path)
        kind = file.schema_arrow.field(name).type
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            return pc.struct_field(file.read_row_group(group, columns=[f"{name}.bytes"]).column(0), "bytes")
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return file.read_row_group(group, columns=[name]).column(0)
    raise ValueError(f"{path}: column {name} must hold bytes of image files, not {kind}")


def _read_labels(path: Path) -> NDArray[np.int64]:
    import pyarrow as pa

    with _opened(path) as file:
        name = _column(file.schema_arrow, LABEL_COLUMNS, path)
        column = file.read(columns=[name]).column(0)
    if not pa.types.is_integer(column.type):
        raise ValueError(f"{path}: column {name} must hold integers, not {column.type}")
    if column.null_count:
        raise ValueError(f"{path}: column {name} has no value in {column.null_count} of {len(column)} rows")
    return column.to_numpy().astype(np.int64)


def _column(schema: pa.Schema, candidates: Sequence[str], path: Path) -> str:
    for name in candidates:
        if name in schema.names:
            return name
    raise ValueError(f"{path} has no column {' or '.join(candidates)}; its columns are {', '.join(schema.names)}")


def _hub_class_names(schema: pa.Schema) -> tuple[str, ...]:
    """Return the class names in a hub's metadata, or none."""
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = metadata.get("info", {}).get("features", {})
    for name in LABEL_COLUMNS:
        if names := features.get(name, {}).get("names"):
            return tuple(names)
    return ()
