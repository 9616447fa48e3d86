"""Files of figures: their arrays by number, each once however often it is shown, and the rest as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitbench.array_files import load_arrays, write_arrays
from vitbench.figures.data import Figure, Grid, Matrix, Points, Scale, Tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_figures", "write_figures"]

_TYPES: dict[str, Any] = {each.__name__: each for each in (Grid, Matrix, Points, Scale, Tile)}
_TYPE, _ARRAY, _REST = "type", "array", "json"


def write_figures(path: Path, figures: Sequence[Figure]) -> None:
    """Write figures to one ``.npz`` file, which appears atomically.

    Raises:
        StoreError: the file cannot be written.
    """
    numbers: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    arrays: dict[str, NDArray[Any]] = {}

    def stored(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            number = numbers.setdefault((value.dtype.str, value.shape, value.tobytes()), str(len(numbers)))
            arrays[number] = value
            return {_ARRAY: number}
        if is_dataclass(value):
            members = {field.name: stored(getattr(value, field.name)) for field in fields(value)}
            return {_TYPE: type(value).__name__, **members}
        if isinstance(value, list | tuple):
            return [stored(each) for each in value]
        return value.item() if isinstance(value, np.generic) else value

    # ASCII: a title may be a file's name, whose bytes are not always text.
    text = json.dumps([stored(figure) for figure in figures])
    write_arrays(path, arrays | {_REST: np.array(text)})


def read_figures(path: Path) -> tuple[Figure, ...]:
    """Return the figures of a file as they were written, in order.

    Raises:
        StoreError: the file is missing or damaged.
    """
    return load_arrays(path, _figures)


def _figures(file: Mapping[str, NDArray[Any]]) -> tuple[Figure, ...]:
    arrays: dict[str, NDArray[Any]] = {}

    def made(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(made(each) for each in value)
        if not isinstance(value, dict):
            return value
        if _ARRAY in value:
            number = value[_ARRAY]
            if number not in arrays:
                arrays[number] = file[number]
            return arrays[number]
        return _TYPES[value.pop(_TYPE)](**{name: made(each) for name, each in value.items()})

    return tuple(made(figure) for figure in json.loads(str(file[_REST])))
