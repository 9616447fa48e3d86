"""Opening and reading datasets for their checks; also in a process of its own, which hashes texts by another seed.

``python -P -c "from vitbench.testing.opening import tell; tell()"`` is that process.

Shapes: N images in a split, C channels, H height, W width.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vitbench import contract
from vitbench.data.opening import no_image_set
from vitbench.errors import Skip
from vitbench.execution.processes import ProgramError, answer_of
from vitbench.protocols import ImageSet
from vitbench.specs import OptionValue, SplitName, Target, load_target
from vitbench.testing.cases import DatasetCase
from vitbench.testing.checks import CheckFailed, need, raised

__all__ = [
    "SplitName",
    "call_open",
    "hash_of",
    "images_of",
    "open_anew",
    "open_split",
    "options_of",
    "rows_of",
    "seen",
    "seen_elsewhere",
    "splits_of",
    "tell",
]

SOME_IMAGES = 200
"""Of each split, where some tell enough."""
SECONDS = 120.0
"""For another process to open all splits."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared of a split that is opened more than once."""

    class_names: tuple[str, ...]
    labels: str
    """Their hash."""
    images: tuple[str, ...]
    """Hashes of `SOME_IMAGES`."""


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What another process is to open."""

    target: str
    root: str | None
    options: dict[str, OptionValue]
    splits: tuple[SplitName, ...]
    classes: int | None
    file: str
    """Where the target's module lies, since another module may have the name of a plugin in one file."""


def splits_of(case: DatasetCase) -> dict[SplitName, ImageSet]:
    """Return the splits that are there, kept open for the other checks of the same case; raises as `open_anew`.

    Raises:
        CheckFailed: also where there is none.
    """
    found = {split: images for split in case.spec.splits if (images := open_split(case, split)) is not None}
    if not found:
        raise CheckFailed("open returned None for every split; raise FileNotFoundError if there is nothing")
    return found


@functools.lru_cache(maxsize=3)
def open_split(case: DatasetCase, split: SplitName) -> ImageSet | None:
    """Return a split, kept open for the other checks of the same case; raises as `open_anew`."""
    return open_anew(case, split)


def open_anew(case: DatasetCase, split: SplitName) -> ImageSet | None:
    """Open a split; None where the files have no such split.

    Raises:
        Skip: nobody has said where its files lie, or what it requires is not installed.
        CheckFailed: it cannot be opened, or is empty.
    """
    need(case.spec.requires)
    load_target(case.spec.open)  # with or without files
    if case.spec.needs_root and case.root is None:
        raise Skip(f"needs its files: --data {quote(case.spec.name)}=PATH")
    root = case.root if case.spec.needs_root else None
    return _open(case.spec.open, root, split, options_of(case), case.spec.classes)


def options_of(case: DatasetCase) -> dict[str, OptionValue]:
    """Return the complete options."""
    return {**case.spec.defaults, **case.options}


def call_open(
    target: Target,
    root: Path | None,
    split: SplitName,
    options: Mapping[str, OptionValue],
    classes: int | None,
) -> Any:
    """Return what `open` gives, or raise what it raises; nothing is downloaded."""
    offered = {"root": root, "split": split, "download": False}
    return contract.call(load_target(target), offered, options, later={"classes": classes})


def _open(
    target: Target,
    root: Path | None,
    split: SplitName,
    options: Mapping[str, OptionValue],
    classes: int | None,
) -> ImageSet | None:
    load_target(target)  # what cannot be imported is no broken contract
    try:
        images = call_open(target, root, split, options, classes)
        if images is None:
            return None
        if lack := no_image_set(images, split):
            raise CheckFailed(lack)
        labels, names = len(images.labels), len(images.class_names)
    except CheckFailed:
        raise
    except Exception as error:
        raise CheckFailed(f'open(split="{split}") raised {raised(error)}') from error
    if not labels or not names:
        raise CheckFailed(f'open(split="{split}") returned {labels} images and {names} classes; there must be some')
    found: ImageSet = images
    return found


def images_of(images: ImageSet, rows: Sequence[int] | NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Give rows and their images uint8 ``[C, H, W]``; by batches where they are offered.

    Raises:
        CheckFailed: they cannot be read.
    """
    source: Any = images
    for some in np.array_split(np.asarray(rows, dtype=np.int64), -(-len(rows) // 256)):
        try:
            batch = source.images(some) if hasattr(source, "images") else [source.image(int(row)) for row in some]
        except Exception as error:
            raise CheckFailed(f"reading the images {some[0]} to {some[-1]} raised {raised(error)}") from error
        yield from zip(some.tolist(), batch, strict=True)


def rows_of(images: ImageSet, most: int = SOME_IMAGES) -> NDArray[np.int64]:
    """Return rows that are evenly spaced, `most` at most."""
    count = len(images.labels)
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def hash_of(array: NDArray[Any]) -> str:
    """Return a hash of an array's shape and values."""
    values = np.ascontiguousarray(array)
    return hashlib.sha256(repr(values.shape).encode() + values.tobytes()).hexdigest()


def seen(images: ImageSet) -> Seen:
    """Return what is compared of a split."""
    return Seen(
        class_names=tuple(map(str, images.class_names)),
        labels=hash_of(np.asarray(images.labels)),
        images=tuple(hash_of(np.asarray(image)) for _, image in images_of(images, rows_of(images))),
    )


def seen_elsewhere(case: DatasetCase) -> dict[SplitName, Seen]:
    """Return what another process sees of the splits, in which sets of texts have another order.

    Raises:
        CheckFailed: it ended with an error.
    """
    assert isinstance(case.spec.open, str)
    module = case.spec.open.partition(":")[0]
    file = getattr(sys.modules.get(module), "__file__", None)
    root = str(case.root) if case.spec.needs_root else None
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
        "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1",
    }
    # -P: modules of the working directory are found by this process's path alone, or not at all.
    command = [sys.executable, "-P", "-c", "from vitbench.testing.opening import tell; tell()"]
    asked = msgspec.json.encode(
        _Asked(
            target=case.spec.open,
            root=root,
            options=options_of(case),
            splits=case.spec.splits,
            classes=case.spec.classes,
            file=file or "",
        )
    )
    try:
        answer = answer_of(command, asked, environment=environment, timeout=SECONDS)
    except ProgramError as error:
        raise CheckFailed(f"in its own process, opening it failed: {error.words or error}") from error
    return msgspec.json.decode(answer, type=dict[SplitName, Seen])


def tell() -> None:
    """Open what the standard input asks for, and print what is seen of it."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=_Asked)
    module = asked.target.partition(":")[0]
    if asked.file:
        found = importlib.util.find_spec(module.partition(".")[0])
        if found is None or ("." not in module and found.origin != asked.file):
            _load(module, asked.file)
    root = Path(asked.root) if asked.root is not None else None
    opened = {split: _open(asked.target, root, split, asked.options, asked.classes) for split in asked.splits}
    print()
    print(
        json.dumps({split: msgspec.to_builtins(seen(images)) for split, images in opened.items() if images is not None})
    )


def _load(name: str, file: str) -> None:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
