"""Files of named arrays: written atomically, read without running anything in them.

``.npz``, which NumPy reads without vitbench, and not compressed: logits shrink by 7 %, and take 25 times as long. The
format has a checksum for each array, and none for the list of them: so the file holds their names, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vitbench.errors import StoreError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["load_arrays", "read_arrays", "write_arrays"]

Taken = TypeVar("Taken")
_NAMES = "names"
"""What the list of names is called, which is not in it."""


def write_arrays(path: Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Write arrays by name as ``.npz``; the file appears atomically.

    Raises:
        StoreError: the file cannot be written; an array holds objects.
    """
    import numpy as np

    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    stored: dict[str, Any] = {name: np.asanyarray(array) for name, array in arrays.items()}
    # By hand: NumPy before 2.1 takes `allow_pickle` for the name of an array.
    if objects := [name for name, array in stored.items() if array.dtype.hasobject]:
        raise StoreError(f"cannot write {path}: array {objects[0]} contains Python objects; give it a numeric dtype")
    stored[_NAMES] = np.array(sorted(arrays), dtype=np.str_)
    try:
        with part.open("wb") as file:
            np.savez(file, **stored)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def load_arrays(path: Path, taken: Callable[[Any], Taken]) -> Taken:
    """Return what is taken from the arrays of a file, by name; those that are not taken are not read.

    Raises:
        StoreError: the file is missing or damaged, or lacks an array.
    """
    import numpy as np

    try:
        with path.open("rb") as source, np.load(source, allow_pickle=False) as file:
            if sorted({*file.files} - {_NAMES}) != file[_NAMES].tolist():
                raise ValueError("its list of arrays is damaged")
            return taken(file)
    except Exception as error:  # a byte in the wrong place may raise anything, of zip, zlib and NumPy
        raise StoreError(f"cannot read {path}: {error}") from error


def read_arrays(path: Path, taken: Callable[[Any], Taken]) -> Taken | None:
    """Return what `load_arrays` does; None where the file is missing or damaged, or lacks an array."""
    try:
        return load_arrays(path, taken)
    except StoreError:
        return None
