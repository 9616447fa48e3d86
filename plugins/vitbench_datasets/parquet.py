"""Parquet files in the layout of dataset hubs: encoded images in ``image`` or ``img``, integers in ``label``.

What a hub converts from tar files of a webdataset has ``webp``, ``jpg`` or ``png`` and ``cls`` in their place.

``train-00000-of-00002.parquet``, ``train-0.parquet``, ``train.parquet`` or ``train/0000.parquet``, and the same of
``test`` and ``validation`` (`naming.SPLIT_WORDS`), in the folder, in ``data/`` or in the only sub-folder that has them.
A file's name is read whole: ``train_noisy-0.parquet`` is no part of train, and all files that names promise must be
there. Class names come from the metadata that hubs write into the files' schema, else they are the labels' numbers.
"""

from __future__ import annotations

import io
import json
import os
import re
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitbench.errors import UnusableError
from vitbench.specs import SplitName

from . import folder
from .decoding import Conversions, Pixels
from .label_classes import named_classes
from .naming import SPLITS, is_hidden, listed, split_of, split_rank

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

IMAGE_COLUMNS = ("image", "img", "webp", "jpg", "jpeg", "png")
"""By suffixes of files where a hub has converted a webdataset, as clip-benchmark's wds_vtab-*."""
LABEL_COLUMNS = ("label", "fine_label", "labels", "cls")
_NAME = re.compile(r"(?P<word>.+?)(?:[-_.](?P<number>\d+)(?:-of-(?P<count>\d+)(?:-[0-9a-f]{8,64})?)?)?\.parquet")
"""``WORD.parquet``, ``WORD-NUMBER.parquet``, ``WORD-NUMBER-of-COUNT.parquet``, or the last with a hash as hubs add."""
_NUMBERED = re.compile(
    r"(?:(?:part|data|shard)?[-_.]?(?P<number>\d+)(?:-of-(?P<count>\d+)(?:-[0-9a-f]{8,64})?)?)\.parquet"
)
"""In a folder with the name of a split."""
_DEEPEST = 2
"""Folders below the root that are searched."""
_BYTES_KEPT = 512 * 2**20
_MOST_NUMBERS = 100_000
"""Classes that are known by their labels alone: higher ones are identifiers, with few images among millions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shard:
    """A Parquet file of a split, by its name."""

    path: Path
    base: Path
    """The folder of the dataset that it belongs to."""
    split: SplitName
    word: str
    """The split as the name has it."""
    number: int | None
    count: int | None
    """How many files the name promises."""


class ParquetImages:
    """One split of a dataset in Parquet files; row groups are read as they are needed, the latest are kept."""

    def __init__(
        self, paths: Sequence[Path], *, class_names: tuple[str, ...], labels: NDArray[np.int64], notes: tuple[str, ...]
    ) -> None:
        self.class_names = class_names
        self.labels = labels
        self.notes = notes
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
    """Whether there are Parquet files of a split in `root`; not where their columns are of another kind of data."""
    shards, _ = _shards(root)
    if not shards or not folder.holds_images(root):
        return bool(shards)
    try:  # beside class folders of images, files of labels alone are no dataset
        with _opened(shards[0].path) as file:
            return any(name in file.schema_arrow.names for name in IMAGE_COLUMNS)
    except (ImportError, ValueError):
        return True


def open_parquet(
    *, root: Path, split: SplitName, download: bool = False, label_column: str = ""
) -> ParquetImages | None:
    """Return one split, or None where there are no files of it, or no labels in them.

    Args:
        root: the folder of the files, or one above it.
        split: which split.
        download: nothing is downloaded.
        label_column: which column holds the labels; empty: one of the usual names.

    Raises:
        FileNotFoundError: `root` does not exist.
        UnusableError: pyarrow is not installed.
        ValueError: a file or a column is missing, a file cannot be read, or names contradict each other.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UnusableError(f'{root} contains Parquet files; to read them: pip install "vitbench[parquet]"') from error
    paths, notes = _files_of_splits(root)
    if split not in paths:
        return None
    column = (label_column,) if label_column else LABEL_COLUMNS
    names = _class_names(paths, column)
    labels, more = _labels_of(paths[split], names, column)
    if labels.size and (labels < 0).all() and len(paths) > 1:
        return None  # as hubs have it where labels are kept secret; another split is there
    unlabelled = [
        f"{name} has no labels (all are negative), and is not used"
        for name in paths
        if name != split and (labels_of := _labels_of(paths[name], names, column)[0]).size and (labels_of < 0).all()
    ]
    if not names:
        highest = max(int(_labels_of(files, (), column)[0].max(initial=-1)) for files in paths.values())
        if highest >= _MOST_NUMBERS:
            raise ValueError(
                f"a label is {highest}, but the classes have no names; without names, labels must be numbers from "
                "0 to at most "
                f"{_MOST_NUMBERS - 1:,}"
            )
        names = named_classes(root)
        names = names if len(names) > highest else tuple(map(str, range(1 + highest)))
    return ParquetImages(paths[split], class_names=names, labels=labels, notes=(*notes, *unlabelled, *more))


