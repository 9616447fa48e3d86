"""Files of arrays: whole or not at all, read without running anything; damage is told, or is None."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitbench.array_files import load_arrays, read_arrays, write_arrays
from vitbench.errors import StoreError


def taken(file: Any) -> list[object]:
    return [file["a"].tolist(), file["b/c"].tolist()]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.npz", {"a": np.arange(3), "b/c": np.array("text")})
    assert load_arrays(tmp_path / "x.npz", taken) == read_arrays(tmp_path / "x.npz", taken) == [[0, 1, 2], "text"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


def test_objects_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write .*x\.npz: array a contains Python objects"):
        write_arrays(tmp_path / "x.npz", {"a": np.array([{}], dtype=object)})
    assert [*tmp_path.iterdir()] == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write .*x\.npz: No such file"):
        write_arrays(tmp_path / "none" / "x.npz", {"a": np.arange(3)})


def test_no_damage_ends_in_another_error_or_in_other_values(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    assert read_arrays(path, taken) is None
    write_arrays(path, {"a": np.arange(50), "b/c": np.arange(50.0)})
    whole = path.read_bytes()

    def all_arrays(file: Any) -> dict[str, list[float]]:
        return {name: file[name].tolist() for name in file.files}

    unharmed = load_arrays(path, all_arrays)
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + b"\1\0" + whole[place + 2 :])
        assert read_arrays(path, all_arrays) in (None, unharmed), place
    for content in (b"", whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert read_arrays(path, taken) is None
        with pytest.raises(StoreError, match="cannot read "):
            load_arrays(path, taken)
