"""Which files are a plugin's code: its package's, data too, and helpers that no package brings."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from vitbench.catalog import source_files
from vitbench.catalog.source_files import files_below, files_of, hash_of_files, helper_files, imported_by, imports_of

_numbers = itertools.count()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder on the module path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def package(place: Path, **files: str) -> str:
    name = f"traced_files_{next(_numbers)}"
    for file, text in ({"__init__.py": ""} | files).items():
        (place / name / file).parent.mkdir(parents=True, exist_ok=True)
        (place / name / file).write_text(text)
    return name


def test_data_beside_the_code_are_parts_and_what_programs_leave_is_none(place: Path) -> None:
    parts = ("table.json", "sizes.yaml", "c.toml", "kernel.so", "k.cu", "deep/w.bin", "deep/net.py", "LICENSE")
    junk = (".hidden", ".git/x", "__pycache__/net.cpython-311.pyc", "net.pyc", "net.py~", "a.swp", "run.log", "x.tmp")
    name = package(place, **dict.fromkeys((*parts, *junk), "x"))
    assert sorted(files_of(name).values()) == sorted(f"{name}/{part}" for part in ("__init__.py", *parts))


def test_a_module_is_its_file_alone_and_what_is_not_there_has_none(place: Path) -> None:
    name = f"traced_files_{next(_numbers)}"
    (place / f"{name}.py").write_text("")
    (place / f"{name}.json").write_text("")
    assert files_of(name) == {place / f"{name}.py": f"{name}.py"}
    assert files_of("no_such_module_anywhere") == {}


def test_a_link_to_a_folder_is_followed_once(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "table.json").write_text("1")
    (tmp_path / "code" / "data").symlink_to(tmp_path / "data")
    (tmp_path / "code" / "again").symlink_to(tmp_path / "code")
    assert list(files_below(tmp_path / "code").values()) == ["data/table.json"]


def test_helpers_are_what_no_package_brings_and_what_they_import(place: Path) -> None:
    deepest = package(place, **{"weights.json": "1"})
    deep = package(place, **{"__init__.py": f"def f():\n    import {deepest}.x"})
    helpers = helper_files(["json", "numpy", "torch", "pytest", "pluggy", "vitbench", "absent", deep], own=[])
    assert set(helpers.values()) == {f"{deep}/__init__.py", f"{deepest}/__init__.py", f"{deepest}/weights.json"}
    assert helper_files([deep], own=[deep]) == {}


def test_packages_of_another_environment_are_no_helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a path file brings them in: the same run in two environments has one key."""
    name = package(tmp_path / "lib" / "site-packages")
    monkeypatch.syspath_prepend(str(tmp_path / "lib" / "site-packages"))
    source_files._pythons_folders.cache_clear()
    assert helper_files([name], own=[]) == {}
    source_files._pythons_folders.cache_clear()


def test_imports_are_found_wherever_they_stand_and_relative_ones_are_the_packages_own(tmp_path: Path) -> None:
    source = b"import a.b, c as d\nfrom e.f import g\nfrom . import h\nfrom .i import j\ndef k():\n    import l\n"
    assert imported_by(source) == ("a", "c", "e", "l")
    assert imported_by(b"def (") == ()
    (tmp_path / "a.py").write_text("import x")
    (tmp_path / "a.json").write_text("import y")
    assert imports_of([tmp_path / "a.py", tmp_path / "a.json"]) == {"x"}


def test_names_places_and_bytes_count(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1")
    other.write_text("2")
    hashes = [
        hash_of_files({one: "a/net.py", other: "b/net.py"}),
        hash_of_files({one: "b/net.py", other: "a/net.py"}),
        hash_of_files({one: "a/net.py"}),
        hash_of_files({one: "net.py"}),
        hash_of_files({other: "net.py"}),
    ]
    assert len(set(hashes)) == len(hashes)
    assert hash_of_files({other: "b/net.py", one: "a/net.py"}) == hashes[0]