# --- which files are which split's -----------------------------------------------------------------------------------


def _shards(root: Path) -> tuple[list[_Shard], list[Path]]:
    """Return the files of splits, and those whose names say nothing that is known; both sorted."""
    shards, others = [], []
    for path in sorted(_parquet_files(root, _DEEPEST)):
        shard = _shard(path, root)
        if shard:
            shards.append(shard)
        else:
            others.append(path)
    return shards, others


def _shard(path: Path, root: Path) -> _Shard | None:
    match = _NAME.fullmatch(path.name)
    word, base = match["word"] if match else "", path.parent
    within = split_of(base.name) if base != root else None
    if within and split_of(word) in (None, within):
        match, word, base = (match if split_of(word) else _NUMBERED.fullmatch(path.name)), base.name, base.parent
    split = split_of(word)
    if match is None or split is None:
        return None
    if base == root / "data":
        base = root
    number, count = (None if match[group] is None else int(match[group]) for group in ("number", "count"))
    return _Shard(path=path, base=base, split=split, word=word, number=number, count=count)


def _parquet_files(base: Path, depth: int) -> Iterator[Path]:
    deeper = []
    with os.scandir(base) as entries:  # beside a million images: no Path for each
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if entry.name.endswith(".parquet"):
                yield Path(entry.path)
            elif depth and folder.is_folder(entry):
                deeper.append(Path(entry.path))
    for inside in deeper:
        yield from _parquet_files(inside, depth - 1)


def _files_of_splits(root: Path) -> tuple[dict[SplitName, list[Path]], tuple[str, ...]]:
    """Return the files of each split that is there, all that their names promise, and notes.

    Raises:
        ValueError: there are none, or some are missing, twice there, or of several datasets.
    """
    shards, others = _shards(root)
    bases = sorted({shard.base for shard in shards})
    if not bases:
        found = f"; there are {listed([path.relative_to(root).as_posix() for path in others])}" if others else ""
        raise ValueError(f"there is no train-*.parquet, test-*.parquet or validation-*.parquet{found}")
    if root not in bases and len(bases) > 1:
        names = listed([f"{base.relative_to(root).as_posix()}/" for base in bases])
        raise ValueError(f"it contains several datasets, {names}; give the folder of one of them")
    base = root if root in bases else bases[0]
    words = {
        s: min((each.word for each in shards if each.base == base and each.split == s), key=split_rank, default="")
        for s in SPLITS
    }
    taken = {
        s: [each for each in shards if each.base == base and each.split == s and each.word == word]
        for s, word in words.items()
        if word
    }
    used = {each.path for some in taken.values() for each in some}
    unused = sorted(path for path in (*others, *(each.path for each in shards)) if path not in used)
    pictures = folder.counted(folder.folders_in(root))
    counts = [f"{split} from {_promised(split, files, root)}" for split, files in taken.items()]
    note = f"layout parquet: {', '.join(counts)}"
    if rest := [*(path.relative_to(root).as_posix() for path in unused), *pictures]:
        note += f"; not used: {listed(rest)}"
    return {split: [each.path for each in files] for split, files in taken.items()}, (note,)


