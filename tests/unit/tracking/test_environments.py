"""Environments are kept by what they are made of, and only so many; making them is in tests/integration."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import pytest

from vitbench.errors import StoreError, UnusableError
from vitbench.tracking import environments
from vitbench.tracking.checkouts import Repository
from vitbench.tracking.environments import KEPT, Installation, cache_folder, prepared_place

REPOSITORY = Repository(folder=Path("/repo"), store=Path("/repo/.git"))
RECIPE = Installation(install="pip install -e .", inherit_packages=False)
COMMIT = "0123456789abcdef"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("VITBENCH_TRACK", str(folder))
    return folder


def test_its_folder_is_the_same_whichever_worktree_of_the_repository_asks(tmp_path: Path) -> None:
    other = dataclasses.replace(REPOSITORY, folder=Path("/repo-worktree"))
    assert RECIPE.home(tmp_path, other, COMMIT) == RECIPE.home(tmp_path, REPOSITORY, COMMIT)


def test_its_folder_is_named_by_all_that_it_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        RECIPE.home(tmp_path, REPOSITORY, COMMIT).name,
        RECIPE.home(tmp_path / "moved", REPOSITORY, COMMIT).name,
        RECIPE.home(tmp_path, REPOSITORY, "f" + COMMIT).name,
        RECIPE.home(tmp_path, dataclasses.replace(REPOSITORY, store=Path("/other/.git")), COMMIT).name,
        dataclasses.replace(RECIPE, install="pip install .").home(tmp_path, REPOSITORY, COMMIT).name,
        dataclasses.replace(RECIPE, inherit_packages=True).home(tmp_path, REPOSITORY, COMMIT).name,
    ]
    monkeypatch.setattr(environments.platform, "python_version", lambda: "3.99.0")
    names.append(RECIPE.home(tmp_path, REPOSITORY, COMMIT).name)
    assert len(set(names)) == len(names)


def test_one_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(UnusableError, match=r"cannot be made: Not a directory\.$"):
        prepared_place(
            "base", "x", COMMIT, repository=REPOSITORY, recipe=RECIPE, cache=tmp_path / "cache", say=lambda _: None
        )


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VITBENCH_TRACK", str(tmp_path / "file"))
    with (
        pytest.raises(StoreError, match=r"cannot be written .*; choose another folder in VITBENCH_TRACK"),
        cache_folder(),
    ):
        pass


def kept(cache: Path, name: str, age: float) -> Path:
    home = cache / name
    (home / "checkout").mkdir(parents=True)
    (home / "complete").touch()
    os.utime(home / "complete", (1e9 - age, 1e9 - age))
    return home


def test_only_the_last_used_environments_are_kept(cache: Path) -> None:
    homes = [kept(cache, f"{number:016x}", age=number) for number in range(KEPT + 2)]
    with cache_folder() as folder:
        assert folder == cache
        (homes[-1] / "complete").touch()  # used
    assert [home.exists() for home in homes] == [True] * (KEPT - 1) + [False] * 2 + [True]


def test_what_a_killed_process_left_half_made_is_deleted_and_nothing_else(cache: Path) -> None:
    half, other = cache / "0123456789abcdef", cache / "mine"
    for folder in (half, other):
        (folder / "environment").mkdir(parents=True)
    with cache_folder():
        pass
    assert (half.exists(), other.exists()) == (False, True)


def test_one_process_at_a_time(cache: Path) -> None:
    with (
        cache_folder(),
        pytest.raises(
            StoreError, match=r"^vitbench track \(pid \d+ on .*\) is using .*; wait for it or choose another"
        ),
        cache_folder(),
    ):
        pass


def test_without_the_variable_it_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VITBENCH_TRACK")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name, appauthor: str(tmp_path / name))
    with cache_folder() as folder:
        assert folder == tmp_path / "vitbench" / "track"


@pytest.mark.parametrize(
    ("ref", "title"), [("main", "main (0123456789)"), (COMMIT, "0123456789"), ("01234", "0123456789")]
)
def test_a_kept_environment_is_taken_as_it_is(cache: Path, ref: str, title: str) -> None:
    home = kept(cache, RECIPE.home(cache, REPOSITORY, COMMIT).name, age=0)
    said: list[str] = []
    place = prepared_place("base", ref, COMMIT, repository=REPOSITORY, recipe=RECIPE, cache=cache, say=said.append)
    assert said == []
    assert place.title == title
    assert place.folder == home / "checkout"
    assert Path(place.python).is_relative_to(home / "environment")
    assert (home / "complete").stat().st_mtime > 1e9, "it counts as used"


def test_nothing_of_the_present_environment_leads_into_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    kept(cache, RECIPE.home(cache, REPOSITORY, COMMIT).name, age=0)
    place = prepared_place("base", "x", COMMIT, repository=REPOSITORY, recipe=RECIPE, cache=cache, say=print)
    assert place.environment["PYTHONPATH"] == ""
    assert place.environment["PYTHONSAFEPATH"] == "1"
    scripts, _, others = place.environment["PATH"].partition(os.pathsep)
    assert Path(scripts) == Path(place.python).parent
    assert others == os.environ["PATH"]
    assert sys.prefix not in place.environment["VIRTUAL_ENV"]