def _promised(split: SplitName, shards: Sequence[_Shard], root: Path) -> str:
    """Return how many files a split has, and where.

    Raises:
        ValueError: their names contradict each other, or promise files that are not there.
    """
    names = [each.path.relative_to(root).as_posix() for each in shards]
    numbers = sorted(-1 if each.number is None else each.number for each in shards)
    [count, *more] = {each.count for each in shards}
    if more or len({*numbers}) < len(numbers) or (numbers[0] < 0 < len(numbers) - 1):
        raise ValueError(f"the files of {split} come from several versions, {listed(names)}; keep one version")
    # Without a count a name promises only that numbers follow one another: they may start at 1, or be a year.
    wanted = range(numbers[0], numbers[-1] + 1) if count is None else range(count)
    missing = [number for number in wanted if number not in numbers]
    beyond = [number for number in numbers if count is not None and number >= count]
    pattern = shards[0].path.name
    if missing:
        which = listed([_numbered(pattern, number) for number in missing])
        raise ValueError(f"{len(missing):,} of {len(wanted):,} files of {split} are missing: {which}")
    if beyond:
        raise ValueError(f"a file of {split} is numbered beyond the count in its name: {_numbered(pattern, beyond[0])}")
    folders = listed(sorted({f"{Path(name).parent.as_posix()}/" for name in names} - {"./"}))
    return f"{len(names)} {'file' if len(names) == 1 else 'files'}{f' in {folders}' if folders else ''}"


def _numbered(name: str, number: int) -> str:
    """Return a file's name with another number, and without the hash that only its own content has."""
    plain = re.sub(r"(-of-\d+)-[0-9a-f]+(?=\.parquet$)", r"\1", name)
    own = r"\d+(?=-of-\d+\.parquet$)" if "-of-" in plain else r"\d+(?=\.parquet$)"
    return re.sub(own, lambda match: f"{number:0{len(match[0])}}", plain)


# --- what is in them -------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():  # a pipe would be waited for
        raise ValueError(f"cannot read {path}: it is not a file")
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
    raise ValueError(f"{path}: column {name} must contain the bytes of image files, not {kind}")


def _class_names(paths: Mapping[SplitName, Sequence[Path]], column: Sequence[str]) -> tuple[str, ...]:
    """Return the class names of the first file that has them; none where no file has."""
    return next(filter(None, (_hub_class_names(path, column) for files in paths.values() for path in files)), ())


def _labels_of(
    paths: Sequence[Path], names: tuple[str, ...], column: Sequence[str]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the labels of a split's files by the order of `names`, and notes on files that have another order.

    Raises:
        ValueError: a file's class names differ, or its labels cannot be read.
    """
    parts, reordered, nameless = [], [], []
    for path in paths:
        labels, own = _read_labels(path, column), _hub_class_names(path, column)
        if own and own != names:
            if sorted(own) != sorted(names) or len({*own}) < len(own):
                differing = sorted({*own} ^ {*names}) or own
                raise ValueError(f"{path} has different class names from the files before it: {listed(differing)}")
            reordered.append(path.name)
            place = np.array([names.index(name) for name in own], dtype=np.int64)
            known = (labels >= 0) & (labels < len(own))
            labels = np.where(known, place[np.where(known, labels, 0)], labels)
        elif names and not own:
            nameless.append(path.name)
        parts.append(labels)
    notes = []
    if reordered:
        notes.append(f"class names are in a different order in {listed(reordered)}: labels were mapped by name")
    if nameless:
        notes.append(f"{listed(nameless)} has no class names: its labels are assumed to be in the order of the others'")
    return np.concatenate(parts), tuple(notes)


def _read_labels(path: Path, candidates: Sequence[str]) -> NDArray[np.int64]:
    import pyarrow as pa

    with _opened(path) as file:
        name = _column(file.schema_arrow, candidates, path)
        column = file.read(columns=[name]).column(0)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if not pa.types.is_integer(column.type):
        raise ValueError(f"{path}: column {name} must contain integers, not {column.type}")
    if column.null_count:
        raise ValueError(f"{path}: column {name} has no value in {column.null_count} of {len(column)} rows")
    return column.to_numpy().astype(np.int64)


def _column(schema: pa.Schema, candidates: Sequence[str], path: Path) -> str:
    for name in candidates:
        if name in schema.names:
            return name
    raise ValueError(f"{path} has no column {' or '.join(candidates)}; its columns are {', '.join(schema.names)}")


def _hub_class_names(path: Path, candidates: Sequence[str]) -> tuple[str, ...]:
    """Return the class names of a file's labels in a hub's metadata, or none."""
    with _opened(path) as file:
        schema = file.schema_arrow
    column = _column(schema, candidates, path)
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    names = metadata.get("info", {}).get("features", {}).get(column, {}).get("names")
    return tuple(unicodedata.normalize("NFC", str(name)) for name in names) if isinstance(names, list) else ()
